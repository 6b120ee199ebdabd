"""ShareGPT's chats: ``conversations`` of ``from`` and ``value``, in the variants found in public data."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from freqq.data.chat import format_call, message_lists, turns
from freqq.data.fields import kind, listed, text
from freqq.data.json_values import json_values
from freqq.data.sample import Sample
from freqq.errors import UserError

LISTS = ("conversations", "conversation", "items")
"""Names of the message list. The first releases use ``items``."""

ROLES = {
    "human": "user", "user": "user", "prompter": "user",
    "gpt": "assistant", "chatgpt": "assistant", "assistant": "assistant", "model": "assistant", "bot": "assistant",
    "bing": "assistant", "bard": "assistant",
    "system": "system",
    "tool": "tool", "observation": "tool", "function_response": "tool", "tool_response": "tool",
}  # fmt: skip
"""Role names in public data and what they mean. Other names are kept."""

CALLS = ("function_call", "tool_call")
"""Roles of the assistant's tool calls; their values are JSON with ``name`` and ``arguments``."""


def is_sharegpt(value: object) -> bool:
    """Whether a file's first JSON value is a chat or message of ShareGPT."""
    if isinstance(value, list):
        return bool(value) and _is_message(value[0])
    if not isinstance(value, dict) or "messages" in value:
        return False
    lists = [value[name] for name in LISTS if isinstance(value.get(name), list)]
    return _is_message(value) or any(not found or isinstance(found[0], dict) for found in lists)


def sharegpt_samples(path: Path, name: str) -> Iterator[Sample]:
    """The chats of a file, with ids ``NAME-INDEX``; chats without messages, which occur in public data, are skipped.

    A chat is an object with one of `LISTS` and optionally ``system``, or a list of messages; a file may also be one
    chat with one message per line. Messages may use ``role`` and ``content``. Tool calls are shown as in OpenAI
    messages; the ``tools`` beside the messages are not shown.

    Raises
    ------
    UserError
        With file and line, if a value is none of these, or a message lacks its role or content.
    """
    for index, (line, messages) in enumerate(message_lists(path, json_values(path), "from", _messages)):
        where = f"{path}, line {line}"
        if not isinstance(messages, list):
            raise UserError(f"{where}: expected a list of messages, not {kind(messages)}")
        chat = turns([_as_openai(m, f"{where}, message {i}") for i, m in enumerate(messages, 1)], where)
        if chat:
            yield Sample(f"{name}-{index}", turns=chat)


def _messages(record: dict[str, Any], where: str) -> object:
    found = next((record[name] for name in LISTS if name in record), None)
    if found is None:
        fields = listed(record)
        raise UserError(f"{where}: an object without 'conversations' is not a chat of ShareGPT; it has {fields}")
    system = record.get("system")
    if isinstance(found, list) and found and isinstance(system, str) and system.strip():
        return [{"from": "system", "value": system}, *found]
    return found


def _as_openai(message: object, where: str) -> object:
    """Convert a message to ``role`` and ``content``; `turns` refuses what is not a message."""
    if not isinstance(message, dict) or "from" not in message:
        role = message.get("role") if isinstance(message, dict) else None
        return {**message, "role": ROLES.get(role.lower(), role)} if isinstance(role, str) else message  # type: ignore[dict-item]
    role, content = text(message, "from", where), text(message, "value", where)
    if role in CALLS:
        return {"role": "assistant", "content": _call(content)}
    return {"role": ROLES.get(role.lower(), role), "content": content}


def _call(content: str) -> str:
    try:
        found = json.loads(content)
    except (ValueError, RecursionError):
        found = None
    return format_call(found) if isinstance(found, dict) and "name" in found else f"[call {content}]"


def _is_message(value: object) -> bool:
    return isinstance(value, dict) and "from" in value and "value" in value
