"""A worker: a process with one replica of the model that answers the batches which its parent deals to it.

It speaks with its parent over one pipe, so a worker that is killed at any moment leaves nothing locked. It writes its
rows itself; the pipe carries samples down, and up only what was done.
"""

import os
import signal
import threading
from dataclasses import dataclass
from functools import partial
from multiprocessing import parent_process
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch

from freqq.errors import FreqqError
from freqq.glm.load import Weights, load
from freqq.glm.place import Placement
from freqq.runs.environment import environment
from freqq.runs.evaluate import BatchEvaluator
from freqq.runs.machine import Machine
from freqq.runs.parts import PartWriter
from freqq.runs.settings import Settings
from freqq.runs.shard import Shard
from freqq.runs.stop import SIGNALS
from freqq.runs.work import Batch


@dataclass(frozen=True)
class Replica:
    """What one process needs to know: the model, where it goes, and what is read with it and how."""

    weights: Weights
    placement: Placement
    settings: Settings
    shard: Shard
    run: Path
    description: dict[str, Any]
    machine: Machine

    def open(self) -> tuple[BatchEvaluator, PartWriter]:
        """Load the model; the writer gathers what it says."""
        if self.machine.threads is not None:
            torch.set_num_threads(self.machine.threads)
        reader = load(self.weights, self.placement)
        evaluator = BatchEvaluator(reader, self.settings, self.shard, self.machine)
        return evaluator, PartWriter(self.run, self.shard, {"config": self.description, **environment(reader.device)})


@dataclass(frozen=True)
class Loaded:
    """The worker's model is there; it waits for a batch."""


@dataclass(frozen=True)
class Answered:
    """So many rows came out of an arm. They need not be on the disk yet."""

    rows: int


@dataclass(frozen=True)
class Idle:
    """The batch is done; if it was `None`, all rows are on the disk."""


@dataclass(frozen=True)
class Failed:
    """Something is wrong that no sample is to blame for."""

    error: FreqqError


FLUSH, END = "flush", "end"
"""What a parent sends besides batches: write all rows and go on waiting; or do so after the arm at hand, and end."""


def work(pipe: Connection, replica: Replica) -> None:
    """The worker's main function."""
    # A terminal's Ctrl-C and Slurm's signals go to every process, but mean the run, and the parent minds them. Until
    # here they were blocked, since before this process began.
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    threading.Thread(target=_follow_parent, daemon=True).start()
    try:
        _serve(pipe, replica)
    except (EOFError, BrokenPipeError):
        pass  # The parent is gone.
    except FreqqError as error:
        pipe.send(Failed(error))
    except Exception as error:
        pipe.send(Failed(FreqqError(f"a worker failed with {type(error).__name__}: {' '.join(str(error).split())}")))


def _serve(pipe: Connection, replica: Replica) -> None:
    evaluator, writer = replica.open()
    pipe.send(Loaded())
    while (task := pipe.recv()) != END:
        if isinstance(task, Batch):
            made = evaluator.rows if task.error is None else partial(evaluator.given_up, error=task.error)
            for rows in made(task.samples, task.todo):
                writer.add(rows)
                pipe.send(Answered(len(rows)))
                if pipe.poll():  # In the midst of a batch there is but one thing that a parent says.
                    break
            writer.end_batch()
        else:
            writer.flush()
        pipe.send(Idle())
    writer.flush()


def _follow_parent() -> None:
    """End with the parent, however it ends: its lock is gone, and a next run may begin at any moment."""
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def block_signals() -> set[signal.Signals]:
    """Block what a run is stopped with, for this thread and processes that it starts; returns what was blocked."""
    return signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)  # type: ignore[return-value]
