"""The training loop. Randomness is seeded by step, so a resumed training equals an uninterrupted one."""

import math
import random
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, TypeVar

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list
from torch import Tensor, nn

from freqq.adapt.compressors import follow, remove_codebooks, store_codebook
from freqq.adapt.gradients import Gradients
from freqq.adapt.log import Log
from freqq.adapt.optimizers import masters, optimizers, round_to
from freqq.adapt.schedule import VALIDATION_SHARE, TimeLimit, rate_factor, timed_rate_factor
from freqq.adapt.settings import CHECKPOINT, Adaptation, Habits
from freqq.adapt.student import Student
from freqq.adapt.training_data import Example, TrainingData
from freqq.adapt.validation import Validation, Validator
from freqq.errors import FreqqError, Interrupted
from freqq.glm.adapter import Adapter
from freqq.glm.train import checkpoint
from freqq.runs.stop import StopRequest
from freqq.tokens.vq_training import CodebookAverages

T = TypeVar("T")

PACE_STEPS = 10
"""Recent steps whose mean time predicts how many more fit into a time limit."""

CLIP = 1.0
"""The largest norm of the gradient."""


Report = Callable[[int, int, dict[str, float]], None]
"""Gets the step, the number of steps (estimated if there is a time limit), and the values of the step or validation."""


class Training:
    """A training in a folder; `run` resumes the last one.

    Parameters
    ----------
    folder : Path
        For checkpoint, log and the best adapter so far.
    clock : callable
        Returns seconds from an arbitrary start.
    began : float
        The clock's reading at the start of this run.
    """

    def __init__(
        self,
        adaptation: Adaptation,
        habits: Habits,
        adapter: Adapter,
        data: TrainingData,
        accelerator: Accelerator,
        folder: Path,
        clock: Callable[[], float],
        began: float,
    ) -> None:
        self._clock, self._began = clock, began
        self.adaptation, self.habits, self.adapter, self.data = adaptation, habits, adapter, data
        self.folder, self.accelerator = folder, accelerator
        self.parameters = adapter.parameters()
        self.masters = masters(self.parameters)
        self.optimizers = optimizers(adaptation, self.masters)
        self.peaks = [optimizer.param_groups[0]["lr"] for optimizer in self.optimizers]
        self.compressors = adaptation.compressors()
        self.averages: CodebookAverages | None = None
        if adaptation.learn_codebook:
            grids = adapter.reader.see(data.held_out(0).pages)
            self.averages, self.compressors = follow(self.compressors, grids[0])
        self.student = Student(adapter, adaptation.distill, adaptation.first_weight, habits.recompute)
        self.validator = Validator(self.student, adapter.reader, data, self.compressors, habits.answers)
        self.step, self.steps = 0, adaptation.steps
        self.best, self.bad, self.best_step = math.inf, 0, 0
        self._seconds_before = 0.0
        self.time: TimeLimit | None = None
        self._restore()
        self.log = Log(folder, self.step)
        net = accelerator.prepare(self.student)
        self.gradients = Gradients(accelerator, net, self.student, self.parameters, self.masters)

    def run(self, report: Report, note: Callable[[str], None] = lambda text: None) -> None:
        """Train to the end; `note` gets a line if a time limit shortens validation, or memory runs out.

        Raises
        ------
        Interrupted
            On Ctrl-C or SIGTERM, after a checkpoint.
        FreqqError
            If the loss is not finite; the last good adapter and checkpoint are kept.
        """
        self.student.note = note
        with StopRequest() as stop:
            self.adapter.reader.stop_requested = lambda: stop.requested
            try:
                if self.adaptation.minutes and self.time is None:
                    self.time = self._time_limit(note)
                self._validate_if_due(report)  # a validation that was stopped
                while not self.finished:
                    values = self._learn()
                    self._plan()
                    report(self.step, self.steps, values)
                    self._validate_if_due(report)
                    if self._total(torch.tensor(float(stop.requested))) and not self.finished:
                        raise Interrupted("stopped between two steps")
            except Interrupted as stopped:
                self._store()
                raise Interrupted(f"stopped after step {self.step}; run the same command again to go on") from stopped

    @property
    def seconds(self) -> float:
        """Duration of the training over all of its runs."""
        return self._seconds_before + self._clock() - self._began

    def _time_limit(self, note: Callable[[str], None]) -> TimeLimit:
        limit, held_out = self.adaptation.minutes * 60, len(self.validator.examples)
        validation = self._together(lambda: self.validator.fit(VALIDATION_SHARE * limit, self._clock))
        if len(self.validator.examples) < held_out:
            note(
                f"validating on {len(self.validator.examples)} of {held_out} held-out chats, to keep to --minutes "
                f"{self.adaptation.minutes:g}"
            )
        return TimeLimit(limit, self.seconds, validation)

    def _plan(self) -> None:
        """Update the number of steps that fit into the time limit from the duration of recent ones."""
        if self.time is not None:
            recent = [row["seconds"] for row in self.log.rows[-PACE_STEPS:]]
            steps = [self.time.steps(self.step, self.seconds, sum(recent) / len(recent))]
            self.steps = broadcast_object_list(steps)[0]  # all processes use the value of the first

    def _rate_factor(self) -> float:
        if self.time is None:
            return rate_factor(self.step, self.steps)
        return timed_rate_factor(self.step, broadcast_object_list([self.time.share(self.seconds)])[0])

    @property
    def finished(self) -> bool:
        """Whether all steps are done, or the held-out loss has not fallen for long enough."""
        early = bool(self.habits.patience) and self.bad >= self.habits.patience
        return early or (self.steps > 0 and self.step >= self.steps)

    def _learn(self) -> dict[str, float]:
        began, factor = self._clock(), self._rate_factor()
        for optimizer, peak in zip(self.optimizers, self.peaks, strict=True):
            optimizer.param_groups[0]["lr"] = peak * factor
        level = random.Random(f"adapt/level/{self.adaptation.seed}/{self.step}").randrange(len(self.compressors))
        self.student.pages_at_once = None
        try:
            sums = self.gradients.step(self._batches(), self.compressors[level], self._forget)
        except FloatingPointError as error:
            raise self._diverged(str(error)) from None
        sums["norm"] = float(nn.utils.clip_grad_norm_(list(self.masters.values()), CLIP))
        if not (math.isfinite(sums["loss"]) and math.isfinite(sums["norm"])):
            raise self._diverged(f"loss {sums['loss']:g}, gradient {sums['norm']:g}")
        for optimizer in self.optimizers:
            optimizer.step()
        round_to(self.parameters, self.masters)
        if self.averages is not None:
            self.averages.step(self._total)
        self.step += 1
        took, rate = self._clock() - began, self.optimizers[0].param_groups[0]["lr"]
        self.log.add(
            step=self.step, level=self.adaptation.levels[level], seconds=took, rate=rate,
            pass_examples=self.gradients.piece, vision_pass_pages=self.student.pages_at_once, **sums,
        )  # fmt: skip
        return sums

    def _batches(self) -> list[list[Example]]:
        """This process's examples of the next step, one batch for each pass."""
        size, passes = self.adaptation.batch, self.adaptation.accumulate
        places = (self.step * passes + part for part in range(passes))
        starts = ((at * self.accelerator.num_processes + self.accelerator.process_index) * size for at in places)
        return [[self.data.train(start + i) for i in range(size)] for start in starts]

    def _forget(self) -> None:
        """Drop what the codebook saw in validation, or before memory ran out."""
        if self.averages is not None:
            self.averages.forget()

    def _validate_if_due(self, report: Report) -> None:
        """Where a validation belongs that was not done, validate, keep the best model so far, store a checkpoint."""
        due = self.step % self.habits.validate_every == 0 or self.step == self.steps
        if not due or all(row.get("held_loss") is not None for row in self.log.rows[-1:]):
            return
        began = self._clock()
        report(self.step, self.steps, asdict(self._scores()))
        if self.time is not None:
            self.time = replace(self.time, validation=self._clock() - began)
            if self.step < self.steps:
                self._plan()
        self._store()

    def _scores(self) -> Validation:
        scores = self._together(self.validator.validate)
        [scores] = broadcast_object_list([scores])  # under --minutes, processes may validate on different examples
        self.log.validated(asdict(scores))
        if scores.held_loss < self.best:
            self.best, self.bad, self.best_step = scores.held_loss, 0, self.step
            if self.accelerator.is_main_process:
                self._save()
        else:
            self.bad += 1
        return scores

    def _together(self, validate: Callable[[], T]) -> T:
        """What `validate` returns. If a signal ended it in one process, all stop: no one waits for one that left."""
        try:
            done, stopped = [validate()], 0.0
        except Interrupted:
            done, stopped = [], 1.0
        except FloatingPointError as error:
            raise self._diverged(str(error)) from None
        if self._total(torch.tensor(stopped)):
            raise Interrupted("stopped in a validation")
        return done[0]

    def _total(self, mine: Tensor) -> Tensor:
        total: Tensor = self.accelerator.reduce(mine.to(self.accelerator.device), "sum")
        return total.cpu()

    def _save(self) -> None:
        """Save the adapter. Its card is written last and names the codebook, so that they stay consistent."""
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
        if self.accelerator.is_main_process and self.step:
            facts: dict[str, Any] = {
                "step": self.step, "steps": self.steps, "seconds": self.seconds,
                "best": self.best, "bad": self.bad, "best_step": self.best_step,
            }  # fmt: skip
            if self.time is not None:
                facts |= {"first": self.time.first, "validation": self.time.validation}
                facts |= {"held_out": len(self.validator.examples), "answers": len(self.validator.answered)}
            self.log.write()
            weights = {name: master.detach() for name, master in self.masters.items()}
            if self.averages is not None:
                weights |= self.averages.state()
            file = self.folder / CHECKPOINT
            checkpoint.store(file, {k: repr(v) for k, v in facts.items()}, weights, self.masters, self.optimizers)
        self.accelerator.wait_for_everyone()

    def _restore(self) -> None:
        file = self.folder / CHECKPOINT
        if not file.is_file():
            return
        try:
            facts, weights = checkpoint.restore(file, self.masters, self.optimizers)
            with torch.no_grad():
                for name, master in self.masters.items():
                    master.copy_(weights[name])
            round_to(self.parameters, self.masters)
            if self.averages is not None:
                self.averages.restore(weights)
            self.step, self.steps, self.bad, self.best_step = (
                int(facts[n]) for n in ("step", "steps", "bad", "best_step")
            )
            self._seconds_before, self.best = float(facts["seconds"]), float(facts["best"])
            if self.adaptation.minutes and "validation" in facts:  # absent in checkpoints of older versions
                self.time = TimeLimit(self.adaptation.minutes * 60, float(facts["first"]), float(facts["validation"]))
                self.validator.take(int(facts["held_out"]), int(facts["answers"]))
        except Exception as error:  # libraries raise many kinds of errors on damaged files
            raise FreqqError(f"cannot go on from {file}: {error}; remove it or choose another --out") from error
