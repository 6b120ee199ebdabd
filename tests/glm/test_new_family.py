"""A family from outside the package: examples/new_family.py, registered by a call and by an entry point."""

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch
from transformers import AutoConfig, AutoModelForImageTextToText, CLIPImageProcessorPil

from freqq.errors import UserError
from freqq.glm.families import FAMILIES
from freqq.glm.load import load_reader
from freqq.glm.reader import Reader
from freqq.glm.sequence import as_compressed
from freqq.tokens import compressor
from tests.cli.test_app import freqq
from tests.glm.conftest import MARKS, TEMPLATE, TEXT, noise_page, save_tokenizer
from tests.glm.test_reader import QUESTION, plain_generate, prefill_logits, prompt_of, pruned

EXAMPLE = Path(__file__).parents[2] / "examples" / "new_family.py"
ROPE = {"rope_type": "default", "rope_theta": 200.0}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random LLaVA of 4 x 4 tokens a page."""
    folder = tmp_path_factory.mktemp("llava")
    vision = {
        "model_type": "clip_vision_model", "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 3,
        "num_attention_heads": 2, "image_size": 56, "patch_size": 14, "projection_dim": 32,
    }  # fmt: skip
    text = TEXT | {"model_type": "llama", "rope_parameters": ROPE, "max_position_embeddings": 2048}
    config = AutoConfig.for_model("llava", text_config=text, vision_config=vision, image_token_index=4, **MARKS)
    torch.manual_seed(0)
    model = AutoModelForImageTextToText.from_config(config)
    for parameter in model.parameters():
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=1.5 * parameter[0].numel() ** -0.5)
    model.save_pretrained(folder)
    CLIPImageProcessorPil(size={"shortest_edge": 56}, crop_size={"height": 56, "width": 56}).save_pretrained(folder)
    save_tokenizer(folder, template=TEMPLATE)
    return folder


@pytest.fixture
def registered() -> Iterator[None]:
    """The example's family is one of freqq's."""
    spec = importlib.util.spec_from_file_location("new_family", EXAMPLE)
    spec.loader.exec_module(importlib.util.module_from_spec(spec))
    yield
    del FAMILIES["llava"]


@pytest.fixture
def reader(folder: Path, registered: None) -> Reader:
    """It, read by the example's family."""
    return load_reader(str(folder), device="cpu")


def test_all_kept_is_the_plain_model_and_pruned_is_masked(reader: Reader) -> None:
    pages = [noise_page(56, 80, 0), noise_page(90, 56, 1)]
    grids = reader.see(pages)
    assert [tuple(grid.shape[:2]) for grid in grids] == [(4, 4)] * 2
    whole = [as_compressed(grid) for grid in grids]
    prompt = prompt_of(reader, QUESTION, whole)
    ids = prompt.input_ids[None]
    images = reader.image_processor(images=[page.pixels for page in map(_coloured, pages)], return_tensors="pt")
    plain = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "pixel_values": images["pixel_values"]}
    expected, logits = plain_generate(reader, plain, 8)
    answer = reader.answer(QUESTION, grids, 8)
    assert answer.text == reader.tokenizer.decode(expected, skip_special_tokens=True)
    assert torch.equal(prefill_logits(reader, prompt, [page.features for page in whole]), logits[0])

    cut = [pruned(grid, 0.5) for grid in grids]
    short = prompt_of(reader, QUESTION, cut)
    with torch.no_grad():
        masked = reader.model(**plain | {"attention_mask": short.kept.long()[None]},
                              position_ids=torch.arange(ids.shape[1])[None]).logits[0, -1]  # fmt: skip
    difference = prefill_logits(reader, short, [page.features for page in cut]) - masked
    assert difference.abs().max() < 1e-4
    assert (masked - logits[0]).abs().max() > 1e-2
    smaller = [compressor("token-lowpass")(keep=0.25).compress(grid) for grid in grids]
    assert reader.answer(QUESTION, smaller, 2).vision_tokens == 8


def _coloured(page):
    return type(page)(page.pixels[..., None].repeat(3, axis=2))


def test_it_is_no_family_without_the_example(folder: Path) -> None:
    with pytest.raises(UserError, match=r"type 'llava', no family that freqq reads; .*examples/new_family\.md"):
        load_reader(str(folder), device="cpu")


@pytest.mark.parametrize(
    "command", ["serve --engine vllm", "bench", "eval --backend vllm --method token-prune --limit 1 --dry-run"]
)
def test_vllm_does_not_serve_it(registered: None, folder: Path, tmp_path: Path, monkeypatch, command: str) -> None:
    """It says no class of vLLM; nothing is started that would find out."""
    monkeypatch.chdir(tmp_path)
    done = freqq(*command.split(), "--model", str(folder))
    assert done.exit_code == 2
    said = " ".join((done.stdout + done.stderr).split())
    assert "does not compress the tokens of LLaVA-1.5: use --backend local, or a model of GLM-4.1V, " in said
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("where", ["", "--workers 1"])
def test_the_whole_command_line_takes_it(folder: Path, tmp_path: Path, where: str) -> None:
    command = f"eval --model {folder} --method token-prune --level mild --limit 1 --max-new-tokens 4 {where}"
    done = subprocess.run(
        [sys.executable, EXAMPLE, *command.split(), "--out", tmp_path / "run"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    rows = pq.read_table(tmp_path / "run" / "results.parquet").to_pylist()
    assert [row["error"] for row in rows] == [None, None]
    left = compressor("token-prune").at("mild").tokens_left(4, 4)
    assert rows[1]["vision_tokens"] * 16 == rows[0]["vision_tokens"] * left


def doctor(folder: Path, entry: str) -> subprocess.CompletedProcess[str]:
    """``freqq doctor`` beside an installed package with an entry point."""
    installed = folder / "beside-1.0.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: beside\nVersion: 1.0\n")
    (installed / "entry_points.txt").write_text(f"[freqq.families]\nllava = {entry}\n")
    path = os.pathsep.join([str(folder), str(EXAMPLE.parent), *(path for path in sys.path if path)])
    command = [sys.executable, "-m", "freqq", "doctor", "--json"]
    return subprocess.run(command, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": path})


def test_an_entry_point_adds_a_family(tmp_path: Path) -> None:
    done = doctor(tmp_path, "new_family:Llava")
    assert done.returncode == 0, done.stderr
    assert any(one["name"] == "LLaVA-1.5" and "llava-1.5-7b" in one["found"] for one in json.loads(done.stdout))


@pytest.mark.parametrize("entry", ["not_there:Family", "new_family:main"])
def test_a_broken_entry_point_is_left_out_in_words(entry: str, tmp_path: Path) -> None:
    done = doctor(tmp_path, entry)
    assert done.returncode == 0, done.stderr
    assert f"llava of the package beside 1.0 is left out: {entry} " in " ".join(done.stderr.split())
    assert "LLaVA" not in done.stdout
