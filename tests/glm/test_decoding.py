"""How tokens are chosen: the same in any batch, and as the protocol says."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import RepetitionPenaltyLogitsProcessor

from freqq.glm.decoding import GLYPH, GREEDY, Generation
from freqq.glm.reader import Reader
from freqq.glm.sampling import Draw, RepetitionPenalty, processors
from freqq.glm.sequence import Prompt
from tests.glm.conftest import noise_page


def prompt_of(ids: list[int]) -> Prompt:
    tokens = torch.tensor(ids)
    return Prompt(tokens, torch.zeros_like(tokens), (), torch.ones_like(tokens, dtype=torch.bool), ())


def test_the_protocol_is_glyphs() -> None:
    sampling = Generation(temperature=1e-4, top_k=50, repetition_penalty=1.1)
    assert replace(GLYPH, stop_token_ids=(), special_tokens=False) == sampling
    assert processors(GREEDY, [prompt_of([1])]) == []
    assert GREEDY.identity() == {"greedy": True}


@given(st.data())
@settings(max_examples=30)
def test_the_penalty_is_that_of_transformers_without_padding(data: st.DataObject) -> None:
    ids = data.draw(st.lists(st.integers(0, 19), min_size=1, max_size=8))
    ours, theirs = RepetitionPenalty(1.1, [prompt_of(ids)]), RepetitionPenaltyLogitsProcessor(1.1)
    sequence = torch.tensor([ids])
    generator = torch.Generator().manual_seed(data.draw(st.integers(0, 2**30)))
    for _ in range(3):
        scores = torch.randn(1, 20, generator=generator)
        assert torch.equal(ours(sequence, scores.clone()), theirs(sequence, scores.clone()))
        sequence = torch.cat([sequence, torch.randint(0, 20, (1, 1), generator=generator)], dim=1)


def test_padding_is_not_penalised() -> None:
    padded = torch.tensor([[0, 0, 5], [1, 2, 3]])
    scores = RepetitionPenalty(2.0, [prompt_of([5]), prompt_of([1, 2, 3])])(padded, torch.ones(2, 6))
    assert scores.tolist() == [[1, 1, 1, 1, 1, 0.5], [1, 0.5, 0.5, 0.5, 1, 1]]


def test_draws_follow_the_softmax() -> None:
    logits = torch.tensor([[2.0, 1.0, 0.0, -1.0, float("-inf")]])
    draw = Draw(0.5, [prompt_of([3, 4])])
    counts = torch.zeros(5)
    for _ in range(4000):
        counts[draw(torch.zeros(1, 1, dtype=torch.int64), logits).argmax()] += 1
    expected = torch.softmax(logits[0] / 0.5, 0)
    assert counts[4] == 0
    assert (counts / 4000 - expected).abs().max() < 0.03


def test_a_cold_draw_is_the_largest_and_ties_fall_either_way() -> None:
    draw = Draw(1e-4, [prompt_of([3, 4])])
    ids = torch.zeros(1, 1, dtype=torch.int64)
    assert {int(draw(ids, torch.tensor([[0.0, 1.0, 0.99]])).argmax()) for _ in range(50)} == {1}
    assert {int(draw(ids, torch.tensor([[0.0, 1.0, 1.0]])).argmax()) for _ in range(50)} == {1, 2}


@pytest.mark.parametrize("generation", [GLYPH, Generation(temperature=1.0, repetition_penalty=1.3)])
def test_a_sample_draws_the_same_in_any_batch_and_again(reader: Reader, generation: Generation) -> None:
    grids = [reader.see([noise_page(56 + 28 * i, 84, i)]) for i in range(4)]
    questions = ["What?", "Which one is it?", "Who?", "Why is that so, and since when?"]
    together = reader.answer_many(questions, grids, 10, generation)
    alone = [reader.answer_many([q], [g], 10, generation)[0] for q, g in zip(questions, grids, strict=True)]
    assert [a.text for a in together] == [a.text for a in alone]
    assert [a.text for a in together] == [a.text for a in reader.answer_many(questions, grids, 10, generation)]
    assert [a.text for a in together] != [a.text for a in reader.answer_many(questions, grids, 10)]
