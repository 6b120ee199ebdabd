"""Whether weights fit is told before they are loaded."""

import json
from pathlib import Path
from shutil import copytree

import pytest
from safetensors.torch import load_file

from freqq.errors import FreqqError
from freqq.glm.load import find, load, load_reader
from freqq.glm.memory import check_fits, memories, weight_bytes
from freqq.glm.place import place
from tests.glm.conftest import noise_page


def test_bytes_are_those_of_the_tensors(model_folder: Path, tmp_path: Path) -> None:
    tensors = load_file(model_folder / "model.safetensors")
    assert weight_bytes(model_folder, "float32") == sum(4 * t.numel() for t in tensors.values())
    assert weight_bytes(model_folder, "bfloat16") == sum(2 * t.numel() for t in tensors.values())
    assert weight_bytes(tmp_path, "float32") == 0


def test_only_the_files_of_the_index_count(small_folder: Path, tmp_path: Path) -> None:
    folder = copytree(small_folder, tmp_path / "model")
    (folder / "model.safetensors").rename(folder / "a.safetensors")
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"x": "a.safetensors"}}))
    (folder / "b.safetensors").write_bytes(b"not of this model")
    assert weight_bytes(folder, "float32") == weight_bytes(small_folder, "float32")


@pytest.mark.parametrize("start", [b"", b"\xff" * 8, (10**7).to_bytes(8, "little") + b"{}"])
def test_a_header_that_claims_too_much_is_refused(start: bytes, small_folder: Path, tmp_path: Path) -> None:
    folder = copytree(small_folder, tmp_path / "model")
    (folder / "model.safetensors").write_bytes(start)
    with pytest.raises(FreqqError, match="cannot load"):
        load_reader(str(folder), device="cpu")


def test_the_message_says_what_is_needed_and_what_is_there() -> None:
    available = [40_000_000_000] * 4
    with pytest.raises(FreqqError, match=r"^GLM-4.5V needs 212 GB in bfloat16; 4 x 40 GB hold 160: use more"):
        check_fits("GLM-4.5V", 212_000_000_000, "bfloat16", available, "use more")
    with pytest.raises(FreqqError, match="needs 41 GB in float32; 40 GB are there"):
        check_fits("9B", 4 * 10_290_000_000, "float32", available[:1], "use more")
    check_fits("9B", 2 * 10_290_000_000, "bfloat16", available[:1], "use more")


def test_replicas_share_the_machine(small_folder: Path) -> None:
    weights = find(str(small_folder))
    assert load(weights, place(device="cpu", replicas=2)).device == "cpu"
    [size] = memories("cpu", spread=False)
    too_many = size // weight_bytes(small_folder, "float32") + 1
    with pytest.raises(FreqqError, match=f"use fewer than {too_many} workers"):
        load(weights, place(device="cpu", replicas=too_many))


def test_a_model_that_accelerate_placed_answers_as_it_does_without(small_folder: Path) -> None:
    pages = [noise_page(112, 140, 1)]
    plain, spread = (load(find(str(small_folder)), place(device="cpu", spread=s)) for s in (False, True))
    assert spread.answer("What?", spread.see(pages), 8).text == plain.answer("What?", plain.see(pages), 8).text
