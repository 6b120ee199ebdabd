"""Chats as OpenAI messages (JSON, JSON Lines) or plain text."""

import json
from collections.abc import Callable, Iterable, Iterator
from itertools import groupby, islice
from pathlib import Path
from typing import Any

from freqq.data.fields import MOST_CHARACTERS, bounded, kind, listed, text
from freqq.data.json_values import Item, json_values
from freqq.data.sample import Sample, Turn
from freqq.data.unpacked import opened
from freqq.errors import UserError

MOST_MESSAGES = 2**20
"""Most messages of a file that is one chat; packed, a few kilobytes hold as many as fill the memory."""


def turns(messages: object, where: str) -> tuple[Turn, ...]:
    """Convert a message list to turns, one per message.

    Content other than text is shown by a placeholder: ``[image_url]``, ``[call NAME ARGUMENTS]``.

    Raises
    ------
    UserError
        If it is not a list of messages, or a message lacks its role or content; `where` begins the error.
    """
    if not isinstance(messages, list):
        raise UserError(f"{where}: expected a list of messages, not {kind(messages)}")
    return tuple(
        _plain_turn(message) or _turn(message, f"{where}, message {i}") for i, message in enumerate(messages, 1)
    )


def _plain_turn(message: object) -> Turn | None:
    """What `_turn` makes of a role and a text that need no change; None for anything else.

    Nearly all messages are so, and data have millions of them.
    """
    if not isinstance(message, dict) or len(message) != 2:
        return None
    role, content = message.get("role"), message.get("content")
    if not isinstance(role, str) or not isinstance(content, str) or len(role) + len(content) > MOST_CHARACTERS:
        return None
    if role.isascii() and (content.isascii() or _encodes(content)):
        return Turn(role, content)
    return None


def _encodes(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _turn(message: object, where: str) -> Turn:
    if not isinstance(message, dict):
        raise UserError(f"{where}: expected an object with 'role' and 'content', not {kind(message)}")
    role = text(message, "role", where)
    tool_calls = message.get("tool_calls")
    calls = [format_call(c) for c in tool_calls if isinstance(c, dict)] if isinstance(tool_calls, list) else []
    if "content" not in message and not calls:
        raise UserError(f"{where}: field 'content' is missing")
    content = _content(message.get("content"), where)
    return Turn(role, bounded("\n".join([content] * bool(content) + calls), where))


def _content(content: object, where: str) -> str:
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "\n".join(_part(part, where) for part in content)
    raise UserError(f"{where}: field 'content' has to be text or a list of parts, not {kind(content)}")


def _part(part: object, where: str) -> str:
    if isinstance(part, str):
        return part
    if not isinstance(part, dict):
        raise UserError(f"{where}: a part of 'content' has to be an object, not {kind(part)}")
    found = part.get("text", part.get("refusal"))
    return found if isinstance(found, str) else f"[{part.get('type', 'part of unknown type')}]"


def format_call(tool_call: dict[str, Any]) -> str:
    """A tool call as text: ``[call NAME ARGUMENTS]``."""
    function = tool_call.get("function")
    named: dict[str, Any] = function if isinstance(function, dict) else tool_call
    arguments = named.get("arguments", "")
    shown = arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)
    return f"[call {named.get('name', '')} {shown}]"


def chat_samples(path: Path, name: str) -> Iterator[Sample]:
    """The chats of a JSON file, with ids ``NAME-INDEX``. They have no question: every message is rendered.

    A chat is a list of messages or an object with such a list as ``messages``; a file may also be one chat with one
    message per line.

    Raises
    ------
    UserError
        With file and line, if a value is none of these or a chat is empty.
    """
    for index, (line, messages) in enumerate(message_lists(path, json_values(path), "role", _messages)):
        where = f"{path}, line {line}"
        chat = turns(messages, where)
        if not chat:
            raise UserError(f"{where}: the chat has no messages")
        yield Sample(f"{name}-{index}", turns=chat)


def message_lists(
    path: Path, items: Iterable[Item], mark: str, messages_of: Callable[[dict[str, Any], str], object]
) -> Iterator[tuple[int, object]]:
    """Yield each chat's line and message list (not validated).

    Parameters
    ----------
    mark : str
        The field that identifies an object as a message rather than a chat.
    messages_of : callable
        ``messages_of(chat, where)``: the message list of an object that is a chat.

    Raises
    ------
    UserError
        If a file that is one chat has more than `MOST_MESSAGES` messages.
    """

    def is_message(value: object) -> bool:
        return isinstance(value, dict) and mark in value

    for (bare, _), group in groupby(items, key=lambda item: (is_message(item.value), item.array)):
        if bare:  # elements of one array, or consecutive lines: one chat
            messages = list(islice(group, MOST_MESSAGES + 1))
            if len(messages) > MOST_MESSAGES:
                raise UserError(f"{path}, line {messages[0].line}: a chat of more than {MOST_MESSAGES:,} messages")
            yield messages[0].line, [item.value for item in messages]
            continue
        for item in group:
            value = item.value
            yield item.line, messages_of(value, f"{path}, line {item.line}") if isinstance(value, dict) else value


def _messages(record: dict[str, Any], where: str) -> object:
    if "messages" not in record:
        raise UserError(f"{where}: an object without 'messages' or 'role' is not a chat; it has {listed(record)}")
    return record["messages"]


def text_sample(path: Path, name: str) -> Sample:
    """A plain text file (possibly compressed) as a chat of one turn without a label.

    Raises
    ------
    UserError
        If it is not UTF-8 (the line is named), empty, or longer than `MOST_CHARACTERS`.
    """
    with opened(path) as file:
        data = file.read(4 * MOST_CHARACTERS + 1)
    if len(data) > 4 * MOST_CHARACTERS:
        raise UserError(
            f"{path} has over {4 * MOST_CHARACTERS:,} bytes; a text may have {MOST_CHARACTERS:,} characters"
        )
    try:
        content = data.decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise UserError(f"{path}, line {line}: it is not UTF-8; convert it (iconv -t UTF-8)") from error
    if not content.strip():
        raise UserError(f"{path} is empty")
    return Sample(f"{name}-0", turns=(Turn("", bounded(content, str(path))),))
