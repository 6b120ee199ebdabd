"""Work beside the model: rows are the same whenever sizes are counted, and stored in the order of samples and arms."""

import random
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import dataclass, replace
from time import sleep
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freqq.data.mini import mini
from freqq.errors import BrokenDevice, UserError
from freqq.glm.load import load_reader
from freqq.glm.reader import Reader
from freqq.image.standard import Png
from freqq.runs.background import Background, Total
from freqq.runs.batches import Remaining
from freqq.runs.evaluate import BatchEvaluator
from freqq.runs.local_loop import evaluate_remaining
from freqq.runs.parts import PartWriter, part_files, read_rows
from freqq.runs.plan import Arm, arms
from freqq.runs.schema import Row, from_table
from freqq.runs.settings import SAMPLED, SIZES, Settings
from freqq.runs.shard import Shard
from freqq.runs.sizes import counted_pages
from freqq.runs.stop import StopRequest
from freqq.tokens.codings import CODINGS, INTEGERS, Coding
from freqq.tokens.integers import Int8
from freqq.transforms.quantize import IntegerGrid, restore_integers
from tests.runs.faulty_device import BREAKING

SETTINGS = Settings(methods=("token", "token-prune", "image-png"), levels=("mild",), limit=6, max_new_tokens=4)
TIMES = ("started_at", "peak_memory_bytes", "decode_ms_per_token")


@pytest.fixture(scope="module")
def reader(random_model: str) -> Reader:
    return load_reader(random_model, device="cpu")


@pytest.fixture(scope="module")
def samples() -> list[Any]:
    return list(mini(2, 6))


def untimed(row: Row) -> dict[str, Any]:
    return {name: value for name, value in vars(row).items() if not name.endswith("_ms") and name not in TIMES}


def evaluate(evaluator, samples, tmp_path, todo, batch=2, stop=None, report=lambda what: None) -> list[Row]:
    """The rows that a run leaves, in the order in which they were stored."""
    hashed = [(arm, evaluator.known_as(arm)) for arm in todo]
    (tmp_path / "parts").mkdir(exist_ok=True)
    writer = PartWriter(tmp_path, Shard(), {})
    try:
        evaluate_remaining(evaluator, writer, Remaining(samples, hashed), batch, stop or StopRequest(), report)
    finally:
        evaluator.close()
    return [row for part in part_files(tmp_path) for row in from_table(read_rows(part))]


class Slow(Background):
    """Threads that take their time, another one at each piece of work, and hold few streams."""

    def __init__(self) -> None:
        super().__init__(3, most=2)
        self.chance = random.Random(0)

    def submit(self, work, *args):
        return super().submit(late(work, self.chance.random() / 50), *args)

    def behind(self, work, *args):
        return super().behind(late(work, self.chance.random() / 50), *args)


def late(work, seconds):
    def worked(*args):
        sleep(seconds)
        return work(*args)

    return worked


def test_rows_do_not_depend_on_when_sizes_are_counted(reader, samples, tmp_path):
    todo = arms(SETTINGS)
    evaluator = BatchEvaluator(reader, SETTINGS, Shard())
    evaluator.background = Slow()
    stored = evaluate(evaluator, samples, tmp_path, todo)
    pairs = [samples[:2], samples[2:4], samples[4:]]
    assert [(r.sample_id, r.method) for r in stored] == [(s.id, a.name) for two in pairs for a in todo for s in two]
    alone = [
        row
        for two in pairs
        for rows in BatchEvaluator(reader, SETTINGS, Shard()).rows(two, [(a, {s.id for s in two}) for a in todo])
        for row in rows
    ]
    assert [row.error for row in stored] == [None] * len(stored)
    assert list(map(untimed, stored)) == list(map(untimed, alone))


def test_while_a_batch_is_answered_it_and_what_is_made_or_counted_beside_it_are_told(reader, samples, tmp_path):
    """If the process dies, none of these may count as having been alone with it."""
    told: list[dict[str, Any]] = []
    ids = [s.id for s in samples]
    suspect = ids[4]
    evaluator = BatchEvaluator(reader, SETTINGS, Shard())
    hashed = [(arm, evaluator.known_as(arm)) for arm in arms(SETTINGS)]
    (tmp_path / "parts").mkdir()
    remaining = Remaining(samples, hashed, suspects={suspect: {}})
    writer = PartWriter(tmp_path, Shard(), {})
    assert evaluate_remaining(evaluator, writer, remaining, 2, StopRequest(), told.append)
    evaluator.close()
    at = [what["at"] for what in told if "at" in what]
    lacked = [what["arms"] for what in told if what.get("arms")]
    labels = [arm.label for arm, _ in hashed]
    assert [arms for i, arms in enumerate(lacked) if arms != lacked[i - 1]] == [labels[i:] for i in range(len(labels))]
    assert at[0] == ids[:4]
    assert [suspect] in at  # and it is alone
    assert all(suspect not in seen or seen == [suspect] for seen in at)
    assert at[-1] == []
    assert sum(what.get("rows", 0) for what in told) == len(ids) * len(hashed)


@dataclass(frozen=True)
class Unstorable(Int8):
    """Fails when its stream is written."""

    def code(self, grid):
        return Unwritable(**vars(super().code(grid)))


class Unwritable(IntegerGrid):
    """A grid that cannot be written."""


@pytest.fixture
def unwritable() -> Iterator[None]:
    def write(writer, coded):
        raise FAULTS["writing"]

    before = dict(CODINGS)
    CODINGS.clear()
    CODINGS[99] = Coding(Unwritable, write, CODINGS.get(INTEGERS), restore_integers)
    CODINGS.update(before)
    yield
    del CODINGS[99]


FAULTS: dict[str, Exception] = {"writing": ValueError("no room for a number")}


def test_an_error_beside_the_model_is_the_error_of_its_sample(reader, samples, tmp_path, unwritable):
    arm = Arm("token-unstorable", "mild", Unstorable())
    rows = evaluate(BatchEvaluator(reader, SETTINGS, Shard()), samples, tmp_path, [*arms(SETTINGS)[:2], arm])
    assert {r.error for r in rows if r.method != arm.name} == {None}
    failed = [r for r in rows if r.method == arm.name]
    assert [r.error for r in failed] == ["ValueError: no room for a number"] * len(samples)
    assert all(r.response is None and r.score == 0 and r.token_bytes is None for r in failed)
    assert all(r.image_bytes_raw for r in failed)  # how far it got is still there


def test_a_device_that_breaks_beside_the_model_is_no_row(reader, samples, tmp_path, unwritable, monkeypatch):
    monkeypatch.setitem(FAULTS, "writing", BREAKING["illegal memory access"]())
    todo = [*arms(SETTINGS)[:2], Arm("token-unstorable", "mild", Unstorable())]
    with pytest.raises(BrokenDevice):
        evaluate(BatchEvaluator(reader, SETTINGS, Shard()), samples, tmp_path, todo)
    rows = [row for part in part_files(tmp_path) for row in from_table(read_rows(part))]
    assert {r.error for r in rows} <= {None}


@dataclass(frozen=True)
class Fussy(Png):
    """Does not take the pages of one sample."""

    refused: str = ""

    def encode(self, page):
        if self.refused in page.text:
            raise UserError("not this one")
        return super().encode(page)


def test_an_image_codec_that_fails_costs_its_own_rows(reader, samples, tmp_path):
    text = samples[3].turns[-2].text[:12]
    arm = Arm("image-fussy", "mild", Fussy(refused=text))
    rows = evaluate(BatchEvaluator(reader, SETTINGS, Shard()), samples, tmp_path, [*arms(SETTINGS)[:1], arm])
    assert {r.error for r in rows if r.method != arm.name} == {None}
    refused = {r.sample_id for r in rows if r.error}
    assert samples[3].id in refused
    assert {r.error for r in rows if r.error} == {"UserError: not this one"}


@given(st.integers(1, 300), st.integers(0, 5), st.text("ab", max_size=3))
def test_the_pages_of_a_sample_are_drawn_by_seed_and_sample_alone(pages, seed, id):
    drawn = counted_pages("sample", seed, id, pages)
    assert list(drawn) == sorted(set(drawn))
    assert len(drawn) == -(-pages // SAMPLED)
    assert set(drawn) <= set(range(pages))
    assert drawn == counted_pages("sample", seed, id, pages)
    assert list(counted_pages("all", seed, id, pages)) == list(range(pages))
    assert not counted_pages("none", seed, id, pages)


def test_each_page_is_drawn_as_often_as_any_other():
    counts = [sum(page in counted_pages("sample", 0, str(i), 40) for i in range(800)) for page in range(40)]
    assert 60 < min(counts) <= max(counts) < 145  # 100 on average


@given(st.lists(st.integers(0, 10**9), min_size=1, max_size=9), st.integers(1, 50), st.integers(0, 50))
def test_a_total_is_the_sum_or_what_it_says_of_the_whole(numbers, counted, more):
    parts: list[Future[int]] = [Future() for _ in numbers]
    assert not Total(parts).done
    for part, number in zip(parts, numbers, strict=True):
        part.set_result(number)
    assert Total(parts).done
    assert Total(parts).value() == sum(numbers)
    whole = Total(parts, (counted, counted + more)).value()
    assert abs(whole - sum(numbers) * (counted + more) / counted) <= 0.5 + 1e-6 * whole


@pytest.mark.parametrize("sizes", SIZES)
def test_what_is_not_counted_is_null_or_estimated_and_changes_no_answer(reader, tmp_path, sizes):
    samples = [replace(s, id=f"{s.id}-{i}") for i, s in enumerate(mini(8, 3))]
    settings = replace(SETTINGS, sizes=sizes)
    full, rows = (
        evaluate(BatchEvaluator(reader, s, Shard()), samples, tmp_path / str(i), arms(s))
        for i, s in enumerate((SETTINGS, settings))
        if (tmp_path / str(i)).mkdir() is None
    )
    for one, other in zip(full, rows, strict=True):
        assert untimed(one) | {"token_bytes": 0, "token_bytes_pages": 0} == untimed(other) | {
            "token_bytes": 0, "token_bytes_pages": 0
        }  # fmt: skip
        coded = other.method == "token"
        counted = counted_pages(sizes if coded else "all", 0, other.sample_id, other.pages)
        assert other.token_bytes_pages == len(counted)
        assert one.token_bytes_pages == one.pages
        if len(counted) == other.pages:
            assert other.token_bytes == one.token_bytes
        elif counted:
            assert abs(other.token_bytes / one.token_bytes - 1) < 0.5
        else:
            assert other.token_bytes is None
