"""The address of a server, and how requests to it are limited and retried."""

import urllib.request
from dataclasses import dataclass
from urllib.parse import urlsplit

from freqq.errors import UserError

KEY_VARIABLE = "OPENAI_API_KEY"
MOST_AT_ONCE = 1024


@dataclass(frozen=True)
class Endpoint:
    """Address, concurrency, timeout and retries. They do not change answers, so they are not stored.

    Parameters
    ----------
    url : str
        The base URL, such as ``http://127.0.0.1:8000/v1``.
    concurrency : int
        Concurrent samples.
    timeout_s : float
        Time limit of one answer.
    retries : int
        Attempts after the first.
    first_wait_s, longest_wait_s : float
        The pause before the first retry, which doubles each time, and its limit; up to half of it is randomly omitted,
        so that clients that failed together do not retry together.
    own : bool
        Whether this process started the server, on this machine: proxies are passed by, and since it has no other
        clients, an answer that takes too long says nothing of a sample.

    Raises
    ------
    UserError
        If the URL is invalid, contains a password or a query (which messages would show), or a number is out of range.
    """

    url: str
    concurrency: int = 8
    timeout_s: float = 600.0
    retries: int = 5
    first_wait_s: float = 0.5
    longest_wait_s: float = 30.0
    own: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "url", self.url.rstrip("/"))
        try:
            parts = urlsplit(self.url)
            _ = parts.port
        except ValueError as error:
            raise UserError(f"--base-url: {error}") from error
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise UserError(f"--base-url {self.url}: write it as http://HOST:PORT/v1")
        if parts.username or parts.password or parts.query or parts.fragment:
            raise UserError(f"--base-url: only http://HOST:PORT/PATH; a key belongs in the variable {KEY_VARIABLE}")
        for name, value, least, most in (
            ("concurrency", self.concurrency, 1, MOST_AT_ONCE),
            ("timeout", self.timeout_s, 1e-3, 1e6),
            ("retries", self.retries, 0, 1000),
        ):
            if not least <= value <= most:
                raise UserError(f"--{name} {value:g}: give a number from {least:g} to {most:g}")

    def opener(self) -> urllib.request.OpenerDirector:
        """For requests of a server's state, beside the client's."""
        return urllib.request.build_opener(*([urllib.request.ProxyHandler({})] if self.own else []))
