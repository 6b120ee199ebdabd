"""``freqq codebook``: training one by command, and what ships."""

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from freqq.cli.app import app
from freqq.data.pythontext import reference
from freqq.image import codebooks
from freqq.image.codebooks import SHIPPED
from freqq.image.streams import describe
from freqq.image.vq_codebook import read_codebook


def freqq(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(a) for a in arguments], prog_name="freqq")


def test_a_text_makes_a_codebook(tmp_path):
    text, out = tmp_path / "text.txt", tmp_path / "book.safetensors"
    text.write_text(reference()[:20_000])
    result = freqq("codebook", "train", text, "--out", out, "--size", 500)
    assert result.exit_code == 0, result.output
    book = read_codebook(out)
    assert (len(book.patterns), *book.patterns.block) == (500, 10, 3)
    assert f"id {book.id.hex()}" in result.output


def test_a_folder_is_refused_before_anything_is_learned(tmp_path):
    result = freqq("codebook", "train", tmp_path / "no-such-text", "--out", tmp_path)
    assert (result.exit_code, list(tmp_path.iterdir())) == (2, [])
    assert f"--out {tmp_path} is a folder: give a file name" in result.stderr


def test_a_file_is_replaced_only_if_it_is_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "codebook.safetensors").write_text("mine")
    result = freqq("codebook", "train", "mini")
    assert result.exit_code == 2
    assert "codebook.safetensors exists: choose a file with --out" in " ".join(result.output.split())
    assert (tmp_path / "codebook.safetensors").read_text() == "mine"


def test_minis_codebook_is_made_by_one_command(tmp_path):
    out = tmp_path / "mini.safetensors"
    assert freqq("codebook", "train", "mini", "--width", 7, "--out", out).exit_code == 0
    np.testing.assert_array_equal(
        read_codebook(out).patterns.array, read_codebook(SHIPPED / "mini.safetensors").patterns.array
    )


@pytest.mark.parametrize("option", [("--dpi", 72), ("--font", "DejaVuSans")])
def test_mini_has_a_look_of_its_own(option, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = freqq("codebook", "train", "mini", *option)
    assert result.exit_code == 2
    assert "mini has a look of its own" in result.output
    assert list(tmp_path.iterdir()) == []


def test_a_file_may_be_called_mini(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mini").write_text(reference()[:5_000])
    assert freqq("codebook", "train", "./mini", "--out", "book.safetensors").exit_code == 0
    assert read_codebook(tmp_path / "book.safetensors").patterns.block == (10, 3)


def test_the_shipped_ones_are_listed():
    result = freqq("codebook", "list")
    assert result.exit_code == 0
    for path in SHIPPED.glob("*.safetensors"):
        assert read_codebook(path).id.hex() in result.output


def test_rendered_pages_of_another_font_are_compressed_by_a_codebook_of_their_own(tmp_path, monkeypatch):
    """What is learned from is short here: all of it takes a minute."""
    prose = " ".join(reference().split())
    monkeypatch.setenv("FREQQ_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(codebooks, "training_texts", lambda: iter([prose[:30_000]]))
    (tmp_path / "text.txt").write_text(prose[:9_000])
    pages, out = tmp_path / "pages", tmp_path / "out"
    assert freqq("render", tmp_path / "text.txt", "--font", "DejaVuSerif", "--out", pages).exit_code == 0
    result = freqq("compress-image", pages, "--codec", "vq", "--level", "all", "--workers", 1, "--out", out)
    assert result.exit_code == 0, result.output
    assert result.stderr.count("learning a codebook") == 1
    assert describe((out / "vq-ultra_mild" / "page-0001.fqi").read_bytes())["coding"] == "patterns"
    [book] = (tmp_path / "cache" / "codebooks").glob("*.safetensors")
    assert book.stem.split("-")[1] in freqq("codebook", "list").output
