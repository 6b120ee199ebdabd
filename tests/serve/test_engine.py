"""vLLM as a process of its own; with a real one in tests/vllm."""

import signal
import subprocess
import sys
from contextlib import nullcontext
from types import SimpleNamespace

import pytest

from freqq.errors import FreqqError, Interrupted, UserError
from freqq.runs.machine import HERE
from freqq.runs.plan import Identity
from freqq.runs.run import run
from freqq.runs.served import engine_for, started
from freqq.runs.settings import Settings
from freqq.serve.engine import Engine, _prepare_child, free_port, running
from freqq.vllm.positions import MOST

FAILS = "raise SystemExit('RuntimeError: no memory for the model')"
IS_STOPPED = "import os, signal; os.kill(os.getppid(), signal.SIGTERM)"
"""As Slurm does it to all processes of a job: this one ends, too."""


SAYS_VARIABLES = """import os
raise SystemExit(f"RuntimeError: {[name for name in ('FREQQ_VLLM', 'VLLM_API_KEY') if name in os.environ]}")"""


class Scripted(Engine):
    """A process that never answers, for what comes before the first answer."""

    def command(self) -> list[str]:
        return [sys.executable, "-c", self.name]


@pytest.mark.parametrize(
    ("code", "kind", "message"),
    [(FAILS, FreqqError, "no memory for the model"), (IS_STOPPED, Interrupted, "run the same command again")],
)
def test_an_engine_that_does_not_come_up_is_told_each_time_and_keeps_no_folder(
    random_model, tmp_path, monkeypatch, code, kind, message
):
    settings = Settings(model=random_model, limit=1, max_new_tokens=2, backend="vllm")
    monkeypatch.setattr("freqq.runs.run.engine_for", lambda *_: Scripted(tmp_path, code, "float32", port=free_port()))
    for _ in range(2):
        with pytest.raises(kind, match=message) as caught:
            run(settings, tmp_path / "run")
        assert type(caught.value) is kind
        assert [file.name for file in (tmp_path / "run").iterdir()] == ["vllm.log"]


def test_an_engine_of_the_runs_own_has_no_default_method_and_no_key(tmp_path, monkeypatch):
    monkeypatch.setenv("FREQQ_VLLM", '{"method": "token-prune"}')
    monkeypatch.setenv("VLLM_API_KEY", "sk-secret")
    engine = Scripted(tmp_path, SAYS_VARIABLES, "float32", port=free_port())
    with pytest.raises(FreqqError, match=r"RuntimeError: \[\]"), running(engine, tmp_path / "vllm.log"):
        pass


LISTENS = """import http.server
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response({status})
        self.end_headers()
http.server.HTTPServer(("127.0.0.1", {port}), Handler).serve_forever()"""


def listening(folder, status: int) -> Scripted:
    port = free_port()
    return Scripted(folder, LISTENS.format(status=status, port=port), "float32", port=port)


@pytest.mark.parametrize("status", [401, 404])
def test_waiting_for_an_engine_ends_with_an_answer_that_no_wait_changes(tmp_path, status):
    with (
        pytest.raises(FreqqError, match=f"answers with status {status} and not with vLLM's list of models"),
        running(listening(tmp_path, status), tmp_path / "vllm.log"),
    ):
        pass


def test_an_engine_is_waited_for_past_proxies(tmp_path, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    with running(listening(tmp_path, 200), tmp_path / "vllm.log") as process:
        assert process.poll() is None


def test_another_release_is_refused_before_it_is_started(tmp_path, monkeypatch):
    """Unless it is served without the plug-in."""
    monkeypatch.setattr("freqq.serve.engine.importlib.util.find_spec", lambda name: object())
    monkeypatch.setattr("freqq.vllm.installed", lambda: "0.12.0")
    monkeypatch.delenv("VLLM_PLUGINS", raising=False)
    engine = Engine(tmp_path, "m", "float32")
    with pytest.raises(UserError, match=r"was tried with vLLM .* and this is 0\.12\.0"):
        engine.command()
    monkeypatch.setenv("VLLM_PLUGINS", "")
    assert "serve" in engine.command()
    monkeypatch.setattr("freqq.vllm.installed", lambda: "0.32.1")
    monkeypatch.setenv("VLLM_PLUGINS", "freqq")
    assert "serve" in engine.command()


@pytest.mark.parametrize(
    ("context", "served_by", "options"),
    [(MOST, "its", []), (2 * MOST, "its", ["--max-model-len", str(MOST)]), (2 * MOST, None, [])],
)
def test_an_engine_of_the_runs_own_has_a_context_that_the_plug_in_has_positions_for(
    tmp_path, monkeypatch, context, served_by, options
):
    monkeypatch.setattr("freqq.serve.engine.importlib.util.find_spec", lambda name: object())
    monkeypatch.setattr("freqq.serve.engine.refusal", lambda: None)
    monkeypatch.setattr("freqq.runs.served.read_spec", lambda weights: spec)
    spec = SimpleNamespace(context=context, family=SimpleNamespace(engine=served_by))
    weights, placement = SimpleNamespace(folder=tmp_path, name="m"), SimpleNamespace(device="cuda:0", dtype="float32")
    engine = engine_for(weights, placement, HERE)
    assert engine.command()[len(Engine(tmp_path, "m", "float32").command()) :] == options


def test_an_engine_of_the_runs_own_waits_for_a_day_unless_told_otherwise(tmp_path, monkeypatch):
    monkeypatch.setattr("freqq.runs.served.running", lambda *_, **__: nullcontext())
    for limits, expected in (({}, (32, 86400, 5)), ({"timeout_s": 5.0, "concurrency": 3, "retries": 1}, (3, 5, 1))):
        engine, identity = Engine(tmp_path, "m", "float32", compresses=bool(limits)), Identity("1", "float32")
        with started(engine, identity, tmp_path / "log", lambda: False, limits) as service:
            endpoint = service.client.endpoint
            assert (endpoint.concurrency, endpoint.timeout_s, endpoint.retries) == expected
            assert endpoint.own
            assert service.compresses == engine.compresses  # without the plug-in no method is named, not even none


@pytest.mark.skipif(not hasattr(signal, "SIGUSR1"), reason="no such signal here")
def test_an_engine_survives_the_warning_that_slurm_sends_to_all_processes_of_a_job():
    told = "import os, signal; os.kill(os.getpid(), signal.SIGUSR1); print('alive')"
    done = subprocess.run([sys.executable, "-c", told], preexec_fn=_prepare_child, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "alive\n")
