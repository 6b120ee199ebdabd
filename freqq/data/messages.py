"""OpenAI's chat messages as turns."""

import json
from typing import Any

from freqq.data.fields import bounded, kind, text
from freqq.data.sample import Turn
from freqq.errors import UserError


def turns(messages: object, where: str) -> tuple[Turn, ...]:
    """A message list as turns, one a message.

    What is no text stays visible: an image as ``[image_url]``, a tool's call as ``[call NAME ARGUMENTS]``.

    Raises
    ------
    UserError
        If it is no list of messages, or a message lacks its role or content; `where` begins the error.
    """
    if not isinstance(messages, list):
        raise UserError(f"{where}: expected a list of messages, not {kind(messages)}")
    return tuple(_turn(message, f"{where}, message {i}") for i, message in enumerate(messages, 1))


def _turn(message: object, where: str) -> Turn:
    if not isinstance(message, dict):
        raise UserError(f"{where}: expected an object with 'role' and 'content', not {kind(message)}")
    role = text(message, "role", where)
    made = message.get("tool_calls")
    calls = [call(one) for one in made if isinstance(one, dict)] if isinstance(made, list) else []
    if "content" not in message and not calls:
        raise UserError(f"{where}: field 'content' is missing")
    said = _content(message.get("content"), where)
    return Turn(role, bounded("\n".join([said] * bool(said) + calls), where))


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
    said = part.get("text", part.get("refusal"))
    return said if isinstance(said, str) else f"[{part.get('type', 'part of unknown type')}]"


def call(made: dict[str, Any]) -> str:
    """A tool's call as it is shown: its name and arguments."""
    function = made.get("function")
    named: dict[str, Any] = function if isinstance(function, dict) else made
    arguments = named.get("arguments", "")
    shown = arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)
    return f"[call {named.get('name', '')} {shown}]"
