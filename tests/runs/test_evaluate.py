"""A batch through the arms of a run."""

import subprocess
import sys
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freqq.data.mini import mini
from freqq.data.tasks.mrcr import grade
from freqq.errors import OutOfMemory
from freqq.glm.load import load_reader
from freqq.glm.memory_saving import MemorySaving
from freqq.glm.reader import Answer, Reader
from freqq.pages.render import render
from freqq.runs.evaluate import BatchEvaluator
from freqq.runs.failures import padded_cuts, stage
from freqq.runs.grading import graded
from freqq.runs.machine import Machine
from freqq.runs.plan import arms
from freqq.runs.rendering import messages, sample_style
from freqq.runs.settings import Settings
from freqq.runs.shard import Shard
from tests.runs.test_schema import make_row

SETTINGS = Settings(methods=("token", "image"), levels=("mild", "extreme"), limit=4, max_new_tokens=6)


@pytest.fixture(scope="module")
def reader(random_model: str) -> Reader:
    return load_reader(random_model, device="cpu")


def evaluate(reader, samples, settings=SETTINGS):
    ids = {s.id for s in samples}
    todo = [(arm, ids) for arm in arms(settings)]
    return [row for rows in BatchEvaluator(reader, settings, Shard()).rows(samples, todo) for row in rows]


@pytest.fixture(scope="module")
def rows(reader):
    return evaluate(reader, list(mini(2, 4)))


def test_a_stage_gives_a_failure_only_to_the_value_that_failed():
    def invert(values):
        return [1 / v for v in values]

    outcomes = stage(invert, [2, 0, ValueError("earlier"), 4])
    assert outcomes[0] == 0.5
    assert outcomes[3] == 0.25
    assert isinstance(outcomes[1], ZeroDivisionError)
    assert isinstance(outcomes[2], ValueError)


def test_a_stage_that_gives_too_few_is_a_failure_of_all():
    assert all(isinstance(o, ValueError) for o in stage(lambda values: [], [1, 2]))


def test_every_arm_answers_every_sample(rows):
    assert [r.error for r in rows] == [None] * len(rows)
    assert len({r.key for r in rows}) == len(rows) == 4 * 5
    assert {(r.method, r.level) for r in rows} == {
        ("baseline", "baseline"), ("token", "mild"), ("token", "extreme"), ("image", "mild"), ("image", "extreme"),
    }  # fmt: skip


def test_the_plain_arm_is_what_the_reader_answers(reader, rows):
    for sample in mini(2, 4):
        pages = list(render(messages(sample), sample_style(sample)))
        answer = reader.answer(sample.question, reader.see(pages), max_new_tokens=6)
        row = next(r for r in rows if r.sample_id == sample.id and r.method == "baseline")
        assert row.response == answer.text
        assert row.score == grade(answer.text, sample.answer, sample.prefix).score
        assert row.prompt_tokens == answer.prompt_tokens
        assert row.vision_tokens == row.vision_tokens_full == sum(p.pixels.size // 28**2 for p in pages)
        assert row.page_pixels == sum(p.pixels.size for p in pages)
        assert row.pages == len(pages)


def test_each_arm_changes_its_own_rate_only(rows):
    plain = {r.sample_id: r for r in rows if r.method == "baseline"}
    for row in rows:
        base = plain[row.sample_id]
        assert row.token_bytes_raw == base.token_bytes_raw == row.vision_tokens_full * 64 * 2
        assert row.image_bytes_raw == base.image_bytes_raw == base.image_bytes
        assert (row.page_hash, row.density) == (base.page_hash, base.density)
        assert (row.token_bytes < row.token_bytes_raw) == (row.method == "token")
        assert (row.image_bytes != row.image_bytes_raw) == (row.method == "image")
        assert (row.compress_ms is not None) == (row.method == "token")
        assert (row.encode_ms is not None) == (row.decode_ms is not None) == (row.method == "image")
        assert (row.vision_ms == base.vision_ms) == (row.method != "image")


def test_a_smaller_page_has_fewer_tokens_and_a_text_fewer_bytes(reader):
    settings = replace(SETTINGS, methods=("image-resize", "image-text"), levels=("extreme",))
    [sample] = list(mini(2, 1))
    todo = [(arm, {sample.id}) for arm in arms(settings)]
    made = [r for rows in BatchEvaluator(reader, settings, Shard()).rows([sample], todo) for r in rows]
    plain, small, text = made
    assert [r.error for r in made] == [None] * 3
    assert small.vision_tokens < plain.vision_tokens == small.vision_tokens_full == text.vision_tokens
    assert text.image_bytes < 1000 < plain.image_bytes
    assert (text.response, text.page_hash) == (plain.response, plain.page_hash)


def test_only_what_is_asked_for_is_done(reader):
    samples = list(mini(2, 3))
    plain, token = arms(replace(SETTINGS, methods=("token",), levels=("mild",)))
    todo = [(plain, {samples[1].id}), (token, {samples[0].id, samples[2].id})]
    made = [r for rows in BatchEvaluator(reader, SETTINGS, Shard()).rows(samples, todo) for r in rows]
    assert [(r.sample_id, r.method) for r in made] == [
        (samples[1].id, "baseline"), (samples[0].id, "token"), (samples[2].id, "token"),
    ]  # fmt: skip


def test_a_sample_that_fails_costs_only_its_own_rows(reader, rows):
    good = list(mini(2, 4))
    too_long = replace(good[0], id="too-long", question="x" * 600)
    no_style = replace(good[1], id="no-style", style={"widht": 3})
    made = evaluate(reader, [too_long, *good, no_style])
    failed = [r for r in made if r.error is not None]
    assert {r.sample_id for r in failed} == {"too-long", "no-style"}
    assert len(failed) == 2 * 5
    assert all(r.score == 0.0 and not r.exact and r.response is None for r in failed)
    assert all("widht" in r.error for r in failed if r.sample_id == "no-style")
    # How far it got is still there.
    assert all(r.vision_tokens_full for r in failed if r.sample_id == "too-long")
    responses = {r.key: r.response for r in rows}
    assert {r.key: r.response for r in made if r.error is None} == responses


def answer(text: str) -> Answer:
    return Answer(text, 9, 5, 4, 100, 1.0, 1.0, 1000, truncated=False)


@pytest.mark.parametrize("task", ["mrcr", "transcribe"])
def test_a_response_cut_inside_its_thoughts_is_marked_and_nothing_of_it_is_graded(task):
    [sample] = mini(2, 1)
    row = make_row(task=task)
    whole = graded(row, sample, answer(f"<think>hm</think>{sample.answer}"))
    cut = graded(row, sample, answer(f"<think>it is {sample.answer}"))
    plain = graded(row, sample, answer(sample.answer))
    assert (whole.truncated, cut.truncated, plain.truncated) == (False, True, False)
    assert whole.score == plain.score == 1.0
    assert whole.exact
    assert cut.score == 0.0
    assert not cut.exact
    assert sample.answer in cut.response


@given(st.lists(st.integers(0, 50), max_size=30), st.integers(1, 120))
def test_cuts_stay_below_the_limit_and_are_as_long_as_they_can_be(sizes, limit):
    cuts = list(padded_cuts(sizes, limit))
    assert [i for cut in cuts for i in range(len(sizes))[cut]] == list(range(len(sizes)))
    for cut, following in zip(cuts, [*cuts, None][1:], strict=True):
        own = sizes[cut]
        assert len(own) == 1 or max(own) * len(own) <= limit
        if following is not None:
            assert max(*own, sizes[following.start]) * (len(own) + 1) > limit


def test_a_limit_of_tokens_changes_no_answer(reader, rows):
    samples = list(mini(2, 4))
    todo = [(arm, {s.id for s in samples}) for arm in arms(SETTINGS)]
    longest = max(r.prompt_tokens for r in rows) + SETTINGS.new_tokens
    for limit, packs in ((1, 4), (2 * longest, 2), (8 * longest, 1)):
        made = list(BatchEvaluator(reader, SETTINGS, Shard(), Machine(max_batch_tokens=limit)).rows(samples, todo))
        assert len(made) == packs * len(todo)
        assert {r.key: r.response for rs in made for r in rs} == {r.key: r.response for r in rows}


class Cramped(Reader):
    """A reader that has memory for so many samples, and for prompts in pieces of at most so many tokens."""

    def __init__(self, reader, most, piece):
        self.__dict__.update(reader.__dict__)
        self.most, self.piece, self.tried = most, piece, []

    def answer_many(self, questions, grids, *how, fit=False):
        self.tried.append((len(questions), how[-1]))
        if len(questions) > self.most or (how[-1].prefill_chunk or 10**6) > self.piece:
            raise OutOfMemory("not so much at once")
        return super().answer_many(questions, grids, *how, fit=fit)


@pytest.mark.parametrize(
    ("machine", "piece", "tried"),
    [
        (Machine(), 1024, [MemorySaving(), MemorySaving(1024)]),
        (Machine(prefill_chunk=90, offload=True), 200, [MemorySaving(90), MemorySaving(90)]),
        (Machine(offload=True), 200, [MemorySaving(), MemorySaving(1024), MemorySaving(128, True)]),
        (Machine(), 200, [MemorySaving(), MemorySaving(1024)]),
    ],
)
def test_where_memory_is_short_more_and_more_is_done_without(reader, rows, machine, piece, tried):
    samples = list(mini(2, 2))
    cramped = Cramped(reader, 1, piece)
    todo = [(arms(SETTINGS)[0], {s.id for s in samples})]
    [made] = BatchEvaluator(cramped, SETTINGS, Shard(), machine).rows(samples, todo)
    first, *alone = tried
    assert cramped.tried == [(2, first), *(2 * [(1, t) for t in alone])]
    if alone[-1].prefill_chunk > piece:
        assert [row.error for row in made] == ["OutOfMemory: not so much at once"] * 2
    else:
        responses = {r.key: r.response for r in rows}
        assert [row.response for row in made] == [responses[row.key] for row in made]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits a process's memory")
def test_what_ran_out_of_memory_together_is_answered_one_by_one(random_model):
    """For real: the process may take 20 MB more, one prompt of 400 tokens needs less, 64 of them far more."""
    code = """
import resource, sys
from pathlib import Path
from freqq.errors import OutOfMemory
from freqq.glm.load import load_reader
from freqq.runs.failures import stage
from tests.glm.conftest import noise_page
reader = load_reader(sys.argv[1], device="cpu")
grids = reader.see([noise_page(560, 560, 0)])
questions = [f"What is {i}?" for i in range(10, 74)]
answer = lambda batch: [a.text for a in reader.answer_many(batch, [grids] * len(batch), 4)]
alone = [answer([q])[0] for q in questions]
size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (size + 20 * 2**20, -1))
try:
    answer(questions)
    print("it fitted")
except OutOfMemory as error:
    print(error)
assert stage(answer, questions) == alone
"""
    done = subprocess.run([sys.executable, "-c", code, random_model], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "out of memory on 64 prompts" in done.stdout
