"""What a run is computed on: processes, devices, batches."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch

from freqq.errors import UserError
from freqq.glm.place import Placement, place
from freqq.runs.settings import Settings
from freqq.runs.sources import usual_batch_size
from freqq.serve.endpoint import Endpoint

MOST_BESIDE = 4
"""One thread codes the tokens of a GLM-4.1V's page in 30 to 60 ms, in which the model reads no whole one."""


@dataclass(frozen=True)
class Machine:
    """What a run is computed on; without influence on its rows, but see `together`.

    Parameters
    ----------
    gpus : int or None
        So many processes, each with a replica of the model on a GPU of its own.
    workers : int or None
        So many processes, each with a replica on the CPU and its part of the cores.
    spread : bool
        One replica over all GPUs, by accelerate.
    batch_size : int or None
        Samples that are read together; None: what suits the data.
    max_batch_tokens : int or None
        Tokens that are read together, padding and new ones included; None: no limit.
    prefill_chunk : int or None
        Tokens of each prompt that are read at once; None: all of them, unless memory runs out.
    offload : bool
        Whether what runs out of memory even alone is tried with `freqq.glm.memory_saving.MemorySaving.offload`.
    endpoint : Endpoint or None
        The server that answers, for the backend that is one.
    limits : mapping
        Parameters of `Endpoint` for an engine of the run's own.
    tensor_parallel, data_parallel : int
        GPUs that share one replica of the model, and replicas, for the backend vllm.

    Raises
    ------
    UserError
        If a number is out of range, or two of them contradict each other.
    """

    gpus: int | None = None
    workers: int | None = None
    spread: bool = False
    batch_size: int | None = None
    max_batch_tokens: int | None = None
    prefill_chunk: int | None = None
    offload: bool = False
    endpoint: Endpoint | None = None
    limits: Mapping[str, Any] = field(default_factory=dict)
    tensor_parallel: int = 1
    data_parallel: int = 1

    def __post_init__(self) -> None:
        for name in ("gpus", "workers", "batch_size", "max_batch_tokens", "prefill_chunk"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UserError(f"--{name.replace('_', '-')} {value}: at least 1 is needed")
        given = [
            n for n, v in (("gpus", self.gpus), ("workers", self.workers), ("device-map", self.spread or None)) if v
        ]
        if len(given) > 1:
            raise UserError(f"--{given[0]} and --{given[1]} exclude each other: give one of them")
        if self.endpoint is not None:
            for name in ("gpus", "workers", "batch_size", "max_batch_tokens"):
                if getattr(self, name) is not None:
                    raise UserError(f"--{name.replace('_', '-')} is for the local backend: a server has --concurrency")

    def check_backend(self, backend: str) -> None:
        """Refuse what is for another backend.

        Raises
        ------
        UserError
            The message says which.
        """
        if backend != "openai" and self.endpoint is not None:
            raise UserError("--base-url is for --backend openai: give both or neither")
        engines: dict[str, Any] = {"tensor-parallel": self.tensor_parallel > 1, "data-parallel": self.data_parallel > 1}
        memory: dict[str, Any] = {"prefill-chunk": self.prefill_chunk, "offload": self.offload}
        local = memory | {
            "gpus": self.gpus,
            "workers": self.workers,
            "batch-size": self.batch_size,
            "max-batch-tokens": self.max_batch_tokens,
            "device-map": self.spread,  # with a server, too: the vision tower may run here
        }
        wrong = {"local": engines, "vllm": local, "openai": engines | memory}[backend]
        if other := [name for name, value in wrong.items() if value]:
            fit = "vllm" if other[0] in engines else "local"
            raise UserError(f"--{other[0]} is for --backend {fit}: leave it out")

    def placements(self, settings: Settings) -> list[Placement]:
        """Where the model goes, once for each replica.

        Raises
        ------
        UserError
            If there are not so many GPUs, or what was asked for cannot run here.
        """
        put = partial(place, settings.dtype, attention=settings.attention, quantization=settings.quantization)
        if self.gpus is not None:
            if self.gpus > torch.cuda.device_count():
                raise UserError(f"--gpus {self.gpus}: {torch.cuda.device_count()} are visible here; see --workers")
            return [put(f"cuda:{i}") for i in range(self.gpus)]
        if self.workers is not None:
            return [put("cpu", replicas=self.workers)] * self.workers
        return [put(spread=self.spread)]

    def samples_together(self, settings: Settings) -> int:
        """Samples that are read together, at most."""
        return self.batch_size or usual_batch_size(settings.source, self.max_batch_tokens is not None)

    def together(self, settings: Settings, dtype: str) -> tuple[int, int | None] | None:
        """Samples and tokens that are read together, where that can change an answer; None where it cannot.

        In float32 a batch changes sums by less than what tells one token from the next. In half precision it changed
        the wording of some answers in a hundred.
        """
        return None if dtype == "float32" else (self.samples_together(settings), self.max_batch_tokens)

    @property
    def in_processes(self) -> bool:
        """Whether replicas have processes of their own."""
        return self.gpus is not None or self.workers is not None

    @property
    def threads(self) -> int | None:
        """Of each worker's arithmetic: the cores that this process may use, or OMP_NUM_THREADS, shared out."""
        if self.workers is None:
            return None
        cores, asked = _cores(), os.environ.get("OMP_NUM_THREADS", "")
        return max(1, min(cores // self.workers, int(asked) if asked.isdecimal() else cores))

    @property
    def threads_beside(self) -> int:
        """Threads for each replica's work beside the model: what is left of its share of the cores, 1 to 4."""
        return max(1, min(MOST_BESIDE, _cores() // (self.workers or self.gpus or 1) - 1))


def _cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


HERE = Machine()
"""This process, and its first GPU or the CPU."""
