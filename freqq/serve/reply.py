"""Parse a server's responses: answers, models and pauses."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from freqq.errors import FreqqError

SHOWN = 300
"""The most characters of a server's message that are kept."""


ENDS = frozenset({"stop", "length", "eos", "eos_token", "end_turn", "stop_sequence", "repetition"})
"""What servers call the end of an answer: of the protocol, vLLM, SGLang and others."""

BROKEN_OFF = frozenset({"abort", "error"})
"""How vLLM and SGLang say that an answer is a part of one: the server is stopping, or failed."""


@dataclass(frozen=True)
class Served:
    """The name and revision of a server's model; the revision is empty if the server does not report it."""

    name: str
    revision: str


@dataclass(frozen=True)
class Reply:
    """A server's answer; values that it does not report are None.

    Parameters
    ----------
    text : str
        The answer, after any separately returned thoughts in ``<think>`` and ``</think>``.
    truncated : bool or None
        Whether the answer reached the limit of new tokens.
    """

    text: str
    prompt_tokens: int | None
    new_tokens: int | None
    truncated: bool | None = None


class Refused(FreqqError):
    """The server refused this request, or failed on every attempt."""


class BrokenOff(Exception):
    """The server stopped within an answer."""


def true_status(status: int, body: Any) -> int:
    """The status that a response should have: some gateways say 200 to an error, and its own in the body; or 400."""
    error = body.get("error") if isinstance(body, dict) and "choices" not in body else None
    if status != 200 or not error:
        return status
    code = error.get("code") if isinstance(error, dict) else None
    return code if type(code) is int and 400 <= code < 600 else 400


def completion(body: Any) -> Reply:
    """The answer in a chat completion.

    Raises
    ------
    Refused
        If the body is not a chat completion, or ended for a reason that is not known to end an answer.
    BrokenOff
        If the server stopped within the answer.
    """
    try:
        (choice,) = body["choices"]
        message = choice["message"]
        text = message.get("content") or ""
        # vLLM and SGLang, started with a reasoning parser, return the model's thoughts separately.
        thoughts = message.get("reasoning_content") or message.get("reasoning") or ""
        if not (isinstance(text, str) and isinstance(thoughts, str)):
            raise TypeError("an answer that is no text")
        usage = body.get("usage") or {}
        prompt, new = (_count(usage.get(name)) for name in ("prompt_tokens", "completion_tokens"))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise Refused(f"the server's response is not a chat completion ({type(error).__name__}: {error})") from error
    if thoughts:
        text = f"<think>{thoughts}</think>{text}" if text else f"<think>{thoughts}"
    reason = choice.get("finish_reason")
    if not isinstance(reason, str):
        return Reply(text, prompt, new)
    if reason in BROKEN_OFF:
        raise BrokenOff(f"the server broke the answer off (finish_reason {reason!r})")
    if reason not in ENDS:
        raise Refused(f"the server's answer may not be whole: its finish_reason is {reason[:SHOWN]!r}")
    return Reply(text, prompt, new, truncated=reason == "length")


def _count(value: object) -> int | None:
    return value if type(value) is int and value >= 0 else None


def revision(entry: Mapping[str, Any]) -> str:
    """A model's content by its entry in the list of models: `revision` of `freqq serve`, `root` of vLLM and SGLang."""
    found = (entry.get(name) for name in ("revision", "root"))
    return next((text for text in found if isinstance(text, str) and text != entry["id"]), "")[:SHOWN]


def retry_after(value: str | None) -> float:
    """Seconds that a ``Retry-After`` header asks for: a number, or a date; 0 if it is neither."""
    if value is None:
        return 0.0
    try:
        wait = float(value)
    except ValueError:
        try:
            when = parsedate_to_datetime(value)
        except ValueError:
            return 0.0
        wait = (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp() - datetime.now(UTC).timestamp()
    return max(0.0, wait) if wait == wait else 0.0
