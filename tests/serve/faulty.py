"""A real server in a thread, and what may go wrong between it and its clients."""

import asyncio
import json
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import uvicorn

from freqq.glm.reader import Reader
from freqq.serve.app import application, listen
from freqq.tokens import COMPRESSORS


@dataclass
class Fault:
    """What happens to one chat request: a response, nothing for so long, half of a response, or one that never ends."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    message: str = "a fault"
    stall_s: float = 0.0
    cut: bool = False
    endless: bool = False
    body: Any = None


@dataclass
class Faulty:
    """An ASGI application before the server's own: the next chat request meets the next fault, if there is one."""

    app: Any
    faults: deque[Fault] = field(default_factory=deque)
    always: Fault | None = None
    after: int = 10**9
    """Chat requests that go well before ``always`` holds."""
    keys: list[str | None] = field(default_factory=list)
    ports: list[int] = field(default_factory=list)
    """The client's of each request: another connection has another."""
    requests: list[dict[str, Any]] = field(default_factory=list)
    at_once: int = 0
    most_at_once: int = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        self.keys.append(headers.get("authorization"))
        self.ports.append(scope["client"][1])
        if not scope["path"].endswith("/chat/completions"):
            await self.app(scope, receive, send)
            return
        fault = self.faults.popleft() if self.faults else None
        if fault is None and self.after <= 0:
            fault = self.always
        self.after -= 1
        if fault is not None:
            await _fail(fault, send)
            return
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await self.app(scope, receive, send)
        finally:
            self.at_once -= 1


async def _fail(fault: Fault, send: Any) -> None:
    if fault.stall_s:
        await asyncio.sleep(fault.stall_s)
        return
    error = {"error": {"message": fault.message, "type": "server_error"}}
    body = json.dumps(error if fault.body is None else fault.body).encode()
    length = len(body) * (2 if fault.cut else 1) + fault.endless * 10**6
    names = {"content-type": "application/json", "content-length": str(length)} | fault.headers
    headers = [(name.encode(), value.encode()) for name, value in names.items()]
    await send({"type": "http.response.start", "status": fault.status or 200, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": fault.cut or fault.endless})
    while fault.endless:
        await asyncio.sleep(0.05)
        await send({"type": "http.response.body", "body": b" ", "more_body": True})
    if fault.cut:
        raise ConnectionError("the connection is cut on purpose")


class Server:
    """A server that can be stopped and started again at the same port."""

    def __init__(self, reader: Reader, around: Callable[[Any], Any] = lambda app: app) -> None:
        self.faulty = Faulty(around(application(reader, 8 << 20, 8)))
        self.port = 0
        self.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def start(self) -> None:
        sock = listen("127.0.0.1", self.port)
        self.port = sock.getsockname()[1]
        config = uvicorn.Config(self.faulty, log_level="critical", timeout_graceful_shutdown=1)
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [sock]}, daemon=True)
        self._thread.start()
        while not self._server.started:
            time.sleep(0.01)

    def stop(self) -> None:
        self._server.should_exit = True
        self._thread.join()


class Rewritten:
    """An ASGI application that changes the first choice of each chat completion of another.

    Parameters
    ----------
    change : callable
        Given the choice and how many came before it; changes it in place.
    """

    def __init__(self, app: Any, change: Callable[[dict[str, Any], int], None]) -> None:
        self.app, self.change, self.count = app, change, 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http" or not scope["path"].endswith("/chat/completions"):
            await self.app(scope, receive, send)
            return
        start: dict[str, Any] = {}
        body = bytearray()

        async def rewrite(message: Any) -> None:
            if message["type"] == "http.response.start":
                start.update(message)
                return
            body.extend(message.get("body", b""))
            if message.get("more_body"):
                return
            content = bytes(body)
            if start["status"] == 200:
                found = json.loads(content)
                self.change(found["choices"][0], self.count)
                self.count += 1
                content = json.dumps(found).encode()
            kept = [(name, value) for name, value in start["headers"] if name != b"content-length"]
            await send(start | {"headers": [*kept, (b"content-length", str(len(content)).encode())]})
            await send({"type": "http.response.body", "body": content})

        await self.app(scope, receive, rewrite)


class WithPlugin:
    """An ASGI application that takes methods from requests before one that knows none, as far as clients can tell; or,
    if it is strict, knows no such field and repeats it in its error, as pydantic does."""

    def __init__(self, app: Any, strict: bool = False) -> None:
        self.app, self.strict = app, strict
        self.asked: list[Any] = []
        """What requests say of methods; None: nothing."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http" or not scope["path"].endswith("/chat/completions"):
            await self.app(scope, receive, send)
            return
        content = b""
        while (message := await receive()).get("more_body"):
            content += message["body"]
        body = json.loads(content + message["body"])
        method = body.pop("mm_processor_kwargs", {}).get("freqq")
        self.asked.append(method)
        if method is not None and (self.strict or method["method"] not in ("none", *COMPRESSORS)):
            await _fail(Fault(400, message=f"freqq: unknown method {method['method']!r}"), send)
            return
        content = json.dumps(body).encode()

        async def rewritten() -> Any:
            return {"type": "http.request", "body": content, "more_body": False}

        headers = [(name, value) for name, value in scope["headers"] if name != b"content-length"]
        length = (b"content-length", str(len(content)).encode())
        await self.app(scope | {"headers": [*headers, length]}, rewritten, send)
