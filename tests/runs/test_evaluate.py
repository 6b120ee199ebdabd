"""A batch through the arms of a run."""

from dataclasses import replace

import pytest

from freqq.data.grade import grade
from freqq.data.mini import mini
from freqq.glm.load import load_reader
from freqq.glm.reader import Reader
from freqq.pages.render import render
from freqq.runs.evaluate import BatchEvaluator, after_thinking, stage
from freqq.runs.plan import Shard, arms
from freqq.runs.rendering import messages, sample_style
from freqq.runs.settings import Settings

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
        ("none", "baseline"), ("token", "mild"), ("token", "extreme"), ("image", "mild"), ("image", "extreme"),
    }  # fmt: skip


def test_the_plain_arm_is_what_the_reader_answers(reader, rows):
    for sample in mini(2, 4):
        pages = list(render(messages(sample), sample_style(sample)))
        answer = reader.answer(sample.question, reader.see(pages), max_new_tokens=6)
        row = next(r for r in rows if r.sample_id == sample.id and r.method == "none")
        assert row.response == answer.text
        assert row.score == grade(answer.text, sample.answer, sample.prefix).score
        assert row.prompt_tokens == answer.prompt_tokens
        assert row.vision_tokens == row.vision_tokens_full == sum(p.pixels.size // 28**2 for p in pages)
        assert row.page_pixels == sum(p.pixels.size for p in pages)
        assert row.pages == len(pages)


def test_each_arm_changes_its_own_rate_only(rows):
    plain = {r.sample_id: r for r in rows if r.method == "none"}
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
        (samples[1].id, "none"), (samples[0].id, "token"), (samples[2].id, "token"),
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


def test_what_follows_the_thoughts_is_graded():
    assert after_thinking("answer") == "answer"
    assert after_thinking("<think>a</think>b</think>answer") == "answer"
    assert after_thinking("thoughts that the template began</think>answer") == "answer"
    assert after_thinking("<think>never closed") is None
