"""Reader against the plain model: what is not dropped changes nothing, what is dropped is really gone."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor
from transformers import AutoTokenizer

from freqq.errors import FreqqError, UserError
from freqq.glm.decoding import GREEDY
from freqq.glm.families.base import as_images, patches
from freqq.glm.generation import end_token_ids, generate_from
from freqq.glm.load import load_reader
from freqq.glm.memory_saving import MemorySaving, can_read_in_pieces
from freqq.glm.processor import ChatWriter
from freqq.glm.reader import Reader
from freqq.glm.sequence import Prompt, as_compressed, expand, left_pad, positions, until_end
from freqq.pages.page import Page
from freqq.tokens.grid import CompressedGrid
from tests.glm.conftest import noise_page, save_tokenizer

QUESTION = "Which is the 2nd poem?"
PAGES = [noise_page(112, 168, 0), noise_page(196, 112, 1)]
NEW = 12

in_pieces = pytest.mark.skipif(not can_read_in_pieces(), reason="this transformers reads prompts at once")


def shapes(reader: Reader) -> list[tuple[int, int]]:
    """The grids of `PAGES`: for tiles of 2 x 2 tokens, a column of six or eight and one of the whole page."""
    return [(14, 2), (18, 2)] if reader.model.config.model_type == "internvl" else [(4, 6), (7, 4)]


def tokens(reader: Reader) -> int:
    """Of both pages."""
    return sum(h * w for h, w in shapes(reader))


def plain_inputs(reader: Reader, question: str, pages: list[Page]) -> dict[str, Tensor]:
    """A sample as the transformers documentation has it: text expanded by hand, pixels, grid, token types."""
    if reader.model.config.model_type == "internvl":
        made = reader.image_processor(images=as_images(pages), crop_to_patches=True, return_tensors="pt")
        counts, seen = [4 * n for n in made["num_patches"]], {"pixel_values": made["pixel_values"]}
    else:
        pixel_values, thw = patches(pages, reader.image_processor)
        counts, seen = (thw.prod(1) // 4).tolist(), {"pixel_values": pixel_values, "image_grid_thw": thw}
    text = "".join(f"<|begin_of_image|>{'<|image|>' * count}<|end_of_image|>" for count in counts)
    ids = reader.tokenizer(f"<|user|>{text}{question}<|assistant|>", return_tensors="pt")["input_ids"]
    if "image_grid_thw" in seen:
        seen["mm_token_type_ids"] = (ids == reader.model.config.image_token_id).int()
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids), **seen}


def plain_generate(reader: Reader, inputs: dict[str, Tensor], new: int = NEW) -> tuple[list[int], Tensor]:
    """New ids of the plain model and its logits [new, vocabulary]."""
    output = reader.model.generate(
        **inputs, max_new_tokens=new, do_sample=False, return_dict_in_generate=True, output_logits=True
    )
    start = inputs["input_ids"].shape[1]
    return output.sequences[0, start:].tolist(), torch.cat(output.logits)


def prompt_of(reader: Reader, question: str, pages: list[CompressedGrid]) -> Prompt:
    image_token_id = reader.model.config.image_token_id
    writer = ChatWriter(reader.tokenizer, image_token_id, reader.family.page_marks(reader.tokenizer))
    return expand(writer.write(question, len(pages)), pages, image_token_id)


def prefill_logits(reader: Reader, prompt: Prompt, features: list[Tensor], use_cache: bool = True) -> Tensor:
    """Logits [vocabulary] after the last token of a prompt, through the model's forward and nothing else."""
    where = reader.family.positions(reader.model, prompt)
    ids = prompt.input_ids[prompt.kept][None]
    with torch.no_grad():
        return reader.model(
            input_ids=ids,
            # Without a mask, gaps in the one row of positions would be read as borders of packed sequences.
            attention_mask=torch.ones_like(ids) if where.ndim == 1 else None,
            position_ids=where.unsqueeze(-2),
            mm_encoder_outputs={"image": reader.family.encoder_output(features, reader.model.config)},
            use_cache=use_cache,
            logits_to_keep=1,
        ).logits[0, 0]


def pruned(grid: Tensor, keep: float, seed: int = 0) -> CompressedGrid:
    h, w, channels = grid.shape
    order = torch.randperm(h * w, generator=torch.Generator().manual_seed(seed))
    kept = order[: round(keep * h * w)].sort().values
    return CompressedGrid(grid.reshape(-1, channels)[kept], shape=(h, w), kept=kept)


def test_all_kept_is_plain_generate(reader: Reader) -> None:
    """Two pages of different sizes, all tokens kept: the plain model's ids, and its logits bit for bit."""
    expected, logits = plain_generate(reader, plain_inputs(reader, QUESTION, PAGES))
    grids = reader.see(PAGES)
    assert [tuple(grid.shape[:2]) for grid in grids] == shapes(reader)
    pages = [as_compressed(grid) for grid in grids]
    prompt = prompt_of(reader, QUESTION, pages)
    (output,) = generate_from(reader.model, [prompt], [[page.features for page in pages]], NEW)
    assert output.tokens == expected
    assert torch.equal(prefill_logits(reader, prompt, [page.features for page in pages]), logits[0])
    everything = [replace(page, kept=torch.arange(len(page.features))) for page in pages]
    for given in (grids, pages, everything):
        answer = reader.answer(QUESTION, given, NEW)
        assert answer.text == reader.tokenizer.decode(expected, skip_special_tokens=True)
        assert answer.prompt_tokens == len(prompt) == tokens(reader) + 4 + len(QUESTION) + 2
        assert answer.vision_tokens == tokens(reader)
        assert answer.new_tokens == len(expected)


def test_tokens_depend_on_the_pages(reader: Reader) -> None:
    """Otherwise the other tests here would prove nothing."""
    texts = {reader.answer(QUESTION, reader.see([noise_page(112, 168, seed)]), NEW).text for seed in range(4)}
    assert len(texts) > 1


def test_see_many_is_see_one_by_one(reader: Reader) -> None:
    samples = [[PAGES[0]], PAGES, [noise_page(112, 112, 5, colours=True)], []]
    together = reader.see_many(samples)
    for sample, grids in zip(samples, together, strict=True):
        alone = [reader.see([page])[0] for page in sample]
        assert len(grids) == len(alone)
        for grid, expected in zip(grids, alone, strict=True):
            torch.testing.assert_close(grid, expected, atol=1e-5, rtol=1e-5)


def test_gray_and_rgb_pages_are_seen_alike(small: Reader) -> None:
    gray = PAGES[0]
    rgb = replace(gray, pixels=gray.pixels[..., None].repeat(3, axis=2))
    assert torch.equal(small.see([gray])[0], small.see([rgb])[0])


def test_batch_equals_one_by_one(reader: Reader) -> None:
    """Different numbers of pages, prompt lengths and pruning; in any order."""
    wide, high = reader.see(PAGES)
    questions = ["short", QUESTION + " Answer in full.", "pruned", "no page at all"]
    grids = [[wide], [high, wide], [pruned(wide, 0.5), pruned(high, 0.25)], []]
    alone = [reader.answer(q, g, NEW) for q, g in zip(questions, grids, strict=True)]
    together = reader.answer_many(questions, grids, NEW)
    backwards = reader.answer_many(questions[::-1], grids[::-1], NEW)[::-1]
    counted = ("text", "prompt_tokens", "new_tokens", "vision_tokens", "kv_bytes", "truncated")
    for one, many, back in zip(alone, together, backwards, strict=True):
        for name in counted:
            assert getattr(one, name) == getattr(many, name) == getattr(back, name), name


@pytest.mark.parametrize("chunk", [None, pytest.param(16, marks=in_pieces)])
def test_answers_that_have_ended_leave_the_batch_and_change_no_other(reader: Reader, chunk: int | None) -> None:
    """In whatever order answers end, a step has less than twice the rows that go on."""
    wide, high = reader.see(PAGES)
    pages = [[pruned(wide, (i + 1) / 8, i), as_compressed(high)][: 1 + i % 2] for i in range(8)]
    prompts = [prompt_of(reader, QUESTION + "?" * i, sample) for i, sample in enumerate(pages)]
    features = [[page.features for page in sample] for sample in pages]
    whole = [output.tokens for output in generate_from(reader.model, prompts, features, 24)]
    widths: list[int] = []
    head = reader.model.get_output_embeddings()
    hook = head.register_forward_pre_hook(lambda _, given: widths.append(len(given[0])))
    seen = set()
    for last in ({tokens[2 * i % len(tokens)] for i, tokens in enumerate(whole)}, set(whole[0][:1]), set()):
        widths.clear()
        ending = replace(GREEDY, stop_token_ids=tuple(last))
        found = generate_from(reader.model, prompts, features, 24, ending, MemorySaving(chunk))
        ends = end_token_ids(reader.model) | last
        assert [(output.tokens, output.finished) for output in found] == [until_end(tokens, ends) for tokens in whole]
        longest = max(len(output.tokens) for output in found)
        for step, width in enumerate(widths[len(widths) - longest + 1 :], start=1):
            going_on = sum(len(output.tokens) > step for output in found)
            assert going_on <= width < max(2 * going_on, 2)
            seen.add(width)
    hook.remove()
    assert min(seen) < max(seen) == len(prompts)


def test_pruning_shortens_prefill_and_cache(reader: Reader) -> None:
    """Tokens and bytes both fall by exactly what was dropped."""
    grids = reader.see(PAGES)
    full = reader.answer(QUESTION, grids, 1)
    half = reader.answer(QUESTION, [pruned(grid, 0.5) for grid in grids], 1)
    assert (full.vision_tokens, half.vision_tokens) == (tokens(reader), tokens(reader) // 2)
    assert full.prompt_tokens - half.prompt_tokens == tokens(reader) // 2
    text = reader.model.config.text_config
    head = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
    token_bytes = text.num_hidden_layers * 2 * text.num_key_value_heads * head * 4
    assert full.kv_bytes == token_bytes * full.prompt_tokens
    assert half.kv_bytes == token_bytes * half.prompt_tokens


def test_pruning_equals_masking(reader: Reader) -> None:
    """Dropped tokens and tokens that nothing may attend to give the same logits, also for the tokens that follow."""
    grids = reader.see(PAGES)
    pages = [pruned(grid, 0.5, seed) for seed, grid in enumerate(grids)]
    prompt = prompt_of(reader, QUESTION, pages)
    (short,) = generate_from(reader.model, [prompt], [[page.features for page in pages]], 6)

    where = reader.family.positions(reader.model, replace(prompt, kept=torch.ones_like(prompt.kept))).unsqueeze(-2)
    full_features = [grid.reshape(-1, grid.shape[-1]) for grid in grids]
    ids, kept, masked_tokens, logits = prompt.input_ids, prompt.kept, [], []
    with torch.no_grad():
        for _ in range(len(short.tokens)):
            seen = {"image": reader.family.encoder_output(full_features, reader.model.config)}
            output = reader.model(
                input_ids=ids[None],
                attention_mask=kept.long()[None],
                position_ids=where,
                mm_encoder_outputs=seen,
                use_cache=False,
            )
            logits.append(output.logits[0, -1])
            masked_tokens.append(int(logits[-1].argmax()))
            ids = torch.cat([ids, logits[-1].argmax()[None]])
            kept = torch.cat([kept, torch.ones(1, dtype=torch.bool)])
            where = torch.cat([where, where[..., -1:] + 1], dim=-1)
    assert masked_tokens == short.tokens
    difference = prefill_logits(reader, prompt, [page.features for page in pages]) - logits[0]
    assert difference.abs().max() < 1e-4
    whole = prompt_of(reader, QUESTION, [as_compressed(grid) for grid in grids])
    unpruned = prefill_logits(reader, whole, full_features)
    assert (unpruned - logits[0]).abs().max() > 1e-2  # the dropped tokens did matter


def test_the_text_row_has_no_gaps(small: Reader) -> None:
    """A gap would read as the border of a packed sequence, and what stands behind it would not see what is before."""
    pages = [pruned(grid, 0.5) for grid in small.see(PAGES)]
    prompt = prompt_of(small, QUESTION, pages)
    where = positions(prompt, small.model.model.get_rope_index, small.image_processor.merge_size)
    assert where[0].tolist() == list(range(len(prompt)))
    assert where[1:, -1].tolist() == [4 + 6 + 7 + len(QUESTION) + 1] * 3  # a page takes as many as its longer side
    features = [page.features for page in pages]
    cached, gapless = (prefill_logits(small, prompt, features, use_cache=use) for use in (True, False))
    torch.testing.assert_close(cached, gapless, atol=1e-5, rtol=1e-5)


def test_a_page_may_lose_all_its_tokens(reader: Reader) -> None:
    grids = reader.see(PAGES)
    nothing = [pruned(grid, 0.0) for grid in grids]
    answer = reader.answer(QUESTION, nothing, 3)
    assert answer.vision_tokens == 0
    assert answer.prompt_tokens == 4 + len(QUESTION) + 2
    assert reader.answer(QUESTION, [nothing[0], grids[1]], 3).vision_tokens == math.prod(shapes(reader)[1])


def test_a_smaller_grid_is_a_smaller_page(reader: Reader) -> None:
    """A compressor may hand over an h' x w' grid: it is read like a native page of that size."""
    (grid,) = reader.see([noise_page(196, 196, 0)])
    corner = grid[:4, :2].contiguous()
    compressed = CompressedGrid(corner.reshape(8, -1), shape=(4, 2))
    assert reader.answer(QUESTION, [compressed], NEW).text == reader.answer(QUESTION, [corner], NEW).text


def test_calls_do_not_touch_each_other(reader: Reader) -> None:
    """Neither a former call's positions (rope_deltas) nor its pages show in a later one."""
    grids = reader.see(PAGES)
    dropped = [pruned(grid, 0.3) for grid in grids]
    before = reader.answer(QUESTION, grids, NEW).text, reader.answer(QUESTION, dropped, NEW).text
    plain_generate(reader, plain_inputs(reader, "something else", [noise_page(336, 112, 3)]))
    stale = getattr(reader.model.model, "rope_deltas", None)
    assert (stale is None) == (reader.model.config.model_type == "internvl")
    after = reader.answer(QUESTION, grids, NEW).text, reader.answer(QUESTION, dropped, NEW).text
    assert before == after
    assert getattr(reader.model.model, "rope_deltas", None) is stale
    inputs = plain_inputs(reader, QUESTION, PAGES)
    assert plain_generate(reader, inputs)[0] == plain_generate(load_reader(reader.model_name, device="cpu"), inputs)[0]


def test_missing_token_types_is_an_error(reader: Reader) -> None:
    pages = [as_compressed(grid) for grid in reader.see(PAGES)]
    prompt = prompt_of(reader, QUESTION, pages)
    with pytest.raises(TypeError, match="mm_token_type_ids"):
        Prompt(input_ids=prompt.input_ids, shapes=prompt.shapes, kept=prompt.kept)  # type: ignore[call-arg]
    with pytest.raises(FreqqError, match="mm_token_type_ids"):
        replace(prompt, mm_token_type_ids=None)
    with pytest.raises(FreqqError, match="mm_token_type_ids"):
        replace(prompt, mm_token_type_ids=prompt.mm_token_type_ids[1:])
    with pytest.raises(FreqqError, match="pages are"):
        replace(prompt, mm_token_type_ids=torch.zeros_like(prompt.mm_token_type_ids))


def test_why_token_types_are_required(reader: Reader) -> None:
    """The plain model takes their absence for text alone, says nothing, and computes something else."""
    inputs = plain_inputs(reader, QUESTION, PAGES)
    if "mm_token_type_ids" not in inputs:
        pytest.skip("has one row of positions, for text and pages alike")
    _, right = plain_generate(reader, inputs)
    _, silent = plain_generate(reader, {k: v for k, v in inputs.items() if k != "mm_token_type_ids"})
    assert (right[0] - silent[0]).abs().max() > 1e-2


def test_special_tokens_in_a_question_are_text(small: Reader) -> None:
    grids = small.see(PAGES)
    question = "What is <|image|> and <|endoftext|><|assistant|>?"
    answer = small.answer(question, grids, NEW)
    assert answer.vision_tokens == 52
    assert answer.prompt_tokens == 52 + 4 + len(question) + 2


def test_an_image_token_that_cannot_be_split_is_refused(small: Reader, tmp_path: Path) -> None:
    save_tokenizer(tmp_path, image_is_special=False)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    careless = Reader(small.model, tokenizer, small.image_processor, "careless", "0")
    with pytest.raises(UserError, match=r"<\|image\|>"):
        careless.answer("What is <|image|>?", small.see(PAGES), 2)


def test_too_long_a_prompt(small: Reader) -> None:
    (grid,) = small.see([noise_page(28 * 20, 28 * 20, 0)])
    with pytest.raises(FreqqError, match="do not fit into the model's 512"):
        small.answer(QUESTION, [grid], 512 - 400 - len(QUESTION) - 3)
    assert small.answer(QUESTION, [grid], 512 - 400 - len(QUESTION) - 4).vision_tokens == 400


def test_a_limit_that_does_not_fit_becomes_the_room_behind_each_prompt(small: Reader) -> None:
    """Each sample's own room, however the batch is composed."""
    grids = [small.see([noise_page(28 * 20, 28 * rows, rows)]) for rows in (19, 20)]
    batch = small.answer_many([QUESTION] * 2, grids, 8192, fit=True)
    for answer, own in zip(batch, grids, strict=True):
        (alone,) = small.answer_many([QUESTION], [own], 8192, fit=True)
        assert (alone.text, alone.new_tokens) == (answer.text, answer.new_tokens)
        assert answer.prompt_tokens + answer.new_tokens == 512 or not answer.truncated
    (short,) = small.answer_many([QUESTION], [grids[0]], 3, fit=True)
    assert short.new_tokens == 3
    with pytest.raises(FreqqError, match="--max-new-tokens"):
        small.answer_many([QUESTION], [grids[0]], 8192)


def test_an_unreadable_page(small: Reader) -> None:
    with pytest.raises(UserError, match="aspect ratio"):
        small.see([noise_page(28, 28 * 250, 0)])


def test_wrong_numbers_of_features(small: Reader) -> None:
    (grid,) = small.see([PAGES[0]])
    features = grid.reshape(24, -1)
    with pytest.raises(FreqqError):
        small.answer(QUESTION, [CompressedGrid(features[:5], shape=(4, 6))], 2)
    with pytest.raises(FreqqError):
        small.answer(QUESTION, [CompressedGrid(features[:2], shape=(4, 6), kept=torch.tensor([5, 3]))], 2)


def test_measurements(small: Reader) -> None:
    grids = small.see(PAGES)
    questions = ["one", "another"]
    answers = small.answer_many(questions, [grids, grids[:1]], NEW)
    for answer in answers:
        assert answer.prefill_ms > 0
        assert 0 < answer.decode_ms_per_token < math.inf
        assert answer.peak_memory_bytes > sum(p.nbytes for p in small.model.parameters())
    assert small.answer_many([], [], NEW) == []
    assert small.answer("one token", grids, 1).decode_ms_per_token == 0.0


def test_truncated_means_no_end_token(small: Reader) -> None:
    """The same answer, once cut off and once ended, by making one of its own tokens the end token."""
    grids = small.see(PAGES)
    cut = small.answer(QUESTION, grids, NEW)
    assert (cut.truncated, cut.new_tokens) == (True, NEW)
    pages = [as_compressed(grid) for grid in grids]
    (output,) = generate_from(small.model, [prompt_of(small, QUESTION, pages)], [[p.features for p in pages]], NEW)
    end = output.tokens[3]
    settings = small.model.generation_config
    settings.eos_token_id = [0, end]
    try:
        ended = small.answer(QUESTION, grids, NEW)
    finally:
        settings.eos_token_id = 0
    assert not ended.truncated
    assert ended.new_tokens == output.tokens.index(end) + 1


def test_left_pad_aligns_ends() -> None:
    ids = [torch.tensor([7, 8, 9]), torch.tensor([5])]
    where = [torch.arange(12).reshape(4, 3) + 1, torch.full((4, 1), 3)]
    batch = left_pad(ids, where, pad_id=0)
    assert batch.input_ids.tolist() == [[7, 8, 9], [0, 0, 5]]
    assert batch.attention_mask.tolist() == [[1, 1, 1], [0, 0, 1]]
    assert torch.equal(batch.position_ids[:, 0], where[0])
    assert batch.position_ids[:, 1].tolist() == [[0, 0, 3]] * 4


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_on_a_gpu(small_folder: Path) -> None:
    """The automatic choice of device and dtype, and again: all kept is the plain model."""
    reader = load_reader(str(small_folder))
    assert (reader.dtype, reader.device) == ("bfloat16", "cuda:0")
    inputs = {name: value.to("cuda:0") for name, value in plain_inputs(reader, QUESTION, PAGES).items()}
    expected, _ = plain_generate(reader, inputs)
    grids = reader.see(PAGES)
    answer = reader.answer(QUESTION, grids, NEW)
    assert answer.text == reader.tokenizer.decode(expected, skip_special_tokens=True)
    assert 0 < answer.peak_memory_bytes <= torch.cuda.get_device_properties(0).total_memory
    half = reader.answer_many([QUESTION] * 2, [[pruned(grid.cpu(), 0.5) for grid in grids], grids], NEW)
    assert [one.vision_tokens for one in half] == [26, 52]
