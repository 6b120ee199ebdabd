"""A process of its own for one replica of the model: evaluates what its supervisor assigns to it.

``python -m freqq.runs.shard_process`` reads an assignment, one line of JSON, from standard input. That stays open: when
it ends, the supervisor is gone, and this process ends, too. What happens is reported on standard output, a line of
JSON each. The exit codes are those of the command line.
"""

import json
import os
import runpy
import selectors
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import IO, Any

import torch

from freqq.errors import BrokenDevice, FreqqError, Interrupted
from freqq.glm.device_errors import check_device, classified
from freqq.glm.load import Weights, load
from freqq.glm.place import Placement
from freqq.runs.batches import Remaining, control
from freqq.runs.directory import RunDirectory
from freqq.runs.environment import part_metadata
from freqq.runs.evaluate import BatchEvaluator
from freqq.runs.local_loop import Report, evaluate_remaining
from freqq.runs.machine import Machine
from freqq.runs.page_files import check_page_files
from freqq.runs.parts import NEVER, PartWriter, answered
from freqq.runs.plan import arms, draw, prepared, share
from freqq.runs.settings import Settings
from freqq.runs.shard import Shard
from freqq.runs.stop import GRACE_S, SIGNALS, StopRequest

COMMAND = (sys.executable, "-P", "-m", "freqq.runs.shard_process")

END_S = 60.0
"""How long a process may take to end after its last word; some libraries hang then. All of its rows are stored before.
"""

SOON_S = 0.02
"""How often a process that is about to end is looked at."""


@dataclass(frozen=True)
class Replica:
    """A model on a device, and the run that it evaluates samples of."""

    run: Path
    settings: Settings
    weights: Weights
    placement: Placement
    shard: Shard
    machine: Machine

    def open(self) -> tuple[BatchEvaluator, PartWriter]:
        """Load the model; the writer gathers its rows.

        Raises
        ------
        BrokenDevice
            If the accelerator fails.
        FreqqError
            If the model cannot be loaded.
        """
        if self.machine.threads is not None:
            torch.set_num_threads(self.machine.threads)
        reader = load(self.weights, self.placement)
        check_device(reader.model.device)
        try:
            evaluator = BatchEvaluator(reader, self.settings, self.shard, self.machine)
        except RuntimeError as error:  # an adapter goes to the device, too
            raise classified(error) from error
        return evaluator, PartWriter(self.run, self.shard, part_metadata(self.run, reader.device))

    @property
    def batch_size(self) -> int:
        """Samples that are read together."""
        return self.machine.samples_together(self.settings)


@dataclass(frozen=True)
class Assignment:
    """Samples for one replica, by their ids; all that its process needs to know, as JSON.

    Parameters
    ----------
    suspects : mapping
        Those of them that are read last and alone, as `Remaining` takes them.
    failed_before : float
        The time before which rows that failed count as missing, in Unix seconds.
    script : str or None
        The Python file of the supervisor's main program, if that adds methods, tasks or families. It is run here, too,
        by another ``__name__`` than ``__main__``.
    """

    replica: Replica
    samples: tuple[str, ...]
    suspects: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    failed_before: float = NEVER
    script: str | None = None

    def as_json(self) -> dict[str, Any]:
        """Itself, as values of JSON."""
        values = asdict(self)
        values["replica"] |= {"run": str(self.replica.run), "shard": str(self.replica.shard)}
        values["replica"]["weights"]["folder"] = str(self.replica.weights.folder)
        return values

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "Assignment":
        """What `as_json` gave."""
        found = values.pop("replica")
        weights = found["weights"] | {"folder": Path(found["weights"]["folder"])}
        replica = Replica(
            Path(found["run"]),
            Settings.from_json(found["settings"]),
            Weights(**weights),
            Placement(**found["placement"]),
            Shard.parse(found["shard"]),
            Machine(**found["machine"]),
        )
        return cls(replica, tuple(values.pop("samples")), **values)


def evaluate_assignment(assignment: Assignment, stop: StopRequest, report: Report) -> None:
    """Load the model and answer what remains of an assignment.

    Raises
    ------
    Interrupted
        If a stop was requested before all was done.
    FreqqError
        If the model cannot be loaded, the disk is full, or methods, model or data are no longer those of ``run.json``.
    """
    replica = assignment.replica
    settings = replica.settings
    everything = {entry.bare.id: entry for entry in draw(settings).entries}
    todo = prepared(arms(settings), settings.rendering.configs(entry.bare for entry in everything.values()))
    evaluator, writer = replica.open()
    stop.finish = writer.flush
    evaluator.reader.stop_requested = lambda: stop.requested
    planned = [arm["config_hash"] for arm in RunDirectory(replica.run).plan()["arms"]]
    hashed = list(zip(todo, planned, strict=True))
    evaluator.check_planned(hashed)
    good = answered(replica.run, retry_failed=True) if assignment.suspects else set()
    check = control([entry.bare for entry in share(list(everything.values()), replica.shard)], hashed, good)
    wanted = [*assignment.samples, *(sample.id for sample in (check.samples if check else ()))]
    samples, count = settings.source.read([everything[id] for id in wanted]), len(assignment.samples)
    check = check and replace(check, samples=samples[count:])
    check_page_files(replica.run, samples)
    there = answered(replica.run, True, assignment.failed_before)
    remaining = Remaining(samples[:count], hashed, there, assignment.suspects)
    report({"ready": True})
    with closing(evaluator):
        if not evaluate_remaining(evaluator, writer, remaining, replica.batch_size, stop, report, check):
            raise Interrupted("stopped")
    report({"done": True})


def main() -> None:
    """Do what standard input says; see the module."""
    out = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # whatever a library prints is no report
    out.write("\n")  # the end of a line that one began to print before
    assigned = sys.stdin.readline()
    threading.Thread(target=_end_with_supervisor, args=(sys.stdin,), daemon=True).start()

    def report(what: dict[str, Any]) -> None:
        print(json.dumps(what), file=out, flush=True)

    with StopRequest(grace_s=GRACE_S, words="") as stop:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)  # the supervisor blocked them until they are minded here
        try:
            values = json.loads(assigned)
            if values["script"] is not None:
                runpy.run_path(values["script"], run_name="__freqq_worker__")
            evaluate_assignment(Assignment.from_json(values), stop, report)
        except Interrupted as error:
            sys.exit(error.exit_code)
        except BrokenDevice as error:
            report({"broken": str(error)})
            sys.exit(error.exit_code)
        except FreqqError as error:
            report({"error": str(error), "exit_code": error.exit_code})
            sys.exit(error.exit_code)
        except Exception as error:
            text = f"a worker failed with {type(error).__name__}: {' '.join(str(error).split())}"
            report({"error": text, "exit_code": FreqqError.exit_code})
            raise


def _end_with_supervisor(its_words: IO[str]) -> None:
    its_words.read()
    os._exit(1)


class Subprocesses:
    """Real ones, on this machine.

    Parameters
    ----------
    inherited : sequence of int
        File descriptors that they keep open, so that a lock is held until the last of them has ended.
    """

    def __init__(self, inherited: Sequence[int] = ()) -> None:
        self._inherited = inherited
        self._selector = selectors.DefaultSelector()
        self._silent: dict[subprocess.Popen[bytes], float] = {}
        """Those that report no more and have not ended, and when they are killed."""

    def start(self, assignment: Assignment) -> subprocess.Popen[bytes]:
        """A process that finds the same packages, and is sent its assignment."""
        path = os.pathsep.join(entry or os.getcwd() for entry in sys.path)
        # A terminal's Ctrl-C is for the supervisor alone; other signals wait until the process minds them.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        try:
            process = subprocess.Popen(
                COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True,
                pass_fds=self._inherited, env=os.environ | {"PYTHONPATH": path},
            )  # fmt: skip
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        # What a pipe does not hold is written when the process reads it.
        text = json.dumps(assignment.as_json()).encode() + b"\n"
        threading.Thread(target=_send, args=(process.stdin, text), daemon=True).start()
        self._selector.register(process.stdout, selectors.EVENT_READ, (process, bytearray()))  # type: ignore[arg-type]
        return process

    def wait(self, seconds: float) -> list[tuple[subprocess.Popen[bytes], list[dict[str, Any]], int | None]]:
        """What processes reported meanwhile, and the exit code of those that ended, negative for a signal."""
        found: list[tuple[subprocess.Popen[bytes], list[dict[str, Any]], int | None]] = []
        for key, _ in self._selector.select(min(seconds, SOON_S) if self._silent else seconds):
            process, unread = key.data
            unread += (said := os.read(key.fd, 1 << 16))
            *lines, unread[:] = unread.split(b"\n")
            if not said:
                self._selector.unregister(key.fileobj)
                process.stdout.close()
                self._silent[process] = time.monotonic() + END_S
            found.append((process, [report for line in lines if (report := _report(line)) is not None], None))
        for process, deadline in list(self._silent.items()):
            if (code := process.poll()) is not None:
                del self._silent[process]
                with suppress(OSError):  # of an assignment that it did not read
                    process.stdin.close()  # type: ignore[union-attr]
                found.append((process, [], code))
            elif time.monotonic() > deadline:
                process.kill()
        return found


def _report(line: bytes) -> dict[str, Any] | None:
    """What a line reports; None if a library printed it while it was imported."""
    try:
        found = json.loads(line)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def _send(pipe: IO[bytes], text: bytes) -> None:
    with suppress(OSError):  # that the process is dead is noticed elsewhere
        pipe.write(text)
        pipe.flush()


if __name__ == "__main__":
    main()
