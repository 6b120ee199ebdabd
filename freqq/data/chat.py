"""Any chat: OpenAI messages as JSON or JSON Lines, or plain text."""

from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

from freqq.data.fields import MOST_CHARACTERS, bounded, listed
from freqq.data.json_values import Item, json_values
from freqq.data.messages import turns
from freqq.data.sample import Sample, Turn
from freqq.errors import UserError


def chat_samples(path: Path, name: str) -> Iterator[Sample]:
    """The chats of a JSON file, with ids ``NAME-INDEX``. They have no question: every message is rendered.

    A chat is a list of messages, an object with such a list as ``messages``, or, line by line, the bare messages of a
    file that is one chat.

    Raises
    ------
    UserError
        With file and line, if a value is none of these or a chat is empty.
    """
    for index, (line, messages) in enumerate(_chats(path, json_values(path))):
        where = f"{path}, line {line}"
        chat = turns(messages, where)
        if not chat:
            raise UserError(f"{where}: the chat has no messages")
        yield Sample(f"{name}-{index}", 0, "", chat, question="", answer="", prefix="")


def _chats(path: Path, items: Iterable[Item]) -> Iterator[tuple[int, Any]]:
    """Message lists with the lines they begin on."""
    for (bare, _), group in groupby(items, key=lambda item: (_is_message(item.value), item.array)):
        if bare:  # the elements of one array, or lines that follow one another: one chat
            messages = list(group)
            yield messages[0].line, [item.value for item in messages]
            continue
        for item in group:
            if isinstance(item.value, dict) and "messages" not in item.value:
                raise UserError(
                    f"{path}, line {item.line}: an object without 'messages' or 'role' is no chat; it has "
                    f"{listed(item.value)}"
                )
            yield item.line, item.value["messages"] if isinstance(item.value, dict) else item.value


def _is_message(value: object) -> bool:
    return isinstance(value, dict) and "role" in value


def text_sample(path: Path, name: str) -> Sample:
    """A plain text file as a chat of one turn, which stands on the pages as it is.

    Raises
    ------
    UserError
        If it is not UTF-8 (the line is named), empty, or longer than `MOST_CHARACTERS`.
    """
    if path.stat().st_size > 4 * MOST_CHARACTERS:
        raise UserError(f"{path} has {path.stat().st_size:,} bytes; a text may have {MOST_CHARACTERS:,} characters")
    data = path.read_bytes()
    try:
        said = data.decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise UserError(f"{path}, line {line}: it is not UTF-8; convert it (iconv -t UTF-8)") from error
    if not said.strip():
        raise UserError(f"{path} is empty")
    return Sample(f"{name}-0", 0, "", (Turn("", bounded(said, str(path))),), question="", answer="", prefix="")
