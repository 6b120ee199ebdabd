"""vLLM as a separate process, with the options that freqq needs."""

import ctypes
import importlib.util
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Any

from freqq.errors import FreqqError, Interrupted, UserError
from freqq.serve.chat import PLUGIN
from freqq.serve.endpoint import Endpoint
from freqq.vllm import refusal

POLL_S = 0.5
TIMEOUT_S = 24 * 3600.0
"""Time limit of an answer of an engine of the run's own: requests that wait in its queue count."""

END_S = 30.0
"""Time for an engine to exit before it is killed."""

PLUGINS = "VLLM_PLUGINS"
"""Environment variable of vLLM: the names of the plug-ins that it loads, if not all."""

NOT_INHERITED = ("FREQQ_VLLM", "VLLM_API_KEY", PLUGINS)
"""What an engine of the run's own starts without: a default method; a key, which its one client does not have; and a
choice of plug-ins, of which freqq's has to be one."""

PR_SET_PDEATHSIG = 1


@dataclass(frozen=True)
class Engine:
    """How vLLM is started.

    Parameters
    ----------
    folder : Path
        The model's folder.
    name : str
        The model's name on the server.
    dtype : str
        ``float32``, ``bfloat16`` or ``float16``.
    host, port
        The listening address.
    tensor_parallel, data_parallel : int
        GPUs, or on a CPU cores, that share one replica; replicas.
    method : mapping or None
        The default method of requests, as in `freqq.serve.chat.specification`.
    options : tuple of str
        Further options of ``vllm serve``, which take precedence.
    compresses : bool
        Whether the plug-in serves the model's family.
    """

    folder: Path
    name: str
    dtype: str
    host: str = "127.0.0.1"
    port: int = 8000
    tensor_parallel: int = 1
    data_parallel: int = 1
    method: Mapping[str, Any] | None = None
    options: tuple[str, ...] = ()
    compresses: bool = True

    @property
    def url(self) -> str:
        """The base URL of its API."""
        return f"http://{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}/v1"

    def endpoint(self, **limits: Any) -> Endpoint:
        """Its API for the process that starts it; `limits` are parameters of `Endpoint`."""
        return Endpoint(self.url, **{"timeout_s": TIMEOUT_S, **limits}, own=True)

    def command(self) -> list[str]:
        """The command that starts it.

        Raises
        ------
        UserError
            If vLLM is not installed here, or in a release that the plug-in does not know.
        """
        if importlib.util.find_spec("vllm") is None:
            raise UserError(
                "vLLM is not installed here: pip install 'freqq[vllm]', or on a machine without a GPU run make vllm in "
                "a clone of freqq"
            )
        if (reason := refusal()) is not None and PLUGIN in os.environ.get(PLUGINS, PLUGIN).split(","):
            raise UserError(reason)
        return [
            sys.executable, "-m", "vllm.entrypoints.cli.main", "serve", str(self.folder),
            "--served-model-name", self.name, "--host", self.host, "--port", str(self.port), "--dtype", self.dtype,
            # A greedy request is greedy, whatever the checkpoint suggests.
            "--generation-config", "vllm",
            # Requests choose methods, and may contain tokens compressed elsewhere.
            "--trust-request-mm-kwargs", "--enable-mm-embeds",
            *(["--tensor-parallel-size", str(self.tensor_parallel)] if self.tensor_parallel > 1 else []),
            *(["--data-parallel-size", str(self.data_parallel)] if self.data_parallel > 1 else []),
            *(["--mm-processor-kwargs", json.dumps({"freqq": dict(self.method)})] if self.method else []),
            *self.options,
        ]  # fmt: skip


def free_port(host: str = "127.0.0.1") -> int:
    """A port on which nothing listens now."""
    with socket.create_server((host, 0)) as sock:
        return int(sock.getsockname()[1])


@contextmanager
def running(
    engine: Engine,
    log: Path,
    environment: Mapping[str, str] | None = None,
    stop_requested: Callable[[], bool] = lambda: False,
) -> Iterator[subprocess.Popen[bytes]]:
    """Run an engine until the block ends; entered once it answers.

    Parameters
    ----------
    log : Path
        The file that its output is appended to.
    environment : mapping or None
        The engine's; None: that of this process without `NOT_INHERITED`.
    stop_requested : callable
        Asked again and again until it answers.

    Raises
    ------
    FreqqError
        If it exits before it answers, the message then includes its last line, or answers otherwise than it should.
    Interrupted
        If a stop is requested before it answers.
    """
    if environment is None:
        environment = {name: value for name, value in os.environ.items() if name not in NOT_INHERITED}
    with log.open("ab") as output:
        process = subprocess.Popen(
            engine.command(), stdout=output, stderr=output, env=environment, start_new_session=True,
            preexec_fn=_prepare_child,
        )  # fmt: skip
    try:
        while not _answers(engine):
            ended = process.poll() is not None
            if stop_requested():  # a signal to all processes of a job may end the engine, too
                raise Interrupted("stopped while vLLM was starting: run the same command again")
            if ended:
                raise FreqqError(f"vLLM ended with status {process.returncode}, see {log}: {_last_error(log)}")
            time.sleep(POLL_S)
        yield process
    finally:
        _end(process)


def _prepare_child() -> None:
    """On Linux, terminate the engine when this process ends, even if it is killed.

    Slurm's signal before a time limit reaches all processes of a job: the engine ignores it, since this process ends it
    after storing the answers.
    """
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def _answers(engine: Engine) -> bool:
    """Whether it lists its model.

    Raises
    ------
    FreqqError
        If there is an answer that waiting does not change.
    """
    try:
        with engine.endpoint().opener().open(f"{engine.url}/models", timeout=5) as response:
            status = response.status
    except urllib.error.HTTPError as error:
        status = error.code
    except (OSError, HTTPException):
        return False
    if 400 <= status < 500:
        raise FreqqError(
            f"what listens at {engine.url} answers with status {status} and not with vLLM's list of models: leave out "
            "a key of vLLM's, or try again if another program took the port"
        )
    return bool(status == 200)


def _end(process: "subprocess.Popen[bytes]") -> None:
    """Terminate an engine and all processes of its session."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        if process.poll() is None or number == signal.SIGKILL:
            try:
                os.killpg(process.pid, number)
            except ProcessLookupError:
                return
        try:
            process.wait(END_S)
        except subprocess.TimeoutExpired:
            continue


def _last_error(log: Path) -> str:
    """The last line with an error, or else the last line."""
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines()[-200:] if line.strip()]
    shown: Sequence[str] = [line for line in lines if "Error" in line] or lines
    return " ".join(shown[-1].split())[:300] if shown else "it printed nothing"
