"""The gradients of a step, from as many examples at once as there is memory for."""

import gc
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from accelerate import Accelerator

from freqq.adapt.optimizers import Parameters, take_gradients
from freqq.adapt.student import Student
from freqq.adapt.training_data import Example
from freqq.glm.device_errors import is_out_of_memory
from freqq.tokens.base import TokenCompressor


@dataclass
class Gradients:
    """Computes those of a step for the masters of what is trained.

    Parameters
    ----------
    accelerator : Accelerator
    net : the student as the accelerator prepared it
    student : Student
    parameters, masters : what the model has, and what optimizers change (`freqq.adapt.optimizers`), by name
    piece : int or None
        Examples that are read at once; None: those of a batch. Smaller from when memory ran out.
    """

    accelerator: Accelerator
    net: Any
    student: Student
    parameters: Parameters
    masters: Parameters
    piece: int | None = None

    def step(
        self,
        batches: Sequence[Sequence[Example]],
        compressor: TokenCompressor | None,
        begin: Callable[[], None] = lambda: None,
    ) -> dict[str, float]:
        """Give the masters the gradients of the mean loss of some batches; returns the means of its values.

        If memory runs out, also in a backward pass, the step is computed again in smaller pieces, and so are all that
        follow. A piece's loss counts as much as the tokens of its answers do, so gradients are those of whole batches
        up to rounding.

        Parameters
        ----------
        begin : callable
            Called before each attempt.

        Raises
        ------
        RuntimeError, MemoryError
            If a single example is too large. Of several processes, each waits for the gradients of the others, so
            there none is tried again.
        """
        largest = max(map(len, batches))
        while True:
            begin()
            try:
                return self._step(batches, compressor)
            except (RuntimeError, MemoryError) as error:
                at_once = min(self.piece or largest, largest)
                if not is_out_of_memory(error) or at_once == 1 or self.accelerator.num_processes > 1:
                    raise
            # Behind the handler, as the error holds the tensors that there was no memory for.
            gc.collect()
            torch.cuda.empty_cache()
            self.piece = (at_once + 1) // 2
            self.student.note(f"out of memory on {at_once} examples at once: they are read {self.piece} at a time")

    def _step(self, batches: Sequence[Sequence[Example]], compressor: TokenCompressor | None) -> dict[str, float]:
        for parameter in (*self.parameters.values(), *self.masters.values()):
            parameter.grad = None
        sums: dict[str, float] = {}
        for batch in batches:
            for piece, share in self._pieces(batch):
                with self.accelerator.autocast():
                    values = self.net(piece, compressor)
                loss = values["loss"] / len(batches)
                self.accelerator.backward(loss if share == 1 else loss * share)
                take_gradients(self.parameters, self.masters)
                for name, value in values.items():
                    sums[name] = sums.get(name, 0.0) + float(value.detach()) * share / len(batches)
        return sums

    def _pieces(self, batch: Sequence[Example]) -> list[tuple[Sequence[Example], float]]:
        """The pieces of a batch, and each one's share of its loss."""
        size = self.piece or len(batch)
        pieces = [batch[at : at + size] for at in range(0, len(batch), size)]
        if len(pieces) == 1:
            return [(batch, 1.0)]
        weights = [self.student.weight(piece) for piece in pieces]
        return [(piece, weight / sum(weights)) for piece, weight in zip(pieces, weights, strict=True)]
