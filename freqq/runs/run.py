"""A run from settings to results: resumable, interruptible, and the same in any shards and batches."""

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Any

from freqq.data.draws import Drawn
from freqq.data.sample import Sample
from freqq.errors import BrokenDevice, Interrupted, UserError
from freqq.glm.adapter_card import OWN_CHATS, check_base, is_held_out
from freqq.glm.load import find
from freqq.glm.spec import read_spec
from freqq.image.base import Watch, unwatched
from freqq.runs.batches import Batch, Remaining, control, counter
from freqq.runs.directory import RunDirectory
from freqq.runs.environment import part_metadata
from freqq.runs.local_loop import evaluate_remaining
from freqq.runs.lock import lock
from freqq.runs.machine import HERE, Machine
from freqq.runs.merge import merge
from freqq.runs.page_files import check_page_files
from freqq.runs.parts import NEVER, PartWriter, answered, begin_retry, end_retry, part_files, sweep
from freqq.runs.plan import Arm, Identity, arms, config_hash, draw, prepared, share
from freqq.runs.preflight import Planned, preflight
from freqq.runs.reasons import enforce
from freqq.runs.rendering import Rendering
from freqq.runs.served import ServedEvaluator, Service, engine_for, engine_log, started
from freqq.runs.served_loop import evaluate_served
from freqq.runs.settings import Settings
from freqq.runs.shard import Shard
from freqq.runs.shard_process import Replica
from freqq.runs.stop import GRACE_S, StopRequest
from freqq.runs.supervisor import evaluate_in_processes
from freqq.runs.suspects import FailedRows, Suspects, why_given_up
from freqq.runs.unfamiliar import unfamiliar
from freqq.tokens.store import TokenStore

Progress = Callable[[int, int], None]
"""Called with the rows that are there and the rows that there will be."""


def run(
    settings: Settings,
    out: Path | None = None,
    *,
    machine: Machine | None = None,
    shard: Shard | None = None,
    retry_failed: bool = False,
    progress: Progress = lambda done, total: None,
    note: Callable[[str], None] = lambda text: None,
    watch: Watch = unwatched,
) -> Path:
    """Evaluate, or go on evaluating, and return the run directory.

    Parameters
    ----------
    out : Path, optional
        The run directory; `Settings.directory` if it is not given.
    machine : Machine, optional
        This process and the first GPU, or the CPU, if it is not given.
    shard : Shard, optional
        Do this part only, and leave ``results.parquet`` to `merge`.
    retry_failed : bool
        Whether samples that failed before are tried again, each once until all is done, however often this starts.
    note : callable
        Told what a user should know meanwhile: a stop, a worker that died, a lock that was taken over.
    watch : callable
        Shows how far the learning of a codebook is, if `image-vq` needs one for a look of pages.

    Raises
    ------
    UserError
        Before the model is loaded, if a name is unknown or `out` cannot be used or is another process's.
    Interrupted
        If a signal came, or a server went away. What was answered is stored.
    BrokenDevice
        If an accelerator failed. What was answered is stored, and a new process may work.
    FreqqError
        If the disk is full, all workers died, or every single answer failed.
    """
    machine = machine or HERE
    machine.check_backend(settings.backend)
    todo = arms(settings)
    directory = RunDirectory(out or settings.directory())
    directory.check(settings)
    stopping = "stopping after the current answers; press Ctrl-C again to stop at once"
    with StopRequest(lambda: note(stopping), GRACE_S) as stop:
        drawn = draw(settings)
        everything, own = [entry.bare for entry in drawn.entries], shard or Shard()
        # Unpacking a file of long chats may take half a gigabyte for a moment: before what stays, not beside it.
        samples = settings.source.read(share(drawn.entries, own))
        service, placements, spec, engine = None, [], None, None
        if settings.backend != "openai":
            placements = machine.placements(settings)
            weights = find(settings.model, settings.revision)
            spec = read_spec(weights)
            if settings.adapter_folder is not None:
                card = check_base(settings.adapter_folder, settings.model, weights.revision)
                own_chats = settings.source.format in OWN_CHATS
                learned = 0 if own_chats else sum(not is_held_out(sample.id) for sample in everything)
                if learned and card.data_revision == settings.source.revision:
                    note(f"the adapter may have learned from {learned} of these {len(everything)} samples: not a test")
            if settings.store is not None:
                settings.store.check_model(settings.model, weights.revision)
            if (strange := unfamiliar(settings.model, settings.source, settings.rendering, everything)) is not None:
                note(strange)
            dtype, together = placements[0].dtype, machine.together(settings, placements[0].dtype)
            identity = Identity(weights.revision, dtype, placements[0].attention, together=together)
            if settings.backend == "vllm":
                identity = Identity(weights.revision, dtype)  # attention and batches are the engine's own
                engine = engine_for(weights, placements[0], machine)
                stop.grace_s = None  # the engine would go on without this process
        else:
            service = Service.reach(settings, machine, todo)
            identity = service.identity
            spec = None if service.tower is None else read_spec(service.tower[0])
        todo = prepared(todo, settings.rendering.configs(everything), note, watch)
        description = describe(settings, identity, todo, drawn)
        is_new, smaller, parts = directory.record(description), None, part_files(directory.path)
        with lock(directory.path, own, note) as held:
            try:
                sweep(directory.path, own)
                hashed = [(arm, config_hash(settings, identity, arm)) for arm in todo]
                suspects = Suspects.read(directory.path, own)
                failed_before = begin_retry(directory.path, own) if retry_failed else NEVER
                remaining = Remaining(samples, hashed, answered(directory.path, True, failed_before), suspects.deaths)
                suspects.restrict(sample.id for sample in remaining.samples)
                if remaining:
                    _check_grading(directory, settings)
                if smaller := directory.grow(description):
                    before = len(smaller["samples"])
                    note(f"{directory.path} grows from {before} to {len(everything)} samples; its answers are kept")
                progress(remaining.total - remaining.missing, remaining.total)
                if not remaining:
                    Suspects().write(directory.path, own)
                    note(f"all {remaining.total} answers were there already")
                else:
                    enforce(preflight(Planned(settings, todo, samples, spec, directory.path)), note)
                    check_page_files(directory.path, samples, own)
                    if settings.store is not None:
                        _check_pages(settings.store, settings.rendering, samples, note)
                    if engine is not None:
                        log = directory.path / engine_log(own)
                        note(f"starting vLLM; what it says goes to {log}")
                        with started(engine, identity, log, lambda: stop.requested, machine.limits) as own_service:
                            _evaluate_served(own_service, settings, own, directory, remaining, progress, stop)
                    elif service is not None:
                        _evaluate_served(service, settings, own, directory, remaining, progress, stop)
                    else:
                        replicas = [Replica(directory.path, settings, weights, p, own, machine) for p in placements]
                        of = settings, identity, weights.name, placements[0].device, own, hashed, failed_before
                        rows = FailedRows(directory.path, *of)
                        try:
                            if machine.in_processes:
                                done = evaluate_in_processes(
                                    replicas, remaining, failed_before, progress, note, stop, held, suspects, rows
                                )
                            else:
                                good = answered(directory.path, retry_failed=True) if suspects.deaths else set()
                                check = control(samples, hashed, good)
                                done = _evaluate_here(replicas[0], remaining, progress, stop, suspects, rows, check)
                        finally:
                            suspects.write(directory.path, own)
                        if not done:
                            now = Remaining(samples, hashed, answered(directory.path))
                            raise _stopped(now.total - now.missing, now.total, directory.path)
                end_retry(directory.path, own)
            except BaseException:
                if is_new and shard is None:  # another shard may be about to start by what this one wrote
                    directory.forget()
                elif smaller is not None and shard is None and part_files(directory.path) == parts:
                    directory.write(smaller)
                raise
    if shard is None:
        merge(directory.path, note)
    return directory.path


def _check_grading(directory: RunDirectory, settings: Settings) -> None:
    """Refuse to mix answers that are graded by different rules."""
    regraded = directory.plan().get("regraded")
    if regraded is not None and regraded != settings.protocol:
        raise UserError(
            f"{directory.path} was graded again by the protocol {regraded}, and new answers would be by its own: "
            f"freqq regrade {directory.path} comes first"
        )


def _check_pages(store: TokenStore, rendering: Rendering, own: Sequence[Sample], note: Callable[[str], None]) -> None:
    """Say, before a model is loaded, of how many samples stored tokens are missing."""
    lacking = sum(_lacks(store, sample, rendering) for sample in own)
    if lacking == len(own):
        raise UserError(
            f"{store.folder} has the tokens of none of these {lacking} samples: store those of their pages first"
        )
    if lacking:
        note(f"{store.folder} lacks pages of {lacking} of these {len(own)} samples: they will fail")


def _lacks(store: TokenStore, sample: Sample, rendering: Rendering) -> bool:
    """Whether a page is not there. A sample that cannot be rendered becomes a row that says why."""
    try:
        return any(page.sha256 not in store for page in rendering.pages(sample))
    except (UserError, OSError):
        return False


def _evaluate_served(
    service: Service,
    settings: Settings,
    shard: Shard,
    directory: RunDirectory,
    remaining: Remaining,
    progress: Progress,
    stop: StopRequest,
) -> None:
    """Answer what remains, by a server, until it is done or a stop is requested."""
    total = remaining.total
    evaluator = ServedEvaluator(service, settings, shard)
    evaluator.check_planned(remaining.arms)
    writer = PartWriter(directory.path, shard, part_metadata(directory.path, evaluator.device))
    stop.finish = writer.flush
    try:
        finished, reason = evaluate_served(evaluator, writer, remaining, lambda done: progress(done, total), stop)
    finally:
        service.client.close()
        evaluator.close()
    if finished < total:
        raise _stopped(finished, total, directory.path, reason)


def _stopped(finished: int, total: int, path: Path, reason: str = "") -> Interrupted:
    stored = f"{finished} of {total} answers are stored in {path}" if finished else "no answer was finished yet"
    return Interrupted(f"{reason or 'stopped'}; {stored}: run the same command again to go on")


def _evaluate_here(
    replica: Replica,
    remaining: Remaining,
    progress: Progress,
    stop: StopRequest,
    suspects: Suspects,
    failed_rows: FailedRows,
    check: Batch | None,
) -> bool:
    """Answer what remains in this process. Returns whether all was done.

    If the device breaks, the samples in progress are suspect to the next process: they are read last and alone there.
    """
    add = counter(remaining, progress)
    by_id = {sample.id: sample for sample in remaining.samples}
    evaluator, writer = replica.open()
    stop.finish = writer.flush
    evaluator.check_planned(remaining.arms)
    evaluator.reader.stop_requested = lambda: stop.requested
    said: dict[str, Any] = {"at": [], "arms": [], "answered": False}

    def report(what: dict[str, Any]) -> None:
        said.update(what)
        if "rows" in what:
            add(what["rows"])

    try:
        with closing(evaluator):
            done = evaluate_remaining(evaluator, writer, remaining, replica.batch_size, stop, report, check)
    except BrokenDevice as error:
        if given_up := suspects.accuse(said["at"], said["arms"], said["answered"]):
            id, arm = given_up
            failed_rows.write(by_id[id], arm, why_given_up(str(error)))
        raise BrokenDevice(f"{error}; all whole answers are stored: run the same command again") from error
    if done:
        suspects.deaths.clear()
    return done


def describe(settings: Settings, identity: Identity, todo: list[Arm], drawn: Drawn) -> dict[str, Any]:
    """What ``run.json`` holds: enough to merge without the model or the data."""
    skipped = [asdict(file) for file in settings.source.skipped]
    beside = {"served": identity.served, "tower": identity.tower} if identity.served is not None else {}
    return {
        "settings": settings.as_json(),
        "model_revision": identity.model_revision,
        "dtype": identity.dtype,
        **beside,
        **({} if identity.attention == "sdpa" else {"attention": identity.attention}),  # older runs say nothing of it
        "data_revision": settings.source.revision,
        **({} if identity.together is None else {"together": identity.together}),
        **({"skipped": skipped} if skipped else {}),
        **({"drawn": [asdict(stratum) for stratum in drawn.strata]} if drawn.strata else {}),
        "arms": [
            {"method": a.name, "level": a.level, "params": a.params, "config_hash": config_hash(settings, identity, a)}
            for a in todo
        ],
        "samples": [entry.bare.id for entry in drawn.entries],
    }
