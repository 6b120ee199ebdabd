"""Compare the arms of runs with a baseline, or with any arm."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from freqq.errors import UserError
from freqq.names import unknown
from freqq.report.comparison import Comparison
from freqq.report.pairs import Arm, arms, compare_all, with_holm
from freqq.report.results import Results, read_results
from freqq.report.run_facts import RunFacts, facts, find_contexts
from freqq.report.run_folders import check_folder, labels
from freqq.report.wording import headline, headline_against
from freqq.runs.directory import RESULTS, RUN


@dataclass(frozen=True)
class Evidence:
    """All comparisons of some runs.

    Parameters
    ----------
    warnings : tuple of str
        Runs that were left out or kept apart, and why.
    headline : str
        The main finding, in one sentence.
    pairs : tuple of (path, path)
        Each run's directory, and that of the run whose baseline it is compared with, if there is one.
    """

    runs: tuple[RunFacts, ...]
    comparisons: tuple[Comparison, ...]
    warnings: tuple[str, ...]
    headline: str
    pairs: tuple[tuple[Path, Path], ...] = ()


def read_runs(paths: Sequence[Path]) -> tuple[list[Results], list[str]]:
    """The results of some run directories, and notes on runs that are left out, or whose results lag behind.

    Raises
    ------
    UserError
        If a path does not exist or is given twice, or none is a finished run.
    FreqqError
        If results are damaged.
    """
    if not paths:
        raise UserError("give at least one run directory")
    found: list[Results] = []
    notes: list[str] = []
    seen: set[Path] = set()
    refused: UserError | None = None
    for path in paths:
        if path.resolve() in seen:
            raise UserError(
                f"{path} is given {sum(p.resolve() == path.resolve() for p in paths)} times: give each run once"
            )
        seen.add(path.resolve())
        if not path.exists():
            check_folder(path)
        if (path / RUN).is_file() and (path / RESULTS).is_file():
            found.append(read_results(path))
            notes += [note] if (note := found[-1].note) else []
            continue
        try:
            read_results(path)
        except UserError as error:
            refused = refused or error
            notes.append(f"left out: {error}")
    if not found:
        raise refused or UserError("give at least one run directory")
    return found, notes


def gather(paths: Sequence[Path]) -> Evidence:
    """Compare every arm of some runs with the baseline on the same samples.

    The baseline is the run's own, or that of another run that only differs in its arms and samples: the one with most
    of the run's samples, the first of equals.

    Raises
    ------
    UserError, FreqqError
        As `read_runs`.
    """
    return compare_results(*read_runs(paths))


def compare_results(results: Sequence[Results], notes: Sequence[str] = ()) -> Evidence:
    """`gather` for results that were read before."""
    names = labels([r.path for r in results])
    contexts, apart = find_contexts(results, names)
    warnings = [*notes, *apart]
    comparisons: list[Comparison] = []
    owners = _baseline_owners(results, contexts)
    for i, (run, owner) in enumerate(zip(results, owners, strict=True)):
        own = arms(run, names[i], contexts[i])
        theirs = own if owner in (i, None) else arms(results[owner], names[owner], contexts[i])
        baseline = {arm.needles: arm for arm in theirs if arm.results.is_baseline}
        found = compare_all([(arm, None if arm.results.is_baseline else baseline.get(arm.needles)) for arm in own])
        if owner is None:
            warnings.append(f"{names[i]} has no baseline, nor has another run with its settings: nothing is paired")
        elif owner != i:
            shared = f"{max(c.n_shared for c in found)} of its {max(c.n for c in found)} samples"
            warnings.append(f"{names[i]} has no baseline: it is paired with that of {names[owner]}, on {shared}")
        comparisons += found
    corrected = tuple(with_holm(comparisons))
    runs = tuple(facts(r, n, c) for r, n, c in zip(results, names, contexts, strict=True))
    return Evidence(runs, corrected, tuple(warnings), headline(corrected), _pairs(results, owners))


def pairs(results: Sequence[Results]) -> tuple[tuple[Path, Path], ...]:
    """`Evidence.pairs` of results."""
    contexts, _ = find_contexts(results, labels([r.path for r in results]))
    return _pairs(results, _baseline_owners(results, contexts))


def _pairs(results: Sequence[Results], owners: Sequence[int | None]) -> tuple[tuple[Path, Path], ...]:
    found = zip(results, owners, strict=True)
    return tuple((run.path, results[owner].path) for run, owner in found if owner is not None)


def _baseline_owners(results: Sequence[Results], contexts: Sequence[int]) -> list[int | None]:
    """The index of the run whose baseline each run is compared with, as `gather` chooses it."""
    baselines = {i: {*b.samples.ids} for i, run in enumerate(results) if (b := run.baseline) is not None}

    def owner(i: int) -> int | None:
        ids = {id for arm in results[i].arms for id in arm.samples.ids}
        inside = [j for j in baselines if contexts[j] == contexts[i]]
        return i if i in baselines else max(inside, key=lambda j: len(ids & baselines[j]), default=None)

    return [owner(i) for i in range(len(results))]


def join(paths: Sequence[Path], reference: str | None = None) -> Evidence:
    """Compare the arms of some runs with one reference, on the samples that they share.

    Runs of another context (another model, data revision, rendering or protocol) are not compared with it but among
    themselves, with their own arm of the reference's method, level and parameters, if there is one. An arm that occurs
    in two runs is also compared between them.

    Parameters
    ----------
    reference : str, optional
        ``METHOD/LEVEL`` or ``baseline`` of the first run, ``RUN:METHOD/LEVEL``, or ``RUN`` for its baseline. By default
        the first baseline, else the first run's first arm.

    Raises
    ------
    UserError, FreqqError
        As `read_runs`, and if the reference is unknown.
    """
    results, warnings = read_runs(paths)
    names = labels([r.path for r in results])
    contexts, apart = find_contexts(results, names)
    warnings += apart
    own = {name: arms(r, name, c) for r, name, c in zip(results, names, contexts, strict=True)}
    chosen = _reference(own, reference)
    comparisons: list[Comparison] = []
    for context in dict.fromkeys([chosen.context, *contexts]):
        inside = [arm for found in own.values() for arm in found if arm.context == context]
        base = chosen if context == chosen.context else next((a for a in inside if _alike(a, chosen)), None)
        if base is None:
            lacking = "baseline" if chosen.results.is_baseline else f"{chosen.name} as in {chosen.run}"
            warnings.append(f"{inside[0].run} has no {lacking} to be compared with: its arms stand alone")
        against = {a.needles: a for a in inside if base is not None and _alike(a, base) and a.run == base.run}
        found = compare_all([(arm, against.get(arm.needles)) for arm in inside if arm not in against.values()])
        warnings += _unshared(found, base)
        comparisons += found + _repeated(inside, base)
    corrected = tuple(with_holm(comparisons))
    runs = tuple(facts(r, n, c) for r, n, c in zip(results, names, contexts, strict=True))
    compared = [c for c in corrected if (c.reference_run, c.reference) == (chosen.run, chosen.name)]
    return Evidence(runs, corrected, tuple(warnings), headline_against(compared, chosen.name, chosen.run))


def _reference(own: dict[str, list[Arm]], text: str | None) -> Arm:
    everything = [arm for found in own.values() for arm in found]
    first = next(iter(own.values()))
    baselines = [arm for arm in everything if arm.results.is_baseline]
    if text is None:
        return next((arm for arm in baselines if arm.context == first[0].context), first[0])
    known = {f"{arm.run}:{_key(arm)}": arm for arm in reversed(everything)}
    known |= {arm.run: arm for arm in reversed(baselines)} | {_key(arm): arm for arm in reversed(first)}
    if text not in known:
        raise unknown("reference", text, reversed(known))
    return known[text]


def _key(arm: Arm) -> str:
    return "baseline" if arm.results.is_baseline else f"{arm.results.method}/{arm.results.level}"


def _alike(arm: Arm, other: Arm) -> bool:
    a, b = arm.results, other.results
    return (a.method, a.level, a.params) == (b.method, b.level, b.params)


def _repeated(inside: Sequence[Arm], base: Arm | None) -> list[Comparison]:
    """Arms compared with the same arm of an earlier run, except for the reference."""
    firsts: dict[tuple[str, int | None], Arm] = {}
    found: list[tuple[Arm, Arm | None]] = []
    for arm in inside:
        first = firsts.setdefault((arm.results.config_hash, arm.needles), arm)
        if first.run != arm.run and (base is None or not _alike(arm, base)):
            found.append((arm, first))
    return [c for c in compare_all(found) if c.n_shared]


def _unshared(found: Sequence[Comparison], base: Arm | None) -> list[str]:
    """Notes on runs that do not share all samples with the reference."""
    if base is None:
        return []
    notes = []
    for run in dict.fromkeys(c.run for c in found):
        widest = max((c for c in found if c.run == run), key=lambda c: c.n)
        if widest.n_shared < widest.n:
            count = f"{widest.n_shared} of the {widest.n}" if widest.n_shared else f"none of the {widest.n}"
            notes.append(f"{base.run} has {count} samples of {run}")
    return notes
