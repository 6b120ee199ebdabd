"""The commands that take image files: compress-image, compress-tokens and visualize."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from freqq.cli.app import app
from freqq.glm.load import load_reader
from freqq.image.dct import BlockDct
from freqq.image.files import png
from freqq.image.measures import psnr
from freqq.pages.page import Page
from freqq.pages.render import render
from freqq.pages.style import Style
from freqq.tokens import container


def freqq(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(a) for a in arguments], prog_name="freqq")


@pytest.fixture
def folder(tmp_path):
    """Two pages of different sizes, one gray and one RGB, and a file that is not for us."""
    path = tmp_path / "pages"
    path.mkdir()
    first = next(render(["write a poem about tapirs " * 6], Style(width=168, height=112)))
    second = next(render(["write a song about glass " * 6], Style(width=140, height=84)))
    Image.fromarray(first.pixels).save(path / "a.png")
    Image.fromarray(np.stack([second.pixels] * 3, axis=2)).save(path / "b.png")
    (path / "notes.txt").write_text("no page")
    return path


def page(path):
    return Page(np.asarray(Image.open(path)))


def test_compress_image_writes_pages_streams_and_real_sizes(folder, tmp_path):
    out = tmp_path / "new" / "out"
    result = freqq("compress-image", folder, "--level", "aggressive", "--block", 8, "--out", out)
    assert result.exit_code == 0, result.output
    assert sorted(p.name for p in out.iterdir()) == ["a.fqi", "a.png", "b.fqi", "b.png", "pages.parquet"]
    rows = pq.read_table(out / "pages.parquet").to_pylist()
    assert [row["name"] for row in rows] == ["a", "b"]
    for row in rows:
        before, after = page(folder / f"{row['name']}.png"), page(out / f"{row['name']}.png")
        stream = (out / f"{row['name']}.fqi").read_bytes()
        np.testing.assert_array_equal(BlockDct().decode(stream).pixels, after.pixels)
        assert row["input_bytes"] == (folder / f"{row['name']}.png").stat().st_size
        assert row["page_png_bytes"] == len(png(before))
        assert row["stream_bytes"] == len(stream)
        assert row["decoded_png_bytes"] == (out / f"{row['name']}.png").stat().st_size
        assert row["psnr"] == pytest.approx(psnr(before.pixels, after.pixels))
        assert json.loads(row["params"]) == {"block": 8, "keep": 0.2}
        assert f"{len(stream):,}" in result.output


def test_compress_image_at_the_baseline_loses_nothing(folder, tmp_path):
    assert freqq("compress-image", folder / "b.png", "--level", "baseline", "--out", tmp_path / "out").exit_code == 0
    np.testing.assert_array_equal(page(tmp_path / "out" / "b.png").pixels, page(folder / "b.png").pixels)


def test_equal_names_get_numbers(folder, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    (other / "a.png").write_bytes((folder / "b.png").read_bytes())
    assert freqq("compress-image", folder / "a.png", other / "a.png", "--out", tmp_path / "out").exit_code == 0
    assert (tmp_path / "out" / "a-2.png").is_file()
    assert page(tmp_path / "out" / "a-2.png").pixels.shape == page(folder / "b.png").pixels.shape


def test_compress_tokens_measures_each_page_on_its_own_grid(folder, tmp_path, random_model):
    out = tmp_path / "out"
    result = freqq("compress-tokens", folder, "--bits", "8,4,0", "--model", random_model, "--out", out)
    assert result.exit_code == 0, result.output
    rows = pq.read_table(out / "tokens.parquet").to_pylist()
    pages = [page(folder / "a.png"), page(folder / "b.png")]
    for row, grid in zip(rows, load_reader(random_model).see(pages), strict=True):
        h, w, channels = grid.shape
        stream = (out / f"{row['name']}.fqt").read_bytes()
        assert container.decode(stream).arranged.shape == grid.shape
        assert (row["h"], row["w"], row["channels"], row["tokens"]) == (h, w, channels, h * w)
        assert (row["raw_bf16_bytes"], row["stream_bytes"]) == (2 * h * w * channels, len(stream))
        assert 0 < row["error"] < 1
        assert 0 < row["whitened_cosine"] < 1
        assert row["entropy_low"] > row["entropy_mid"] > row["entropy_high"] == 0
        assert json.loads(row["params"])["bits"] == [8, 4, 0]
    assert (rows[0]["h"], rows[0]["w"]) != (rows[1]["h"], rows[1]["w"])


def test_compress_tokens_with_fewer_tokens(folder, tmp_path, random_model):
    out = tmp_path / "out"
    arguments = ("--compressor", "lowpass+quantize", "--keep", "0.5", "--model", random_model, "--out", out)
    result = freqq("compress-tokens", folder, *arguments)
    assert result.exit_code == 0, result.output
    for row in pq.read_table(out / "tokens.parquet").to_pylist():
        page = container.decode((out / row["file"]).read_bytes())
        assert row["method"] == "token-lowpass+quantize"
        assert row["tokens_kept"] == len(page.features) < row["tokens"] == row["h"] * row["w"]
        assert page.shape == (row["h"], row["w"])
        assert 0 < row["whitened_cosine"] < 1


def test_compress_tokens_at_the_baseline_loses_nothing(folder, tmp_path, random_model):
    out = tmp_path / "out"
    arguments = ("--level", "baseline", "--model", random_model, "--out", out)
    assert freqq("compress-tokens", folder / "a.png", *arguments).exit_code == 0
    [row] = pq.read_table(out / "tokens.parquet").to_pylist()
    assert (row["error"], row["cosine"], row["entropy_low"]) == (0, 1, None)
    content = container.decode((out / "a.fqt").read_bytes()).arranged
    [grid] = load_reader(random_model).see([page(folder / "a.png")])
    np.testing.assert_array_equal(content.float().numpy(), grid.float().numpy())


@pytest.mark.parametrize("kind", ["spectrum", "residual", "compare"])
def test_visualize_draws_to_the_named_file_or_one_beside(kind, folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert freqq("visualize", kind, folder / "a.png").exit_code == 0
    assert freqq("visualize", kind, folder / "a.png", "--out", tmp_path / "figures" / "x.png").exit_code == 0
    assert (tmp_path / f"a-{kind}.png").read_bytes() == (tmp_path / "figures" / "x.png").read_bytes()


def test_visualize_tokens_draws_any_token_method(folder, tmp_path, random_model):
    drawn = []
    for how in (["--level", "baseline"], ["--method", "lowpass", "--keep", "0.3"], ["--method", "token-prune+int4"]):
        target = tmp_path / f"{len(drawn)}.png"
        done = freqq("visualize", "tokens", folder / "a.png", "--model", random_model, "--out", target, *how)
        assert done.exit_code == 0, done.output
        drawn.append(target.read_bytes())
    assert len(set(drawn)) == 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["visualize", "tokens", "pages"], "pages is a folder: give one image"),
        (["visualize", "tokens", "pages/a.png", "--method", "prun"], "did you mean 'token-prune'"),
        (["compress-image", "nowhere.png"], "there is no file or folder nowhere.png"),
        (["compress-image", "pages/notes.txt"], "pages/notes.txt is not an image"),
        (["compress-image", "pages/a.png", "pages/notes.txt"], "pages/notes.txt is not an image"),
        (["compress-image", "empty"], "there is no image in the folder empty"),
        (["compress-image", "pages", "--level", "agressive"], "did you mean 'aggressive'?"),
        (["compress-image", "pages", "--keep", "1.5"], "keep 1.5"),
        (["compress-image", "pages", "--block", "1"], "block 1"),
        (["compress-image", "pages", "--level", "baseline", "--keep", "0.5"], "leave out --keep"),
        (["compress-image", "pages", "--out", "pages"], "would overwrite an input"),
        (["compress-image", "pages", "--out", "pages/a.png/x"], "cannot write to pages/a.png/x"),
        (["compress-tokens", "pages", "--bits", "8,4"], "bits"),
        (["compress-tokens", "pages", "--method", "lowpas"], "did you mean 'token-lowpass'"),
        (["compress-tokens", "pages", "--method", "lowpass", "--keep", "0"], "keep 0"),
        (["compress-tokens", "pages", "--method", "prune", "--bits", "8,4,2"], "unknown parameter"),
        (["compress-tokens", "pages", "--level", "baseline", "--keep", "0.5"], "leave out --keep"),
        (["compress-tokens", "pages", "--bits", "1,4,2"], "bits 1 for the low band"),
        (["compress-tokens", "pages", "--low", "0.9"], "0 <= low <= mid <= 1"),
        (["compress-tokens", "pages", "--model", "tyni"], "unknown model 'tyni'"),
        (["compress-tokens", "pages/notes.txt"], "not an image"),
        (["visualize", "spectrum", "pages"], "pages is a folder: give one image"),
        (["visualize", "spectrum", "pages/notes.txt"], "not an image"),
        (["visualize", "residual", "pages/a.png", "--out", "x.jpg"], "let the name end in .png"),
        (["visualize", "compare", "pages/a.png", "--out", "pages/a.png"], "would overwrite the image"),
    ],
)
def test_bad_input_is_one_line_and_writes_nothing(arguments, message, folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    result = freqq(*arguments)
    assert result.exit_code == 2
    assert message in result.output
    assert len(result.output.strip().splitlines()) == 1
    assert {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == before
    assert not (tmp_path / "compressed").exists()
