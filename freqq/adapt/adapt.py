"""Train an adapter into a folder, from data, model and checkpoint."""

import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import torch
from accelerate import Accelerator

from freqq.adapt.loop import Report, Training
from freqq.adapt.memory import LESS, check_memory
from freqq.adapt.settings import Adaptation, Habits, check_free, claim
from freqq.adapt.training_data import TrainingData, file_data, glyph_data, mini_data
from freqq.errors import UserError
from freqq.files import check_writable
from freqq.glm.adapter import Adapter
from freqq.glm.adapter_card import AdapterCard
from freqq.glm.device_errors import classified
from freqq.glm.families import families
from freqq.glm.load import Weights, family_in, find, load_reader
from freqq.glm.place import multiplies_bfloat16
from freqq.runs.lock import lock
from freqq.runs.shard import Shard
from freqq.runs.sources import check_needles
from freqq.runs.unfamiliar import unfamiliar

HABITS = Habits()


def adapt(
    adaptation: Adaptation,
    folder: Path,
    habits: Habits = HABITS,
    report: Report = lambda step, steps, values: None,
    note: Callable[[str], None] = lambda text: None,
    began: float | None = None,
) -> Path:
    """Train an adapter, with checkpoints in `folder`; the same call resumes after a stop.

    Equal settings give equal weights on the same kind of machine with the same number of threads and processes. Under
    ``accelerate launch`` each process has its own examples, and a step includes all of them.

    Parameters
    ----------
    report : callable
        Gets the step, the number of steps (estimated if there is a time limit), and the values of the step or of a
        validation.
    note : callable
        Gets a line with the estimated memory, and one if a time limit shortens validation or memory runs out.
    began : float, optional
        The reading of `time.monotonic` from which a time limit counts; by default the time of the call.

    Returns
    -------
    Path
        The adapter's folder: `folder`, with the weights of the lowest held-out loss.

    Raises
    ------
    UserError
        If no data are left for training, the folder contains another training or one that another process works on,
        or an option is invalid.
    Interrupted, FreqqError
        See `Training.run`.
    """
    with ExitStack() as held:
        training = prepare(adaptation, folder, habits, began, time.monotonic, held)
        note(check_memory(training))
        data = adaptation.source
        if (strange := unfamiliar(adaptation.model, data, adaptation.rendering, data.samples(limit=1))) is not None:
            note(strange)
        try:
            training.run(report, note)
        except (RuntimeError, MemoryError) as error:
            raise classified(error, f"a step of {adaptation.batch} examples: {LESS}") from error
    return folder


def prepare(
    adaptation: Adaptation,
    folder: Path,
    habits: Habits = HABITS,
    began: float | None = None,
    clock: Callable[[], float] = time.monotonic,
    held: ExitStack | None = None,
) -> Training:
    """Prepare everything for the first step, or the next one of a resumed training.

    The first of several processes claims the folder, and keeps it until `held` is closed, if that is given.
    """
    began = clock() if began is None else began
    check_free(folder)
    check_writable(folder)
    weights = find(adaptation.model, adaptation.revision)
    check_family(weights)
    data = training_data(adaptation, habits.held_out)
    where = "cuda" if torch.cuda.is_available() else "cpu"  # accelerate's choice, too
    accelerator = Accelerator(mixed_precision="bf16" if multiplies_bfloat16(where) else "no")
    if accelerator.is_main_process:
        folder.mkdir(parents=True, exist_ok=True)
        if held is not None:
            held.enter_context(lock(folder, Shard()))
        claim(folder, adaptation, weights.revision, data.data_revision)
    accelerator.wait_for_everyone()
    reader = load_reader(adaptation.model, adaptation.revision, adaptation.dtype, str(accelerator.device))
    card = AdapterCard(
        method=adaptation.name,
        levels=adaptation.levels,
        overrides=adaptation.overrides,
        base=reader.model_name,
        base_revision=reader.revision,
        train=adaptation.train,
        rank=adaptation.rank,
        data=data.data,
        data_revision=data.data_revision,
        seed=adaptation.seed,
    )
    with torch.random.fork_rng():
        torch.manual_seed(adaptation.seed)  # for the first factors of LoRA
        adapter = Adapter(reader, card)
    return Training(adaptation, habits, adapter, data, accelerator, folder, clock, began)


def check_family(weights: Weights) -> None:
    """Refuse a model of a family without support for adapters.

    Raises
    ------
    UserError
        If its family has no support.
    """
    family = family_in(weights)
    if not family.adapters:
        names = ", ".join(other.name for other in families().values() if other.adapters)
        raise UserError(f"{weights.name} is a {family.name}, for which no adapter can be trained; of {names} one can")


def training_data(adaptation: Adaptation, held_out: int) -> TrainingData:
    """The examples of the settings.

    Raises
    ------
    UserError
        If there are none.
    """
    data = adaptation.source
    if data.format == "mini":
        return mini_data(adaptation.seed, adaptation.questions, held_out)
    if data.format == "mini-glyph":
        return glyph_data(adaptation.seed, adaptation.questions, held_out, adaptation.rendering)
    needles = adaptation.needles or data.needles
    check_needles(data, needles)
    found = file_data(data, needles, adaptation.bins, adaptation.rendering, adaptation.seed)
    return replace(found, held_out_size=min(found.held_out_size, held_out))
