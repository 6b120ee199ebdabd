"""The gradient of a step: the mean over its parts, each a batch, which several processes can compute at once."""

import math
import os
import signal
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from types import TracebackType

import torch
from torch import Tensor, nn
from torch.multiprocessing import get_context

LossOf = Callable[[int], tuple[Tensor, dict[str, Tensor]]]
"""``loss_of(step)``: a part's loss, and named values to report; all randomness must depend on the step only."""


class Gradients:
    """Computes gradients of the weights of a model; use it as a context, which ends the processes.

    Further processes share the weights, which move to shared memory. Two parts give the same gradients with one process
    and with two, bit for bit; more parts are added in another order.

    Parameters
    ----------
    model : nn.Module
        Changed in place only, while there are processes.
    trained : sequence of parameters
        Of `model`.
    parts : sequence of callables
    processes : int
        This one included; more than there are parts are not started.
    """

    def __init__(
        self, model: nn.Module, trained: Sequence[nn.Parameter], parts: Sequence[LossOf], processes: int
    ) -> None:
        self.trained, self.parts = trained, parts
        self._own = range(0, len(parts), max(1, min(processes, len(parts))))
        self._others: list[_Process] = []
        if self._own.step > 1:
            model.share_memory()
            for first in range(1, self._own.step):
                mine = range(first, len(parts), self._own.step)
                self._others.append(_Process(trained, [parts[i] for i in mine], self._others))

    def __enter__(self) -> "Gradients":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for other in self._others:
            other.end()

    def of(self, step: int) -> dict[str, float]:
        """Set the gradients of `trained` and return the means of the values, and of the loss.

        Raises
        ------
        FloatingPointError
            If a loss is not finite.
        """
        for other in self._others:
            other.begin(step)
        for parameter in self.trained:
            parameter.grad = None
        found: list[list[dict[str, float]]] = [[_backward(self.parts[i], step) for i in self._own]]
        found += [other.end_of_step(self.trained) for other in self._others]
        if len(self.parts) > 1:
            for parameter in self.trained:
                if parameter.grad is not None:
                    parameter.grad /= len(self.parts)
        values = [part for parts in found for part in parts]
        if not all(math.isfinite(part["loss"]) for part in values):
            raise FloatingPointError(f"the loss of step {step} is not finite")
        named: dict[str, list[float]] = {}
        for part in values:
            for name, value in part.items():
                named.setdefault(name, []).append(value)
        return {name: sum(each) / len(each) for name, each in named.items()}


def _backward(part: LossOf, step: int) -> dict[str, float]:
    """Add a part's gradients to those that are there."""
    loss, values = part(step)
    loss.backward()
    return {name: float(value.detach()) for name, value in {**values, "loss": loss}.items()}


class _Process:
    """Computes the gradients of some parts and leaves their sum in shared memory."""

    def __init__(self, trained: Sequence[nn.Parameter], parts: Sequence[LossOf], earlier: Sequence["_Process"]) -> None:
        self.sums = [torch.zeros_like(p, memory_format=torch.contiguous_format).share_memory_() for p in trained]
        # Forked, for the parts are closures over the weights; both sides then see the same memory.
        context = get_context("fork")
        self.pipe, theirs = context.Pipe()
        others = [self.pipe, *(one.pipe for one in earlier)]
        self.process = context.Process(target=_work, args=(theirs, others, trained, parts, self.sums), daemon=True)
        self.process.start()
        theirs.close()

    def begin(self, step: int) -> None:
        try:
            self.pipe.send(step)
        except OSError as error:
            raise self._ended() from error

    def end_of_step(self, trained: Sequence[nn.Parameter]) -> list[dict[str, float]]:
        """Wait for the gradients, and add them to those of this process."""
        try:
            values, has_gradient = self.pipe.recv()
        except (EOFError, OSError) as error:
            raise self._ended() from error
        for parameter, total, has in zip(trained, self.sums, has_gradient, strict=True):
            if has:
                parameter.grad = total.clone() if parameter.grad is None else parameter.grad.add_(total)
        return values

    def end(self) -> None:
        self.pipe.close()
        self.process.join()

    def _ended(self) -> RuntimeError:
        self.process.join()
        return RuntimeError(f"a process of the training ended with exit code {self.process.exitcode}")


def _work(
    pipe: Connection,
    others: Sequence[Connection],
    trained: Sequence[nn.Parameter],
    parts: Sequence[LossOf],
    sums: Sequence[Tensor],
) -> None:
    """Answer each step with the values of the parts and which weights have a gradient, until the pipe is closed."""
    for other in others:  # else this process would keep open what is to end it
        other.close()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the other side ends this one
    torch.set_num_threads(1)  # OpenMP's further threads do not survive a fork
    while True:
        try:
            step = pipe.recv()
        except EOFError:
            os._exit(0)
        for parameter in trained:
            parameter.grad = None
        values = [_backward(part, step) for part in parts]
        for parameter, total in zip(trained, sums, strict=True):
            if parameter.grad is not None:
                total.copy_(parameter.grad)
        pipe.send((values, [parameter.grad is not None for parameter in trained]))
