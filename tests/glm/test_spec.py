"""What a model's files say without its weights is what the loaded model does."""

import shutil
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from transformers import Glm4vImageProcessorPil

from freqq.errors import UserError
from freqq.glm.families import find_family
from freqq.glm.load import find
from freqq.glm.memory import tower_digest
from freqq.glm.reader import Reader
from freqq.glm.spec import read_spec
from tests.conftest import TINY, needs_tiny
from tests.glm.conftest import noise_page


@pytest.mark.parametrize("size", [(28, 28), (100, 140), (13, 300), (56, 57), (1, 1)])
def test_grids_are_those_of_the_tower(size: tuple[int, int], reader: Reader, model_folder: Path) -> None:
    spec = read_spec(find(str(model_folder)))
    [grid] = reader.see([noise_page(*size, seed=1)])
    assert spec.grid_shape(*size) == tuple(grid.shape[:2])
    assert spec.channels == grid.shape[2]


def test_prompts_and_caches_are_those_of_an_answer(reader: Reader, model_folder: Path) -> None:
    spec = read_spec(find(str(model_folder)))
    pages = [noise_page(84, 112, 1), noise_page(56, 56, 2)]
    grids = reader.see(pages)
    answer = reader.answer("What is <|image|> here?", grids, 5)
    tokens = sum(h * w for h, w in (spec.grid_shape(*page.pixels.shape) for page in pages))
    assert spec.prompt_tokens("What is <|image|> here?", 2, tokens) == answer.prompt_tokens
    assert spec.kv_bytes_per_token("float32") * (answer.prompt_tokens + answer.new_tokens - 1) == answer.kv_bytes
    assert spec.context == reader.model.config.text_config.max_position_embeddings


@settings(max_examples=200)
@given(st.integers(1, 5000), st.integers(1, 5000))
def test_the_shape_has_as_many_patches_as_the_image_processor_says(height: int, width: int) -> None:
    processor, family = Glm4vImageProcessorPil(), find_family("glm4v")
    try:
        expected = processor.get_number_of_image_patches(height, width)
    except ValueError:
        with pytest.raises(UserError, match="cannot be read by the model"):
            family.grid_shape(height, width, processor, None)
        return
    h, w = family.grid_shape(height, width, processor, None)
    assert h * w * processor.merge_size**2 == expected


def test_a_page_that_the_model_cannot_read_is_refused(small_folder: Path) -> None:
    with pytest.raises(UserError, match="a page of 9000 x 30 px cannot be read"):
        read_spec(find(str(small_folder))).grid_shape(30, 9000)


def test_damaged_files_are_one_line(small_folder: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(small_folder, tmp_path / "model")
    (folder / "tokenizer.json").write_text("{")
    with pytest.raises(UserError, match="cannot read the configuration of") as caught:
        read_spec(find(str(folder)))
    assert "\n" not in str(caught.value)


@needs_tiny
def test_a_copy_of_the_embedded_model_has_its_tower_whatever_else_is_changed(
    tmp_path: Path, small_folder: Path
) -> None:
    folder = shutil.copytree(TINY.parent, tmp_path / "copy")
    (folder / "chat_template.jinja").write_text("[gMASK]" + (folder / "chat_template.jinja").read_text())
    weights = load_file(TINY)
    spoken = next(name for name in weights if ".visual." not in name)
    save_file(weights | {spoken: torch.zeros_like(weights[spoken])}, folder / "model.safetensors", {"format": "pt"})
    assert read_spec(find(str(folder))).has_embedded_tower
    seen = next(name for name in weights if ".visual." in name)
    save_file(weights | {seen: weights[seen] + 1}, folder / "model.safetensors", {"format": "pt"})
    assert not read_spec(find(str(folder))).has_embedded_tower
    assert not read_spec(find(str(small_folder))).has_embedded_tower


def test_a_header_that_points_beyond_its_file_is_refused(small_folder: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(small_folder, tmp_path / "model")
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-1000])
    with pytest.raises(ValueError, match="not a whole safetensors file"):
        tower_digest(folder)
