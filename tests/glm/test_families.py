"""What a family is: every method works on each, each is one short file, and what is of none is refused."""

import inspect
import json
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from freqq.adapt.adapt import check_family
from freqq.coding.codebook_files import ELSEWHERE
from freqq.errors import UserError
from freqq.glm import families
from freqq.glm.answer_style import style_of
from freqq.glm.families import families as all_families
from freqq.glm.families import family_of
from freqq.glm.load import find as find_weights
from freqq.glm.load import load, load_reader
from freqq.glm.place import place
from freqq.glm.reader import Reader
from freqq.image import CODECS
from freqq.pages.render import render
from freqq.pages.style import Style
from freqq.tokens import COMPRESSORS, compressor
from freqq.tokens.base import Cutter
from tests.glm.conftest import KINDS, image_processor, own_codebook, save_model
from tests.glm.test_reader import PAGES, QUESTION

TOKEN_METHODS = [*COMPRESSORS, "token-lowpass+quantize", "token-prune+int8", "token-prune+vq"]


@pytest.fixture(scope="module")
def codebooks(reader: Reader, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a codebook of the model's own tokens."""
    folder = tmp_path_factory.mktemp("codebooks")
    (folder / "own.safetensors").write_bytes(own_codebook(reader).file)
    return folder


@pytest.mark.parametrize("name", TOKEN_METHODS)
def test_every_token_method_works_on_every_family(
    name: str, reader: Reader, codebooks: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sequence is as long as the method says; where it keeps all tokens, the answer is the plain one."""
    monkeypatch.setenv(ELSEWHERE, str(codebooks))
    grids = reader.see(PAGES)
    method = compressor(name).at("aggressive")
    pages = [method.compress(grid) for grid in grids]
    answer = reader.answer(QUESTION, pages, 3)
    left = sum(method.tokens_left(*grid.shape[:2]) for grid in grids)
    assert answer.vision_tokens == sum(len(page.features) for page in pages) == left
    assert answer.prompt_tokens == left + 4 + len(QUESTION) + 2
    assert all(page.features.shape[1] == reader.family.channels(reader.model.config) for page in pages)
    if issubclass(compressor(name), Cutter):
        everything = [compressor(name)(keep=1.0).compress(grid) for grid in grids]
        assert reader.answer(QUESTION, everything, 3).text == reader.answer(QUESTION, grids, 3).text


@pytest.mark.parametrize("name", CODECS)
def test_every_image_method_works_on_every_family(name: str, reader: Reader) -> None:
    """The model sees what a codec decodes, whatever size that has."""
    [page] = render(["a tapir wades"], Style(width=200, crop_to=20))
    codec = CODECS[name].at("mild")
    decoded = codec.decode(codec.encode(page))
    [grid] = reader.see([decoded])
    assert grid.shape[0] * grid.shape[1] == reader.token_count(decoded)
    assert bool(torch.isfinite(grid).all())


@settings(max_examples=50)
@given(st.sampled_from(KINDS), st.integers(1, 5000), st.integers(1, 5000))
def test_a_grid_has_as_many_patches_as_the_image_processor_says(kind: str, height: int, width: int) -> None:
    processor, family = image_processor(kind), family_of(kind)
    vision = SimpleNamespace(spatial_merge_size=2, patch_size=[14, 14])
    config = SimpleNamespace(vision_config=vision, downsample_ratio=0.5)
    try:
        expected = processor.get_number_of_image_patches(height, width, {"crop_to_patches": True})
    except ValueError:
        with pytest.raises(UserError, match="cannot be read by the model"):
            family.grid_shape(height, width, processor, config)
        return
    h, w = family.grid_shape(height, width, processor, config)
    # InternVL's processor counts tiles, which are of 4 x 4 patches here.
    assert h * w * family.patches_per_token(config) == expected * (16 if kind == "internvl" else 1)


def test_a_family_is_one_file_of_at_most_120_lines() -> None:
    for name, path in families.FAMILIES.own.items():
        assert path.startswith(f"freqq.glm.families.{name}:")
    for family in all_families().values():
        lines = Path(inspect.getfile(type(family))).read_text().count("\n")
        assert lines <= 120, family.name


def test_deep_levels_are_dropped_together() -> None:
    """A kept token keeps all its levels, and what goes into the model are the levels of the kept tokens."""
    family = family_of("qwen3_vl")
    config = SimpleNamespace(vision_config=SimpleNamespace(deepstack_visual_indexes=[0, 1]))
    features = torch.arange(24.0).reshape(4, 6)
    output = family.encoder_output([features[:1], features[1:]], config)
    assert torch.equal(torch.cat(output.pooler_output), features[:, :2])
    assert [torch.cat(level).tolist() for level in output.deepstack_features] == [
        features[:, 2:4].tolist(), features[:, 4:].tolist(),
    ]  # fmt: skip


def test_only_templates_that_begin_thoughts_make_these_models_think(reader: Reader) -> None:
    assert str(reader.family.answer_style(reader.tokenizer)) == "the answer alone"
    tokenizer = load_reader(reader.model_name, device="cpu").tokenizer
    tokenizer.add_tokens(["<think>", "</think>"])
    by_token = reader.model.config.model_type not in ("qwen3_vl", "internvl")
    assert style_of(tokenizer).thinks
    assert reader.family.answer_style(tokenizer).thinks == by_token


def test_flash_attention_is_refused_where_gaps_in_positions_would_cut_the_sequence(tmp_path: Path) -> None:
    weights = find_weights(str(save_model("internvl", tmp_path / "model")))
    placement = replace(place(device="cpu"), attention="flash_attention_2")
    with pytest.raises(UserError, match="InternVL needs --attention sdpa"):
        load(weights, placement)


@pytest.mark.parametrize("claimed", ["glm_ocr", "qwen2_5_vl", "internvl"])
def test_weights_of_another_family_than_the_config_names_are_refused(
    claimed: str, small_folder: Path, tmp_path: Path
) -> None:
    folder = save_model(claimed, tmp_path / "claimed")
    shutil.copy(small_folder / "model.safetensors", folder)
    with pytest.raises(UserError) as caught:
        load_reader(str(folder), device="cpu")
    message = str(caught.value)
    assert f"says that it is a {family_of(claimed).name}, but its weights are another model's" in message
    assert "\n" not in message


def test_an_unknown_family_is_told_which_there_are_and_how_to_add_one(small_folder: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(small_folder, tmp_path / "model"))
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"model_type": "mllama"}))
    with pytest.raises(UserError) as caught:
        load_reader(str(folder), device="cpu")
    message = str(caught.value)
    assert "'mllama'" in message
    assert all(family.name in message for family in all_families().values())
    assert families.GUIDE in message


@pytest.mark.parametrize("kind", ["glm46v", "qwen3_vl"])
def test_a_family_without_adapters_is_refused_before_it_is_loaded(kind: str, tmp_path: Path) -> None:
    weights = find_weights(str(save_model(kind, tmp_path / "model")))
    (weights.folder / "model.safetensors").unlink()
    if family_of(kind).adapters:
        check_family(weights)
    else:
        with pytest.raises(UserError, match=r"is a Qwen3-VL, for which no adapter can be trained; of GLM-4.1V, .* one"):
            check_family(weights)
