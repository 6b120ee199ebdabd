"""A codebook for the tokens of another model: trained, used to store pages, and read back."""

import json

import pytest
import torch

from freqq.coding.codebook_files import ELSEWHERE
from freqq.tokens.container import read
from tests.cli.test_app import freqq

TEXT = "Pack my box with five dozen liquor jugs, and write a poem about tapirs. "


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    path = tmp_path_factory.mktemp("texts") / "text.txt"
    path.write_text("\n".join(TEXT * (1 + i % 5) for i in range(200)))
    return path


def test_another_model_needs_a_codebook_of_its_own(text, random_model, tmp_path, monkeypatch):
    pages = tmp_path / "pages"
    assert freqq("render", str(text), "--out", str(pages)).exit_code == 0
    images = [str(path) for path in sorted(pages.rglob("*.png"))[:2]]
    compress = ("compress-tokens", *images, "--model", random_model, "--method", "vq", "--out", str(tmp_path / "out"))
    refused = freqq(*compress)
    assert refused.exit_code == 2
    assert "codebook train --tokens --model MODEL" in " ".join(refused.output.split())

    out = tmp_path / "books" / "random.safetensors"
    out.parent.mkdir()
    trained = freqq("codebook", "train", str(text), "--tokens", "--model", random_model, "--limit", "4", "--dpi", "40",
                    "--out", str(out))  # fmt: skip
    assert trained.exit_code == 0, trained.output
    monkeypatch.setenv(ELSEWHERE, str(out.parent))
    done = freqq(*compress)
    assert done.exit_code == 0, done.output
    stream = next((tmp_path / "out").glob("*.fqt")).read_bytes()
    assert read(stream).content.book.id.hex() in trained.output
    assert bool(torch.isfinite(read(stream).page.features).all())


def test_stored_pages_are_read_in_place_of_the_tower(random_model, text, tmp_path, monkeypatch):
    pages, out = tmp_path / "pages", tmp_path / "books" / "random.safetensors"
    out.parent.mkdir()
    assert freqq("render", "mini", "--limit", "2", "--out", str(pages)).exit_code == 0
    trained = freqq("codebook", "train", str(text), "--tokens", "--model", random_model, "--limit", "4", "--dpi", "40",
                    "--out", str(out))  # fmt: skip
    assert trained.exit_code == 0, trained.output
    monkeypatch.setenv(ELSEWHERE, str(out.parent))
    store = tmp_path / "store"
    images = [str(path) for path in sorted(pages.rglob("*.png"))]
    how = ("--method", "lowpass+vq", "--level", "ultra_mild")
    assert freqq("compress-tokens", *images, "--model", random_model, *how, "--out", str(store)).exit_code == 0
    done = freqq("eval", "--model", random_model, "--limit", "2", "--max-new-tokens", "4", "--level", "baseline",
                 "--tokens-from", str(store), "--out", str(tmp_path / "run"), "--json")  # fmt: skip
    [plain] = json.loads(done.stdout)["groups"]
    assert plain["n_failed"] == 0
    assert plain["vision_tokens"] < plain["vision_tokens_full"]
