"""ShareGPT's chats: ``conversations`` of ``from`` and ``value``, in the variants that public data have."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from freqq.data.chat import call, message_lists, turns
from freqq.data.fields import kind, listed, text
from freqq.data.json_values import json_values
from freqq.data.sample import Sample
from freqq.errors import UserError

LISTS = ("conversations", "conversation", "items")
"""What the list of messages is called. ``items`` is that of the first releases."""

ROLES = {
    "human": "user", "user": "user", "prompter": "user",
    "gpt": "assistant", "chatgpt": "assistant", "assistant": "assistant", "model": "assistant", "bot": "assistant",
    "bing": "assistant", "bard": "assistant",
    "system": "system",
    "tool": "tool", "observation": "tool", "function_response": "tool", "tool_response": "tool",
}  # fmt: skip
"""Who speaks, by what public data write. Other names stay what they are."""

CALLS = ("function_call", "tool_call")
"""Roles of the assistant's calls, whose values are JSON of ``name`` and ``arguments``."""


def is_sharegpt(value: object) -> bool:
    """Whether a file whose first value this is holds such chats."""
    if isinstance(value, list):
        return bool(value) and _is_message(value[0])
    if not isinstance(value, dict) or "messages" in value:
        return False
    lists = [value[name] for name in LISTS if isinstance(value.get(name), list)]
    return _is_message(value) or any(not found or isinstance(found[0], dict) for found in lists)


def sharegpt_samples(path: Path, name: str) -> Iterator[Sample]:
    """The chats of a file, with ids ``NAME-INDEX``; one without messages, as public data have some, is left out.

    A chat is an object with one of `LISTS` and maybe ``system``, a list of messages, or the bare messages of a file
    that is one chat. Messages may also have ``role`` and ``content``. A call is shown as in OpenAI messages, and the
    description of ``tools`` that stands beside the messages is not shown.

    Raises
    ------
    UserError
        With file and line, if a value is none of these, or a message lacks who said it or what.
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
        it_has = listed(record)
        raise UserError(f"{where}: an object without 'conversations' is not a chat of ShareGPT; it has {it_has}")
    system = record.get("system")
    if isinstance(found, list) and found and isinstance(system, str) and system.strip():
        return [{"from": "system", "value": system}, *found]
    return found


def _as_openai(message: object, where: str) -> object:
    """A message with ``role`` and ``content``; one of another kind is left for `turns` to refuse."""
    if not isinstance(message, dict) or "from" not in message:
        role = message.get("role") if isinstance(message, dict) else None
        return {**message, "role": ROLES.get(role.lower(), role)} if isinstance(role, str) else message  # type: ignore[dict-item]
    role, said = text(message, "from", where), text(message, "value", where)
    if role in CALLS:
        return {"role": "assistant", "content": _call(said)}
    return {"role": ROLES.get(role.lower(), role), "content": said}


def _call(said: str) -> str:
    try:
        found = json.loads(said)
    except (ValueError, RecursionError):
        found = None
    return call(found) if isinstance(found, dict) and "name" in found else f"[call {said}]"


def _is_message(value: object) -> bool:
    return isinstance(value, dict) and "from" in value and "value" in value
