"""Pages of fewer tokens inside the model: smaller grids and their positions, every way to decode, a second turn."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from freqq.errors import FreqqError, UserError
from freqq.glm.families.base import as_grid
from freqq.glm.generation import model_inputs
from freqq.glm.reader import Reader
from freqq.glm.sequence import Prompt, as_compressed, until_end
from freqq.tokens import compressor
from freqq.tokens.grid import CompressedGrid
from freqq.tokens.lowpass import Lowpass
from tests.glm.conftest import noise_page
from tests.glm.test_reader import NEW, PAGES, QUESTION, plain_inputs, prefill_logits, prompt_of, pruned
from tests.glm.test_reader import tokens as tokens_of

WAYS: dict[str, dict[str, Any]] = {
    "greedy": {"do_sample": False},
    "sampling": {"do_sample": True, "temperature": 1.0, "top_k": 20},
    "beams": {"do_sample": False, "num_beams": 3},
}
ENDS = frozenset({0})


def generated(reader: Reader, inputs: dict[str, Any], new: int = NEW, **how: Any) -> Any:
    torch.manual_seed(0)
    return reader.model.generate(**inputs, max_new_tokens=new, return_dict_in_generate=True, **how)


def new_ids(output: Any, inputs: dict[str, Any]) -> list[list[int]]:
    return output.sequences[:, inputs["input_ids"].shape[1] :].tolist()


def inputs_of(reader: Reader, samples: list[list[CompressedGrid]], questions: list[str]) -> dict[str, Any]:
    prompts = [prompt_of(reader, q, pages) for q, pages in zip(questions, samples, strict=True)]
    return model_inputs(reader.model, prompts, [[page.features for page in pages] for pages in samples])


def rows_of(reader: Reader, prompt: Prompt) -> Tensor:
    return reader.family.positions(reader.model, prompt)


@pytest.mark.parametrize("way", WAYS)
def test_all_kept_is_the_plain_model_however_it_decodes(reader: Reader, way: str) -> None:
    """Also when the same grid is called a smaller one, whose positions are then computed as fractions."""
    plain = plain_inputs(reader, QUESTION, PAGES)
    expected = new_ids(generated(reader, plain, **WAYS[way]), plain)
    pages = [as_compressed(grid) for grid in reader.see(PAGES)]
    for given in (pages, [replace(page, small=page.shape) for page in pages]):
        inputs = inputs_of(reader, [given], [QUESTION])
        assert new_ids(generated(reader, inputs, **WAYS[way]), inputs) == expected


def test_a_smaller_grid_as_large_as_the_page_is_the_page_bit_for_bit(reader: Reader) -> None:
    pages = [as_compressed(grid) for grid in reader.see(PAGES)]
    smaller = [replace(page, small=page.shape) for page in pages]
    features = [page.features for page in pages]
    plain, same = (prefill_logits(reader, prompt_of(reader, QUESTION, p), features) for p in (pages, smaller))
    assert torch.equal(plain, same)


@pytest.mark.parametrize("way", WAYS)
def test_batches_are_what_each_sample_is_alone(reader: Reader, way: str) -> None:
    """Samples of one, two and no pages, pruned, low-passed and whole. A draw depends on the whole batch, hence only the
    first token's logits are compared when sampling."""
    if way == "beams" and reader.model.config.model_type == "internvl":
        pytest.skip("transformers cannot tell whose tokens are whose in a batch of this family, which beams need")
    wide, high = reader.see(PAGES)
    lowpass = compressor("token-lowpass")(keep=0.4)
    samples = [[lowpass.compress(wide), pruned(high, 0.5)], [as_compressed(high)], [], [pruned(wide, 0.3)]]
    questions = ["short", QUESTION, "no page at all", QUESTION + " Answer in full."]
    together = inputs_of(reader, samples, questions)
    batch = generated(reader, together, 6, output_logits=True, **WAYS[way])
    beams = WAYS[way].get("num_beams", 1)
    for i, (sample, question, ids) in enumerate(zip(samples, questions, new_ids(batch, together), strict=True)):
        inputs = inputs_of(reader, [sample], [question])
        alone = generated(reader, inputs, 6, output_logits=True, **WAYS[way])
        torch.testing.assert_close(batch.logits[0][i * beams], alone.logits[0][0], atol=1e-4, rtol=1e-4)
        if way != "sampling":
            assert until_end(new_ids(alone, inputs)[0], ENDS) == until_end(ids, ENDS)


@pytest.mark.parametrize("name", ["token-lowpass", "token-prune", "token-merge", "token-pool+int8"])
def test_the_cache_is_as_short_as_the_sequence(reader: Reader, name: str) -> None:
    method = compressor(name).at("aggressive")
    pages = [method.compress(grid) for grid in reader.see(PAGES)]
    tokens = sum(len(page.features) for page in pages)
    text = 2 * 2 + len(QUESTION) + 2
    assert tokens == pytest.approx(tokens_of(reader) / 4, abs=2)
    inputs = inputs_of(reader, [pages], [QUESTION])
    assert inputs["input_ids"].shape[1] == tokens + text
    output = generated(reader, inputs, 3, do_sample=False)
    made = len(new_ids(output, inputs)[0])
    assert output.past_key_values.get_seq_length() == tokens + text + made - 1
    for layer in output.past_key_values.layers:
        assert layer.keys.shape[2] == layer.values.shape[2] == tokens + text + made - 1
    answer = reader.answer(QUESTION, pages, 3)
    assert (answer.vision_tokens, answer.prompt_tokens) == (tokens, tokens + text)


def test_scaled_positions_span_the_page(small: Reader) -> None:
    """Centres of equal areas, symmetric about the page's centre; the text stays where it was."""
    (grid,) = small.see([noise_page(196, 112, 1)])
    page = Lowpass(keep=0.25).compress(grid)
    assert (page.shape, page.small) == ((7, 4), (4, 2))
    whole, spread = (rows_of(small, prompt_of(small, QUESTION, [p])) for p in (as_compressed(grid), page))
    assert spread.dtype == torch.float32
    start = 2
    rows, columns = spread[2, start : start + 8].view(4, 2), spread[3, start : start + 8].view(4, 2)
    assert rows[:, 0].tolist() == pytest.approx([start + (i + 0.5) * 7 / 4 - 0.5 for i in range(4)])
    assert columns[0].tolist() == [start + 0.5, start + 2.5]
    assert torch.equal(spread[1, start : start + 8], whole[1, start : start + 8].float())
    after = whole.shape[1] - (start + 28)
    assert torch.equal(spread[1:, -after:], whole[1:, -after:].float())
    assert spread[0].tolist() == list(range(spread.shape[1]))


def test_compact_positions_are_those_of_a_smaller_page(reader: Reader) -> None:
    (grid,) = reader.see([noise_page(196, 112, 1)])
    compact = Lowpass(keep=0.25, positions="compact").compress(grid)
    native = as_compressed(compact.arranged)
    one, other = (rows_of(reader, prompt_of(reader, QUESTION, [p])) for p in (compact, native))
    assert one.dtype == torch.int64
    assert torch.equal(one, other)
    scaled = Lowpass(keep=0.25).compress(grid)
    logits = [prefill_logits(reader, prompt_of(reader, QUESTION, [p]), [p.features]) for p in (compact, scaled)]
    assert (logits[0] - logits[1]).abs().max() > 1e-3  # where they are does matter


def test_a_second_turn_goes_on_with_the_same_cache(reader: Reader) -> None:
    """What the first turn left in the cache is what reading both turns at once makes of them."""
    pages = [compressor("token-lowpass")(keep=0.4).compress(reader.see(PAGES)[0]), pruned(reader.see(PAGES)[1], 0.5)]
    inputs = inputs_of(reader, [pages], [QUESTION])
    first = generated(reader, inputs, 4, do_sample=False)
    said = first.sequences[0, inputs["input_ids"].shape[1] :]
    more = torch.tensor(reader.tokenizer("<|user|>And the 1st?<|assistant|>")["input_ids"])

    def both() -> dict[str, Any]:
        again = inputs_of(reader, [pages], [QUESTION])
        extra = torch.cat([said, more])
        steps = torch.arange(1, len(extra) + 1)
        again["input_ids"] = torch.cat([again["input_ids"], extra[None]], 1)
        again["attention_mask"] = torch.ones_like(again["input_ids"])
        where = again["position_ids"]
        again["position_ids"] = torch.cat([where, where[..., -1:] + steps], -1)
        return again

    fresh = generated(reader, both(), 6, do_sample=False, output_logits=True)
    goes_on = {**both(), "mm_encoder_outputs": None, "past_key_values": first.past_key_values}
    cached = generated(reader, goes_on, 6, do_sample=False, output_logits=True)
    assert torch.equal(fresh.sequences, cached.sequences)
    torch.testing.assert_close(torch.cat(fresh.logits), torch.cat(cached.logits), atol=1e-4, rtol=1e-4)


def test_tokens_of_another_model_are_refused(small: Reader) -> None:
    with pytest.raises(UserError, match="tokens of 48 channels are not of this model, which has 64"):
        small.answer(QUESTION, [torch.zeros(3, 4, 48)], 2)


def test_a_grid_that_does_not_match_its_size_is_refused(small: Reader) -> None:
    features = torch.zeros(24, 64)
    with pytest.raises(FreqqError, match="23 tokens for a page of 4 x 6"):
        as_grid(features[:23], 4, 6)
    for bad in (
        CompressedGrid(features, (4, 6), small=(3, 5)),
        CompressedGrid(features[:15], (3, 4), small=(3, 5)),
        CompressedGrid(features[:15], (4, 6), small=(3, 5), kept=torch.arange(15)),
        CompressedGrid(features[:2], (4, 6), kept=torch.tensor([3, 24])),
        features,
    ):
        with pytest.raises(FreqqError, match="page"):
            small.answer(QUESTION, [bad], 2)
