"""Check a run directory: an answer to every planned key, hashes, schema."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from freqq.errors import FreqqError
from freqq.runs.directory import RESULTS, RunDirectory
from freqq.runs.merge import ANSWERED, DUPLICATES, planned_keys
from freqq.runs.parts import Key, part_files, read_part
from freqq.runs.plan import Identity, arms, config_hash, prepared
from freqq.runs.schema import SCHEMA, conform
from freqq.runs.settings import Settings

COMPARED = ("score", "response", "error", "started_at")
"""Columns by which rows of the results are known as those of the parts."""

NAMED = 3
"""Examples that a finding names."""


@dataclass(frozen=True)
class Finding:
    """One check: whether it passed, and what was found."""

    passed: bool
    text: str


@dataclass
class _Rows:
    """What is kept of all rows: little, and no text."""

    answers: Counter[Key] = field(default_factory=Counter)
    failures: Counter[Key] = field(default_factory=Counter)
    content: dict[Key, set[bytes]] = field(default_factory=lambda: defaultdict(set))
    pages: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    made_by: set[tuple[str, ...]] = field(default_factory=set)

    def add(self, table: pa.Table) -> None:
        names = ("sample_id", "config_hash", "page_hash", "method", "level", "params", "model_revision", "dtype")
        columns = [table[name].to_pylist() for name in names]
        for (sample, known_as, page, *made_by), digest, error in zip(
            zip(*columns, strict=True), _digests(table), table["error"].to_pylist(), strict=True
        ):
            key = (sample, known_as)
            (self.answers if error is None else self.failures)[key] += 1
            self.content[key].add(digest)
            self.made_by.add((known_as, *made_by))
            if page is not None:
                self.pages[sample].add(page)


def _digests(table: pa.Table) -> list[bytes]:
    columns = [table[name].to_pylist() for name in COMPARED]
    return [hashlib.sha256(repr(values).encode()).digest()[:8] for values in zip(*columns, strict=True)]


def verify(path: Path) -> list[Finding]:
    """Check a run, and go on after what is wrong.

    Raises
    ------
    UserError
        If `path` is no run directory.
    """
    plan = RunDirectory(path).plan()
    rows = _Rows()
    findings = list(_parts(path, rows))
    findings += _keys(planned_keys(plan), rows)
    findings += _twice(path, rows)
    findings += _hashes(plan, rows)
    findings += _results(path, planned_keys(plan), rows)
    return findings


def _parts(path: Path, rows: _Rows) -> Iterator[Finding]:
    """Read all parts."""
    files, older, broken = part_files(path), 0, 0
    for file in files:
        try:
            part = read_part(file)
            rows.add(conform(part, file))
            older += not part.schema.equals(SCHEMA)
        except FreqqError as error:
            broken += 1
            yield Finding(False, str(error))
    note = f", {older} of them by an older version, with fewer columns" if older else ""
    yield Finding(not broken, f"{len(files) - broken} of {len(files)} parts are whole and of a known schema{note}")


def _keys(planned: list[Key], rows: _Rows) -> Iterator[Finding]:
    there = set(rows.answers) | set(rows.failures)
    missing = [key for key in planned if key not in there]
    extra = sorted(there - set(planned))
    for what, keys in (("are missing", missing), ("were never planned", extra)):
        if keys:
            yield Finding(False, f"{len(keys)} answers {what}: {_named([sample for sample, _ in keys])}")
    failed = [key for key in planned if key in rows.failures and key not in rows.answers]
    count = sum(key in there for key in planned)
    note = f", {len(failed)} of them as failures" if failed else ""
    yield Finding(count == len(planned) and not extra, f"{count} of {len(planned)} planned keys are there{note}")


def _twice(path: Path, rows: _Rows) -> Iterator[Finding]:
    """Of answers that are there more than once, equal ones count as one; others have to be kept aside by a merge."""
    twice = {key for key, count in rows.answers.items() if count > 1}
    answers = _answers(part_files(path), twice) if twice else {}
    differing = {key for key in twice if len(answers[key]) > 1}
    aside = _answers([path / DUPLICATES], differing) if differing and (path / DUPLICATES).is_file() else {}
    kept = {key for key in differing if aside.get(key) == answers[key]}
    for passed, what, keys in (
        (True, "and are equal: one of each counts", twice - differing),
        (True, f"and differ: the first of each counts, all are in {DUPLICATES}", kept),
        (False, f"and differ, and not all are in {DUPLICATES}: run freqq runs merge {path}", differing - kept),
    ):
        if keys:
            yield Finding(
                passed, f"{len(keys)} answers are there more than once {what} ({_named([s for s, _ in sorted(keys)])})"
            )


def _answers(files: list[Path], keys: set[Key]) -> dict[Key, set[str]]:
    """What was answered to some keys in files of rows; those that cannot be read are passed over."""
    found: dict[Key, set[str]] = defaultdict(set)
    for file in files:
        with suppress(FreqqError):
            rows = conform(read_part(file), file)
            names = zip(rows["sample_id"].to_pylist(), rows["config_hash"].to_pylist(), strict=True)
            wanted = [
                i
                for i, (key, error) in enumerate(zip(names, rows["error"], strict=True))
                if key in keys and not error.is_valid
            ]
            for row in rows.take(wanted).select(ANSWERED).to_pylist():
                found[row["sample_id"], row["config_hash"]].add(str(row))
    return found


def _hashes(plan: dict[str, Any], rows: _Rows) -> Iterator[Finding]:
    model = plan.get("model_revision"), plan.get("dtype")
    said = {(arm["config_hash"], arm["method"], arm.get("level"), arm.get("params"), *model) for arm in plan["arms"]}
    if strange := sorted(rows.made_by - said):
        yield Finding(False, f"rows are of arms that run.json does not have: {_named([m[1] for m in strange])}")
    else:
        yield Finding(True, "every row has the method, parameters and model of its config hash")
    differing = [sample for sample, pages in rows.pages.items() if len(pages) > 1]
    if differing:
        yield Finding(False, f"{len(differing)} samples had other pages in one arm than another: {_named(differing)}")
    else:
        yield Finding(True, "every sample has one page hash in all of its rows")
    yield _recomputed(plan)


def _recomputed(plan: dict[str, Any]) -> Finding:
    """Compute the config hashes again from the settings; they cover the data, which need not be on this machine."""
    try:
        settings = Settings.from_json(plan["settings"])
        identity = Identity(
            plan["model_revision"], plan["dtype"], plan.get("attention", "sdpa"), plan.get("served"), plan.get("tower"),
            plan.get("together"),
        )  # fmt: skip
        todo = prepared(arms(settings), [settings.rendering.config])
        now = [config_hash(settings, identity, arm) for arm in todo]
    except (FreqqError, KeyError, TypeError) as error:
        return Finding(True, f"config hashes were not computed again ({' '.join(str(error).split())[:150]})")
    same = now == [arm["config_hash"] for arm in plan["arms"]]
    return Finding(
        same, "config hashes follow from the settings" + ("" if same else " otherwise: made by another freqq")
    )


def _results(path: Path, planned: list[Key], rows: _Rows) -> Iterator[Finding]:
    file = path / RESULTS
    if not file.is_file():
        yield Finding(True, f"{RESULTS} is not there yet")
        return
    try:
        table = conform(read_part(file), file)
    except FreqqError as error:
        yield Finding(False, str(error))
        return
    keys = list(zip(table["sample_id"].to_pylist(), table["config_hash"].to_pylist(), strict=True))
    same = all(digest in rows.content.get(key, ()) for key, digest in zip(keys, _digests(table), strict=True))
    if keys == planned and same:
        yield Finding(True, f"{RESULTS} holds the parts' rows in the planned order")
    else:
        yield Finding(False, f"{RESULTS} is not what the parts say: run freqq runs merge {path}")


def _named(names: list[str]) -> str:
    distinct = list(dict.fromkeys(names))
    more = f" and {len(distinct) - NAMED} more" if len(distinct) > NAMED else ""
    return ", ".join(distinct[:NAMED]) + more
