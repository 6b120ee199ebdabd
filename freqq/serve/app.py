"""The server: OpenAI's chat-completions protocol over a `Reader`, as a Starlette application."""

import asyncio
import json
import signal
import socket
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from freqq.errors import BrokenDevice, FreqqError, Interrupted, OutOfMemory
from freqq.glm.reader import Answer, Reader
from freqq.serve.batcher import Batcher, Gone
from freqq.serve.question import BadRequest, Question, parse

LONGEST_END_S = 600
"""How long the server waits for unfinished answers before it exits."""

MOST_AT_ONCE = 256
"""Connections; any more get status 503."""

MOST_HELD = 4 << 30
"""Bytes of all unanswered requests together; beyond that, requests get status 503. A single request may have more."""

MOST_VALUES = 300_000
"""Commas and brackets of a request's JSON: each can be a list or an object, which takes a hundred times as much memory.
A question of so many is longer than any context."""

PARSERS = 2
"""Requests whose pages are decoded at once."""


class _Memory:
    """What requests hold: their bodies until they are parsed, their pages until they are answered."""

    def __init__(self) -> None:
        self._held = 0

    def take(self, size: int) -> None:
        if self._held and self._held + size > MOST_HELD:
            raise HTTPException(503, "the server holds as much as it has memory for: try again")
        self._held += size

    def give_back(self, size: int) -> None:
        self._held -= size


def application(reader: Reader, most_request_bytes: int, batch_size: int) -> Starlette:
    """The application; the model has the reader's name.

    Parameters
    ----------
    most_request_bytes : int
        Longer requests are refused while they are received.
    batch_size : int
        The most questions that are answered together.
    """
    # "revision" and "dtype" are not part of the protocol: they tell clients that store answers which model gave them.
    card = {
        "id": reader.model_name,
        "object": "model",
        "created": int(time.time()),
        "owned_by": "freqq",
        "revision": f"{reader.revision} {reader.dtype}",
    }

    async def models(request: Request) -> Response:
        if (broken := request.app.state.broken) is not None:
            return _error(503, str(broken))
        return JSONResponse({"object": "list", "data": [card]})

    async def complete(request: Request) -> Response:
        if (broken := request.app.state.broken) is not None:
            return _error(503, str(broken))
        memory: _Memory = request.app.state.memory
        held = 0
        try:
            question = await _question(request, most_request_bytes)
            memory.take(question.nbytes)
            held = question.nbytes
            if question.model != reader.model_name:
                return _error(404, f"there is no model {question.model[:80]!r}", "model", "model_not_found")
            answer = await request.app.state.batcher.answer(question, request.is_disconnected)
        except BadRequest as error:
            return _error(400, str(error), error.field, error.code)
        except BrokenDevice as error:  # no fault of the request, and nothing works any more
            request.app.state.broken = error
            return _error(503, str(error))
        except (OutOfMemory, Interrupted) as error:
            return _error(503, str(error))
        except FreqqError as error:
            return _error(400, str(error))
        except Gone:
            return Response(status_code=499)  # the client is gone
        finally:
            memory.give_back(held)
        return JSONResponse(_completion(reader.model_name, answer))

    @asynccontextmanager
    async def running(app: Starlette) -> AsyncIterator[None]:
        app.state.batcher = batcher = Batcher(reader, batch_size)
        app.state.broken = None
        app.state.memory = _Memory()
        app.state.parsers = asyncio.Semaphore(PARSERS)
        worker = asyncio.create_task(batcher.work())
        yield
        worker.cancel()
        with suppress(asyncio.CancelledError):
            await worker
        batcher.close()

    async def failed(request: Request, error: Exception) -> Response:
        if isinstance(error, HTTPException):
            return _error(error.status_code, error.detail)
        return _error(500, f"the server failed with {type(error).__name__}")

    return Starlette(
        routes=[
            Route("/v1/models", models, methods=["GET"]),
            Route("/v1/chat/completions", complete, methods=["POST"]),
        ],
        exception_handlers={HTTPException: failed, Exception: failed},
        lifespan=running,
    )


def listen(host: str, port: int) -> socket.socket:
    """A socket bound to this address that does not accept connections yet; port 0 is any free one.

    Raises
    ------
    FreqqError
        If the address does not exist here or is in use.
    """
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        sock = socket.socket(family, kind)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(address)
    except (OSError, OverflowError, UnicodeError) as error:
        raise FreqqError(f"cannot listen on {host} port {port}: {getattr(error, 'strerror', None) or error}") from error
    return sock


def serve(app: Starlette, sock: socket.socket) -> None:
    """Serve until Ctrl-C or SIGTERM, then finish the current requests and return.

    Raises
    ------
    BrokenDevice
        If the accelerator fails. Until the server ends it answers every request with 503, so that clients do not take
        it for a fault of what they sent.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        # uvicorn handles these itself and afterwards raises them again for earlier handlers.
        signal.signal(number, lambda *_: None)
    config = uvicorn.Config(
        app, log_level="warning", limit_concurrency=MOST_AT_ONCE, timeout_graceful_shutdown=LONGEST_END_S
    )
    _Server(config).run(sockets=[sock])
    if hasattr(app.state, "batcher"):
        app.state.batcher.close()  # a second signal skips the application's own end
    if app.state.broken is not None:
        raise app.state.broken


class _Server(uvicorn.Server):
    """A server that ends, too, when the device is broken."""

    async def on_tick(self, counter: int) -> bool:
        app: Any = self.config.app
        return await super().on_tick(counter) or app.state.broken is not None


async def _question(request: Request, most: int) -> Question:
    """The question in a request, whose body is not kept."""
    memory: _Memory = request.app.state.memory
    body = bytearray()
    try:
        async for piece in request.stream():
            memory.take(len(piece))
            body += piece
            if len(body) > most:
                raise HTTPException(413, f"a request may have {most >> 20} MiB here: send fewer or smaller pages")
        async with request.app.state.parsers:
            return await run_in_threadpool(lambda: parse(_json(body)))
    finally:
        memory.give_back(len(body))


def _json(body: bytes | bytearray) -> Any:
    if sum(map(body.count, (b",", b"[", b"{"))) > MOST_VALUES:
        raise BadRequest(f"the request has more than {MOST_VALUES:,} values")
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise BadRequest(f"the request is not JSON ({error})") from error


def _completion(model: str, answer: Answer) -> dict[str, Any]:
    return {
        "id": f"chatcmpl-{uuid.uuid4().hex}",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": model,
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": answer.text},
                "finish_reason": "length" if answer.truncated else "stop",
            }
        ],
        "usage": {
            "prompt_tokens": answer.prompt_tokens,
            "completion_tokens": answer.new_tokens,
            "total_tokens": answer.prompt_tokens + answer.new_tokens,
        },
    }


def _error(status: int, message: str, field: str | None = None, code: str | None = None) -> Response:
    """An error in OpenAI's form."""
    kind = "invalid_request_error" if status < 500 else "server_error"
    error = {"message": _printable(message), "type": kind, "param": field and _printable(field), "code": code}
    return JSONResponse({"error": error}, status_code=status)


def _printable(text: str) -> str:
    """JSON can contain lone surrogates, which UTF-8 cannot encode."""
    return text.encode(errors="backslashreplace").decode()
