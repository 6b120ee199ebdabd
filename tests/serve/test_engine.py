"""vLLM as a process of its own; with a real one in tests/vllm."""

import signal
import subprocess
import sys

import pytest

from freqq.serve.engine import _prepare_child


@pytest.mark.skipif(not hasattr(signal, "SIGUSR1"), reason="no such signal here")
def test_an_engine_survives_the_warning_that_slurm_sends_to_all_processes_of_a_job():
    told = "import os, signal; os.kill(os.getpid(), signal.SIGUSR1); print('alive')"
    done = subprocess.run([sys.executable, "-c", told], preexec_fn=_prepare_child, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "alive\n")
