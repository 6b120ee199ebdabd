"""A client for OpenAI-compatible servers, with retries. It distinguishes server failures from sample failures."""

import json
import os
import random
import threading
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

from freqq.errors import FreqqError, Interrupted, UserError
from freqq.serve.endpoint import KEY_VARIABLE, Endpoint
from freqq.serve.reply import SHOWN, BrokenOff, Refused, Reply, Served, completion, retry_after, revision, true_status

if TYPE_CHECKING:
    import httpx

Response: TypeAlias = tuple[int, Mapping[str, str], Any]
"""Status, headers, and the body as JSON, or as text if it is not JSON."""

CONNECT_S = 10.0

LIST_S = 30.0
"""Timeout of the request for the list of models, which also checks that the server responds."""

IDLE_S = 1.0
"""How long an unused connection may be used again: less than servers keep theirs (gunicorn 2 s; uvicorn, and so vLLM,
5 s, which is httpx's default as well), or a request meets a connection that is being closed."""

MOST_WAIT_S = 600.0
"""If a server asks for a longer pause, the run stops; it can be resumed later."""

MOST_GIVEN_UP = 10
"""If so many requests in a row are given up, the run stops: a gateway answers, but nothing behind it does."""

MOST_RESPONSE_BYTES = 64 * 2**20

TRANSIENT = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})
"""Statuses that may not occur again on a retry."""


class Client:
    """Sends requests to a server; thread-safe.

    Parameters
    ----------
    endpoint : Endpoint
    stop : threading.Event
        Once set, no further attempt is made.

    Raises
    ------
    UserError
        If httpx is not installed.
    """

    def __init__(self, endpoint: Endpoint, stop: threading.Event | None = None) -> None:
        self.endpoint = endpoint
        self.stop = stop or threading.Event()
        # Headers can contain printable ASCII only.
        self._key = os.environ.get(KEY_VARIABLE, "").strip()
        if not (self._key.isascii() and self._key.isprintable()):
            raise UserError(f"{KEY_VARIABLE} holds characters that no key has: correct it")
        self._http = _http(endpoint, self._key)
        self._chance = random.Random()
        self._given_up = 0

    def close(self) -> None:
        """Close all connections."""
        self._http.close()

    def served(self, name: str | None) -> Served:
        """The model of this name, or the only one of the server; called once, before a run starts.

        Raises
        ------
        UserError
            If the server has no such model, several and no name is given, or does not accept the key.
        FreqqError
            If it does not answer, or does not follow the protocol.
        """
        try:
            status, _, body = self._exchange("GET", "models", None)
        except _Lost as error:
            raise FreqqError(
                f"no server answers at {self.endpoint.url} ({error}): start it, or correct --base-url"
            ) from error
        if status == 404 and name is not None:
            return Served(name, "")  # some have no list
        if status in (401, 403):
            has = "the key in" if self._key else "a request without a key; set"
            raise UserError(f"the server does not accept {has} {KEY_VARIABLE} (status {status}): {self._message(body)}")
        found = body.get("data") if status == 200 and isinstance(body, dict) else None
        if not isinstance(found, list) or not all(isinstance(m, dict) and isinstance(m.get("id"), str) for m in found):
            raise FreqqError(
                f"{self.endpoint.url}/models does not list models (status {status}): is it the base URL of an "
                "OpenAI-compatible server, which mostly ends in /v1?"
            )
        known = {m["id"]: m for m in found}
        if name is None:
            if len(known) != 1:
                raise UserError(f"the server has {len(known)} models ({_some(known)}): choose one with --served-model")
            (name,) = known
        if name not in known:
            raise UserError(f"the server has no model {name!r} but {_some(known)}: correct --served-model")
        return Served(name, revision(known[name]))

    def complete(self, request: Mapping[str, Any]) -> Reply:
        """The answer to a chat request.

        Raises
        ------
        Refused
            If the server refuses it, or fails on every attempt but still answers other requests.
        Interrupted
            If other requests would fail as well (the server is gone, redirects, breaks answers off, limits requests,
            does not accept the key, asks for payment, does not know the model, answered none of the last
            `MOST_GIVEN_UP`, or is an engine of the run's own and takes too long), or a stop was requested.
        """
        failure, limited, broken_off = "", False, False
        content = json.dumps(request).encode()
        for attempt in range(self.endpoint.retries + 1):
            if self.stop.is_set():
                raise Interrupted("stopped")
            pause, limited, broken_off = 0.0, False, False
            try:
                status, headers, body = self._exchange("POST", "chat/completions", content)
                status = true_status(status, body)
                if status not in TRANSIENT:
                    self._given_up = 0
                if status == 200:
                    return completion(body)
            except (_Lost, BrokenOff) as error:
                if self.endpoint.own and isinstance(error, _Late):
                    raise Interrupted(
                        f"vLLM gave {error}: give a longer --timeout, or a smaller --concurrency"
                    ) from error
                failure, broken_off = str(error), isinstance(error, BrokenOff)
            else:
                failure = f"status {status}: {self._message(body)}"
                if status in (401, 402, 403, 404) or 300 <= status < 400:  # of the account or the address
                    raise Interrupted(f"the server refused with {failure}")
                if status not in TRANSIENT:
                    raise Refused(f"the server refused with {failure}")
                pause, limited = retry_after(headers.get("retry-after")), status == 429
            if attempt < self.endpoint.retries:
                if pause > MOST_WAIT_S:
                    raise Interrupted(f"the server asks for a pause of {pause:.0f} s ({failure})")
                self.stop.wait(max(pause, self._backoff(attempt)))
        tries = f"{self.endpoint.retries + 1} tries"
        if limited:
            raise Interrupted(f"the server still limits requests after {tries} ({failure})")
        if broken_off:
            raise Interrupted(f"no whole answer in {tries}: {failure}")
        if not self._is_there():
            raise Interrupted(f"the server at {self.endpoint.url} does not answer any more ({failure})")
        self._given_up += 1
        if self._given_up >= MOST_GIVEN_UP:
            raise Interrupted(f"no answer to {self._given_up} requests in a row, in {tries} each: {failure}")
        raise Refused(f"no answer in {tries}, the last with {failure}")

    def _backoff(self, attempt: int) -> float:
        longest = min(self.endpoint.longest_wait_s, self.endpoint.first_wait_s * 2.0**attempt)
        return longest * self._chance.uniform(0.5, 1.0)

    def _is_there(self) -> bool:
        """Whether the server answers anything at all."""
        try:
            status, _, _ = self._exchange("GET", "models", None)
        except _Lost:
            return False
        return status < 500

    def _message(self, body: Any) -> str:
        """The server's error message in one line, without the key, which some servers repeat."""
        error = body.get("error", body) if isinstance(body, dict) else body
        said = error.get("message", error) if isinstance(error, dict) else error
        text = " ".join(str(said).split())
        return (text.replace(self._key, "***") if self._key else text)[:SHOWN] or "no message"

    def _exchange(self, method: str, path: str, content: bytes | None) -> Response:
        """One request.

        Raises
        ------
        _Lost
            If there was no complete response in time.
        """
        import httpx

        longest = self.endpoint.timeout_s if content is not None else min(LIST_S, self.endpoint.timeout_s)
        timeout = httpx.Timeout(longest, connect=min(CONNECT_S, longest))
        deadline = time.monotonic() + longest
        body = bytearray()
        try:
            with self._http.stream(method, path, content=content, timeout=timeout) as response:
                for piece in response.iter_bytes():
                    body += piece
                    if len(body) > MOST_RESPONSE_BYTES:
                        raise _Lost(f"a response of more than {MOST_RESPONSE_BYTES >> 20} MiB")
                    if time.monotonic() > deadline:  # httpx limits the time of each piece only
                        raise _Late(f"no answer in {longest:g} s")
        except httpx.ReadTimeout as error:
            raise _Late(f"no answer in {longest:g} s") from error
        except httpx.TimeoutException as error:
            raise _Lost(f"no answer in {longest:g} s") from error
        except httpx.HTTPError as error:
            raise _Lost(" ".join(str(error).split())[:SHOWN] or type(error).__name__) from error
        text = body.decode(errors="replace")
        try:
            return response.status_code, response.headers, json.loads(text)
        except ValueError:
            return response.status_code, response.headers, text


class _Lost(Exception):
    """There was no complete response."""


class _Late(_Lost):
    """There was none in time, of a server that took the request."""


def _http(endpoint: Endpoint, key: str) -> "httpx.Client":
    try:
        import httpx
    except ModuleNotFoundError as error:
        raise UserError("--backend openai needs httpx: pip install 'freqq[openai]'") from error
    return httpx.Client(
        base_url=endpoint.url,
        headers={"content-type": "application/json"} | ({"authorization": f"Bearer {key}"} if key else {}),
        trust_env=not endpoint.own,
        limits=httpx.Limits(
            max_connections=endpoint.concurrency,
            max_keepalive_connections=endpoint.concurrency,
            keepalive_expiry=IDLE_S,
        ),
    )


def _some(names: Mapping[str, Any]) -> str:
    shown = ", ".join(list(names)[:8])
    return f"{shown}, ..." if len(names) > 8 else shown or "none"
