"""vLLM as a process of its own; with a real one in tests/vllm."""

import signal
import subprocess
import sys

import pytest

from freqq.errors import FreqqError, Interrupted
from freqq.runs.run import run
from freqq.runs.settings import Settings
from freqq.serve.engine import Engine, _prepare_child, free_port, running

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


@pytest.mark.skipif(not hasattr(signal, "SIGUSR1"), reason="no such signal here")
def test_an_engine_survives_the_warning_that_slurm_sends_to_all_processes_of_a_job():
    told = "import os, signal; os.kill(os.getpid(), signal.SIGUSR1); print('alive')"
    done = subprocess.run([sys.executable, "-c", told], preexec_fn=_prepare_child, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "alive\n")
