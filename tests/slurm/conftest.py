"""A real Slurm for tests that need one: started once, in a folder of its own, and gone at the end."""

import json
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests import programs
from tests.cli.test_app import freqq
from tests.slurm import cluster

REPOSITORY = Path(__file__).parents[2]
PATIENCE_S = 600
"""After this long something hangs: alone on two cores, no test here waits for a twentieth of it."""


@pytest.fixture(scope="session")
def started() -> Iterator[dict[str, str]]:
    programs.require("slurm")
    with cluster.running() as variables:
        yield variables


@dataclass(frozen=True)
class Slurm:
    """A user at a login node, in an empty folder."""

    folder: Path
    monkeypatch: pytest.MonkeyPatch

    @property
    def run(self) -> Path:
        """A run directory with a name that needs quotes everywhere."""
        return self.folder / "50% of it's"

    def submit(self, *options: str, evaluate: tuple[str, ...] = (), setup: tuple[str, ...] = ()) -> None:
        """``freqq slurm-submit`` with one core a process."""
        lines = [word for line in setup for word in ("--setup", line)]
        arguments = ["slurm-submit", "--cpus-per-gpu", "1", *options, *lines, "--", *evaluate, "--out", str(self.run)]
        self.monkeypatch.setattr(sys, "argv", ["freqq", *arguments])  # it keeps its own command line
        done = freqq(*arguments)
        assert done.exit_code == 0, done.output

    def submit_again(self) -> None:
        """The command that ``freqq slurm-status`` shows for it."""
        *_, line = freqq("slurm-status", str(self.run)).stdout.splitlines()
        done = subprocess.run(["bash", "-c", line], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr

    def status(self) -> dict[str, Any]:
        """``freqq slurm-status --json``."""
        done = freqq("slurm-status", "--json", str(self.run))
        assert done.exit_code == 0, done.output
        return json.loads(done.stdout)

    def wait(self, ready: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
        """Its status, as soon as it is as wanted or will never be."""
        deadline = time.monotonic() + PATIENCE_S
        while not ready(found := self.status()):
            assert time.monotonic() < deadline, f"{found}\n{self.logs()}"
            time.sleep(1)  # asking takes some of the time that the jobs need
        return found

    def wait_for_merge(self) -> dict[str, Any]:
        """Its status after everything, which went well."""
        found = self.wait(lambda s: s["merge"]["state"] == "COMPLETED" or s["stuck"])
        assert found["merge"]["state"] == "COMPLETED", f"{found}\n{self.logs()}"
        assert (found["merge"]["merged"], found["stuck"]) == (True, False)
        return found

    def wait_for_rows(self, *shards: str) -> None:
        """Return when each shard has stored its first rows, and so is in full swing."""
        deadline = time.monotonic() + PATIENCE_S
        while not all(any(self.run.glob(f"parts/{shard}-*.parquet")) for shard in shards):
            assert time.monotonic() < deadline, self.logs()
            time.sleep(0.1)

    def logs(self) -> str:
        """All logs."""
        return "\n".join(f"{log}:\n{log.read_text()}" for log in sorted((self.run / "slurm").glob("*.log")))

    def log(self, name: str) -> str:
        return (self.run / "slurm" / name).read_text()

    def __call__(self, command: str) -> str:
        """What one of Slurm's own programs prints."""
        return subprocess.run(shlex.split(command), capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture
def slurm(started: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Slurm]:
    """A running cluster with an empty queue."""
    for name, value in started.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))
    monkeypatch.chdir(tmp_path)
    yield Slurm(tmp_path, monkeypatch)
    cluster.cancel_everything(started)
