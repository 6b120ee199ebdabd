"""Several runs joined by sample: every arm beside one reference, and arms that several runs have beside each other."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from freqq.names import unknown
from freqq.report.comparison import Arm, Comparison, compare
from freqq.report.context import facts, find_contexts, labels
from freqq.report.evidence import Evidence, arms, unique, with_holm
from freqq.report.headline import unanswered
from freqq.report.results import read_results


def join(paths: Sequence[Path], reference: str | None = None) -> Evidence:
    """Compare the arms of some runs with a reference, on the samples that they share.

    Runs of another context (another model, data revision, rendering or protocol) are never paired with it: they are
    compared among themselves, with their own arm of the reference's method, level and parameters if they have it.
    An arm that two runs have is also compared between them.

    Parameters
    ----------
    reference : str, optional
        ``METHOD/LEVEL`` of the first run, ``RUN:METHOD/LEVEL``, or ``RUN`` for its plain arm. By default the first
        plain arm, else the first run's first arm.

    Raises
    ------
    UserError
        If the reference is unknown, or for what `gather` raises it.
    FreqqError
        If results are damaged.
    """
    results = [read_results(path) for path in unique(paths)]
    names = labels([r.path for r in results])
    contexts, warnings = find_contexts(results, names)
    own = {name: arms(r, name, c) for r, name, c in zip(results, names, contexts, strict=True)}
    chosen = _reference(own, reference)
    comparisons: list[Comparison] = []
    for context in dict.fromkeys([chosen.context, *contexts]):
        inside = [arm for found in own.values() for arm in found if arm.context == context]
        base = chosen if context == chosen.context else _alike(inside, chosen)
        if base is None:
            lacking = "plain arm" if chosen.results.is_plain else f"{chosen.name} as in {chosen.run}"
            warnings.append(f"{inside[0].run} has no {lacking} to be compared with: its arms stand alone")
        against = {arm.needles: arm for arm in inside if base is not None and _is(arm, base) and arm.run == base.run}
        found = [compare(arm, against.get(arm.needles)) for arm in inside if arm not in against.values()]
        warnings += _unshared(found, base)
        comparisons += found + _repeated(inside, base)
    corrected = tuple(with_holm(comparisons))
    runs = tuple(facts(r, n, c) for r, n, c in zip(results, names, contexts, strict=True))
    return Evidence(runs, corrected, tuple(warnings), _headline(corrected, chosen))


def _reference(own: Mapping[str, Sequence[Arm]], text: str | None) -> Arm:
    everything = [arm for found in own.values() for arm in found]
    first = next(iter(own.values()))
    plain = [arm for arm in everything if arm.results.is_plain]
    if text is None:
        return next((arm for arm in plain if arm.context == first[0].context), first[0])
    known = {f"{arm.run}:{_key(arm)}": arm for arm in reversed(everything)}
    known |= {_key(arm): arm for arm in reversed(first)} | {arm.run: arm for arm in reversed(plain)}
    if text not in known:
        raise unknown("reference", text, reversed(known))
    return known[text]


def _key(arm: Arm) -> str:
    return f"{arm.results.method}/{arm.results.level}"


def _is(arm: Arm, other: Arm) -> bool:
    a, b = arm.results, other.results
    return (a.method, a.level, a.params) == (b.method, b.level, b.params)


def _alike(candidates: Sequence[Arm], arm: Arm) -> Arm | None:
    return next((c for c in candidates if _is(c, arm)), None)


def _repeated(inside: Sequence[Arm], base: Arm | None) -> list[Comparison]:
    """Arms against the same arm of an earlier run; for the reference that is done already."""
    firsts: dict[tuple[str, int | None], Arm] = {}
    found = []
    for arm in inside:
        first = firsts.setdefault((arm.results.config_hash, arm.needles), arm)
        if first.run != arm.run and (base is None or not _is(arm, base)):
            found.append(compare(arm, first))
    return [c for c in found if c.n_paired]


def _unshared(found: Sequence[Comparison], base: Arm | None) -> list[str]:
    """Which runs share no or not all samples with the reference."""
    if base is None:
        return []
    notes = []
    for run in dict.fromkeys(c.run for c in found):
        widest = max((c for c in found if c.run == run), key=lambda c: c.n)
        if widest.n_paired < widest.n:
            count = f"{widest.n_paired} of the {widest.n}" if widest.n_paired else f"none of the {widest.n}"
            notes.append(f"{base.run} has {count} samples of {run}")
    return notes


def _headline(comparisons: Sequence[Comparison], reference: Arm) -> str:
    compared = [c for c in comparisons if c.difference is not None and c.context == reference.context]
    paired = [c for c in compared if not c.unanswered]
    losing, gaining = (sum(c.verdict == verdict for c in paired) for verdict in ("loses", "gains"))
    return (
        f"Against {reference.name} of {reference.run}, {losing} of {len(paired)} comparisons lose, {gaining} gain, "
        f"and {len(paired) - losing - gaining} show no difference{unanswered(compared)}."
    )
