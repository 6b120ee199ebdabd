"""The training loop: seeded by step, so that a training that was stopped goes on as if it never was."""

import math
import random
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list
from torch import Tensor, nn

from freqq.adapt.compressors import follow, remove_codebooks, store_codebook
from freqq.adapt.judge import Judge, Verdict
from freqq.adapt.lessons import Courses
from freqq.adapt.log import Log
from freqq.adapt.settings import Adaptation
from freqq.adapt.student import Student
from freqq.errors import FreqqError, Interrupted
from freqq.glm.adapter import Adapter
from freqq.glm.train import checkpoint
from freqq.runs.stop import StopRequest
from freqq.tokens.vq_training import CodebookAverages

CHECKPOINT = "checkpoint.safetensors"
WARMUP = 30
"""Steps in which the rate rises; also those whose time sets the number of steps that fit into --minutes."""

CLIP = 1.0


@dataclass(frozen=True)
class Habits:
    """What changes no weight but when a training ends, and what is kept of it.

    Parameters
    ----------
    judge_every : int
        Steps between two looks at the held-out lessons, each of which also writes a checkpoint.
    patience : int
        Looks without a lower held-out loss after which training ends; 0: never early.
    held_out, answers : int
        Chats that are looked at, and answers that are generated, at most one a chat.
    recompute : bool
        Keep fewer activations and compute them twice (gradient checkpointing).
    """

    judge_every: int = 250
    patience: int = 0
    held_out: int = 32
    answers: int = 32
    recompute: bool = False


Report = Callable[[int, int, dict[str, float]], None]
"""Gets the step, the number of steps (0: not known yet) and the values of the step or of a look."""


def optimizers(adaptation: Adaptation, parameters: dict[str, nn.Parameter]) -> list[torch.optim.Optimizer]:
    """Muon for the merger's matrices, AdamW for LoRA and the rest; neither decays weights towards zero.

    K. Jordan et al., "Muon: an optimizer for hidden layers in neural networks", 2024.
    """
    matrices = [p for name, p in parameters.items() if p.ndim == 2 and ".lora_" not in name]
    rest = [p for name, p in parameters.items() if p.ndim != 2 or ".lora_" in name]
    both: list[torch.optim.Optimizer] = []
    if rest:
        both.append(torch.optim.AdamW(rest, lr=adaptation.rate, betas=(0.9, 0.98), weight_decay=0.0))
    if matrices:
        muon = {"momentum": 0.95, "adjust_lr_fn": "match_rms_adamw", "weight_decay": 0.0}
        both.append(torch.optim.Muon(matrices, lr=adaptation.merger_rate, **muon))  # type: ignore[arg-type]
    return both


def rate_factor(step: int, steps: int) -> float:
    """Learning rate of a step as a fraction of the peak: a short rise, then half a cosine to zero.

    `steps` is 0 while it is not known, which is over before it matters.
    """
    if step < WARMUP or not steps:
        return min(1.0, (step + 1) / WARMUP)
    return 0.5 * (1 + math.cos(math.pi * (step - WARMUP) / max(steps - WARMUP, 1)))


class Training:
    """A training in a folder; `run` goes on where the last one ended.

    Parameters
    ----------
    folder : Path
        Checkpoint, log and, once there is a best one, the adapter.
    """

    def __init__(
        self,
        adaptation: Adaptation,
        habits: Habits,
        adapter: Adapter,
        courses: Courses,
        accelerator: Accelerator,
        folder: Path,
    ) -> None:
        self.adaptation, self.habits, self.adapter, self.courses = adaptation, habits, adapter, courses
        self.folder, self.accelerator = folder, accelerator
        self.parameters = adapter.parameters()
        self.optimizers = optimizers(adaptation, self.parameters)
        self.peaks = [optimizer.param_groups[0]["lr"] for optimizer in self.optimizers]
        self.compressors = adaptation.compressors()
        self.averages: CodebookAverages | None = None
        if adaptation.learn_codebook:
            grids = adapter.reader.see(courses.held_out(0).pages)
            self.averages, self.compressors = follow(self.compressors, grids[0])
        self.student = Student(adapter, adaptation.distill, adaptation.first_weight, habits.recompute)
        self.judge = Judge(self.student, adapter.reader, courses, self.compressors, habits.answers)
        self.step, self.steps, self.seconds = 0, adaptation.steps, 0.0
        self.best, self.bad, self.best_step = math.inf, 0, 0
        self._restore()
        self.log = Log(folder, self.step)
        self.net = accelerator.prepare(self.student)

    def run(self, report: Report) -> None:
        """Train to the end.

        Raises
        ------
        Interrupted
            On Ctrl-C or SIGTERM, behind a checkpoint.
        FreqqError
            If the loss is not finite any more; the last good adapter and checkpoint stay.
        """
        with StopRequest() as stop:
            while not self.finished:
                values = self._learn()
                report(self.step, self.steps, values)
                if self.step % self.habits.judge_every == 0 or self.step == self.steps:
                    report(self.step, self.steps, asdict(self._look()))
                    self._store()
                if stop.requested and not self.finished:
                    self._store()
                    raise Interrupted(f"stopped after step {self.step}; run the same command again to go on")

    @property
    def finished(self) -> bool:
        """Whether all steps are done, or the held-out loss has not fallen for long enough."""
        early = bool(self.habits.patience) and self.bad >= self.habits.patience
        return early or (self.steps > 0 and self.step >= self.steps)

    def _learn(self) -> dict[str, float]:
        began = time.perf_counter()
        for optimizer, peak in zip(self.optimizers, self.peaks, strict=True):
            optimizer.param_groups[0]["lr"] = peak * rate_factor(self.step, self.steps)
        if self.averages is not None:
            self.averages.forget()  # what held-out lessons added
        level = random.Random(f"adapt/level/{self.adaptation.seed}/{self.step}").randrange(len(self.compressors))
        sums: dict[str, float] = {}
        for parameter in self.parameters.values():
            parameter.grad = None
        for part in range(self.adaptation.accumulate):
            first = (self.step * self.adaptation.accumulate + part) * self.accelerator.num_processes
            first = (first + self.accelerator.process_index) * self.adaptation.batch
            lessons = [self.courses.train(first + i) for i in range(self.adaptation.batch)]
            try:
                with self.accelerator.autocast():
                    values = self.net(lessons, self.compressors[level])
            except FloatingPointError as error:
                raise self._diverged(str(error)) from None
            self.accelerator.backward(values["loss"] / self.adaptation.accumulate)
            for name, value in values.items():
                sums[name] = sums.get(name, 0.0) + float(value.detach()) / self.adaptation.accumulate
        sums["norm"] = float(nn.utils.clip_grad_norm_(list(self.parameters.values()), CLIP))
        if not (math.isfinite(sums["loss"]) and math.isfinite(sums["norm"])):
            raise self._diverged(f"loss {sums['loss']:g}, gradient {sums['norm']:g}")
        for optimizer in self.optimizers:
            optimizer.step()
        if self.averages is not None:
            self.averages.step(self._total)
        self.step += 1
        took = time.perf_counter() - began
        self.seconds += took
        if not self.steps and self.step == WARMUP:
            # The first step also warms up caches; a stop and a new start keep the number that is chosen here.
            rest = self.adaptation.minutes * 60 - self.seconds
            steps = [max(self.step, self.step + int(rest / (self.seconds / self.step)))]
            self.steps = broadcast_object_list(steps)[0]  # all processes take those of the first
        rate = self.optimizers[0].param_groups[0]["lr"]
        self.log.add(step=self.step, level=self.adaptation.levels[level], seconds=took, rate=rate, **sums)
        return sums

    def _look(self) -> Verdict:
        try:
            verdict = self.judge.verdict()
        except FloatingPointError as error:
            raise self._diverged(str(error)) from None
        self.log.judged(asdict(verdict))
        if verdict.held_loss < self.best:
            self.best, self.bad, self.best_step = verdict.held_loss, 0, self.step
            if self.accelerator.is_main_process:
                self._save()
        else:
            self.bad += 1
        return verdict

    def _total(self, mine: Tensor) -> Tensor:
        total: Tensor = self.accelerator.reduce(mine.to(self.accelerator.device), "sum")
        return total.cpu()

    def _save(self) -> None:
        """The adapter; its card comes last and names the codebook, so that the two are one."""
        if self.averages is None:
            self.adapter.save(self.folder)
        else:
            name = store_codebook(self.averages.book, self.folder)
            overrides = dict(self.adaptation.overrides) | {"codebook": name}
            self.adapter.card = replace(self.adapter.card, overrides=tuple(sorted(overrides.items())))
            self.adapter.save(self.folder)
            remove_codebooks(self.folder, but=name)

    def _diverged(self, why: str) -> FreqqError:
        kept = f"{self.folder} keeps the adapter of step {self.best_step}" if self.best_step else "nothing is kept"
        return FreqqError(
            f"training diverged in step {self.step + 1} ({why}); {kept}. Use a lower --rate in a new --out"
        )

    def _store(self) -> None:
        if self.accelerator.is_main_process:
            facts: dict[str, Any] = {
                "step": self.step, "steps": self.steps, "seconds": self.seconds,
                "best": self.best, "bad": self.bad, "best_step": self.best_step,
            }  # fmt: skip
            self.log.write()
            weights = {name: parameter.detach() for name, parameter in self.parameters.items()}
            if self.averages is not None:
                weights |= self.averages.state()
            file = self.folder / CHECKPOINT
            checkpoint.store(file, {k: repr(v) for k, v in facts.items()}, weights, self.parameters, self.optimizers)
        self.accelerator.wait_for_everyone()

    def _restore(self) -> None:
        file = self.folder / CHECKPOINT
        if not file.is_file():
            return
        try:
            facts, weights = checkpoint.restore(file, self.parameters, self.optimizers)
            with torch.no_grad():
                for name, parameter in self.parameters.items():
                    parameter.copy_(weights[name])
            if self.averages is not None:
                self.averages.restore(weights)
            self.step, self.steps, self.bad, self.best_step = (
                int(facts[n]) for n in ("step", "steps", "bad", "best_step")
            )
            self.seconds, self.best = float(facts["seconds"]), float(facts["best"])
        except Exception as error:  # whatever a damaged file makes the libraries raise
            raise FreqqError(f"cannot go on from {file}: {error}; remove it or choose another --out") from error
