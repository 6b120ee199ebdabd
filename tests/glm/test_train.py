"""Training: its forward pass is the model's own, its targets are what the pages show, and it goes on after a stop."""

import random
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from freqq.data.mini import FORMATS, HELD_OUT_PAIRS, TOPICS, is_held_out
from freqq.glm.train.architecture import (
    CELL,
    CHARACTERS,
    IMAGE,
    IMAGE_MEAN,
    IMAGE_STD,
    build_config,
    build_model,
    build_tokenizer,
)
from freqq.glm.train.corpus import SPACE, Batch, Shape, build_batch, random_shape
from freqq.glm.train.forward import PackedForward, to_patches
from freqq.glm.train.language import LanguageHeads, Recipe, language_step
from freqq.glm.train.loop import Stage, parameters, run


@pytest.fixture(scope="module")
def batch() -> Batch:
    return build_batch(random.Random(3), Shape(2, 6, 7), 3, 4)


def test_packed_forward_equals_transformers(batch: Batch) -> None:
    """Two pages a sample, four packed questions: each question's logits are those of a plain, unpacked call."""
    model = build_model(build_config(layers=2, vision_depth=2)).eval()
    forward = PackedForward(model)
    size, pages = batch.pixels.shape[:2]
    patches = to_patches(batch.pixels.flatten(0, 1))
    mean, std = torch.tensor(IMAGE_MEAN).view(3, 1, 1), torch.tensor(IMAGE_STD).view(3, 1, 1)
    with torch.no_grad():
        seen = forward.vision(patches, 6, 7).view(size, -1, 256)
        packed = model.lm_head(forward.language(2, 6, 7, seen, batch.tokens)[0])
        colour = ((patches.flatten(0, 1)[:, None, None] - mean) / std).expand(-1, 3, 2, 196).reshape(-1, 1176)
        prefix = torch.tensor([forward.prefix_ids(2, 6, 7)]).expand(size, -1)
        for k in range(4):
            ids = torch.cat([prefix, batch.tokens[:, k]], 1)
            plain = model(
                input_ids=ids,
                attention_mask=torch.ones_like(ids),
                pixel_values=colour,
                image_grid_thw=torch.tensor([[1, 12, 14]] * (size * pages)),
                mm_token_type_ids=(ids == IMAGE).int(),
            ).logits[:, -batch.tokens.shape[-1] :]
            torch.testing.assert_close(packed[:, k], plain, atol=2e-4, rtol=2e-4)


def _ink(batch: Batch) -> Tensor:
    """Ink in the five inner columns of every slot, [B, V, SLOTS]; a glyph may reach a pixel into its neighbour."""
    size, pages, height, width = batch.pixels.shape
    ink = 255 - batch.pixels.int()
    return ink.view(size, pages, height // CELL, CELL, width // CELL, 4, 7)[..., 1:6].sum((3, 6)).view(size, -1, 4)


def test_characters_are_where_the_ink_is(batch: Batch) -> None:
    """A slot has ink exactly where its target is not a space."""
    assert torch.equal(_ink(batch) > 0, batch.characters != SPACE)


def test_labels_spell_the_answer_and_sources_show_it(batch: Batch) -> None:
    tokenizer = build_tokenizer()
    for b in range(3):
        for k in range(4):
            labels = batch.labels[b, k]
            spoken = tokenizer.decode(labels[labels >= 0], skip_special_tokens=True)
            asked = tokenizer.decode(batch.tokens[b, k])
            assert asked.startswith(f"Prepend {spoken[:6]} to the ")
            body = spoken[6:]
            start = int((labels >= 0).nonzero()[0, 0]) + 6
            for j, character in enumerate(body):
                shown = "".join(CHARACTERS[i] for i in batch.characters[b, batch.source[b, k, start + j]])
                assert character == " " or character in shown


def test_training_shares_nothing_with_evaluation() -> None:
    """No held-out pair is on a training page at all, and every answer belongs to the training split by its hash."""
    rng = random.Random(0)
    held_out = {(FORMATS.index(f), TOPICS.index(t)) for f, t in HELD_OUT_PAIRS}
    tokenizer = build_tokenizer()
    for _ in range(20):
        made = build_batch(rng, random_shape(rng, 320), 2, 3)
        shown = {tuple(facts[:2].tolist()) for facts in made.facts.flatten(0, 1) if facts[0] >= 0}
        assert not shown & held_out
        for labels in made.labels.flatten(0, 1):
            answer = tokenizer.decode(labels[labels >= 0], skip_special_tokens=True)[6:]
            assert not is_held_out(answer)


def test_tokenizer_round_trips_and_replaces_the_unknown() -> None:
    tokenizer = build_tokenizer()
    text = "Prepend a1stX0 to the 2nd (1 indexed) poem about tapirs. Do not include any other text in your response."
    assert tokenizer.decode(tokenizer(text).input_ids) == text
    assert tokenizer.decode(tokenizer(CHARACTERS).input_ids) == CHARACTERS
    assert tokenizer.decode(tokenizer("a\u00e9b").input_ids) == "a?b"


def test_a_stopped_run_ends_with_the_weights_of_an_unstopped_one(tmp_path: Path) -> None:
    stage = Stage("language", steps=4, rate=1e-3, warmup=2, save_every=2, report_every=1)

    def start(folder: Path, stop_at: int | None) -> dict[str, Tensor]:
        model = build_model(build_config(hidden=64, layers=5, vision_hidden=64, vision_depth=1))
        whole = nn.ModuleDict({"net": model, "heads": LanguageHeads(64)})
        forward = PackedForward(model)
        recipe = Recipe(samples=1, questions=1, largest=60, guidance=False)

        def loss(step: int) -> tuple[Tensor, dict[str, Tensor]]:
            if step == stop_at:
                raise KeyboardInterrupt
            heads = whole["heads"]
            assert isinstance(heads, LanguageHeads)
            return language_step(forward, heads, recipe, step, 4, 0)

        groups = parameters(whole, {"net": 1.0, "heads": 5.0})
        run(stage, whole, groups, [loss], folder, lambda *_: None)
        return {name: tensor.clone() for name, tensor in whole.state_dict().items()}

    straight = start(tmp_path / "straight", None)
    with pytest.raises(KeyboardInterrupt):
        start(tmp_path / "stopped", 3)
    resumed = start(tmp_path / "stopped", None)
    for name, tensor in straight.items():
        torch.testing.assert_close(resumed[name], tensor, atol=0, rtol=0, msg=name)


@pytest.mark.parametrize("steps", [10, 3000, 8000])
def test_aids_fade_to_zero_before_the_end(steps: int) -> None:
    recipe = Recipe()
    weights = [recipe.aid(step, steps) for step in range(steps)]
    assert weights == sorted(weights, reverse=True)
    assert weights[0] == 1.0
    assert weights[-steps // 10 :] == [0.0] * (steps // 10)


@given(shorter=st.integers(30, 100), longer=st.integers(30, 100), step=st.integers(0, 100))
def test_nothing_before_the_decay_depends_on_the_number_of_steps(shorter: int, longer: int, step: int) -> None:
    stages = [Stage("language", steps=n, rate=1e-3, decay=20, warmup=5) for n in (shorter, longer)]
    if step <= min(shorter, longer) - 20:
        assert stages[0].factor_at(step) == stages[1].factor_at(step)
    assert all(0 <= stage.factor_at(min(step, stage.steps)) <= 1 for stage in stages)
    assert all(stage.factor_at(stage.steps) == pytest.approx(0, abs=1e-12) for stage in stages)
