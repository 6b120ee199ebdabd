"""The commands that take image files: compress-image, compress-tokens and visualize."""

import json
import os
import re
import sys
from importlib import import_module
from pathlib import Path
from subprocess import run

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from freqq.cli.app import app
from freqq.cli.options import codec_names
from freqq.cli.outputs import OutputFolder
from freqq.cli.printing import mean
from freqq.glm.load import load_reader
from freqq.image import CODECS as CLASSES
from freqq.image.dct import BlockDct
from freqq.image.files import png
from freqq.image.measures import psnr
from freqq.image.streams import decode, describe
from freqq.levels import LEVELS
from freqq.pages.page import Page
from freqq.pages.render import render
from freqq.pages.style import Style
from freqq.tokens import container
from freqq.tokens.measures import recode
from freqq.tokens.store import TokenStore
from tests.glm.conftest import save_model
from tests.terminal import Terminal, plain_environment

CODECS = codec_names()


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


def contents(path):
    """The files below a folder."""
    return {p: p.read_bytes() for p in path.rglob("*") if p.is_file()}


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


def test_a_file_of_several_frames_says_that_only_the_first_is_taken(tmp_path):
    frames = [Image.fromarray(np.full((28, 28), value, np.uint8)) for value in (0, 128, 255)]
    frames[0].save(tmp_path / "moving.gif", save_all=True, append_images=frames[1:])
    frames[0].save(tmp_path / "still.gif")
    images = (tmp_path / "moving.gif", tmp_path / "still.gif")
    result = freqq("compress-image", *images, "--codec", "png", "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert result.stderr.split() == f"note: {images[0]} has 3 frames: only the first is taken".split()
    assert page(tmp_path / "out" / "moving.png").pixels.max() == 0


def test_a_bilevel_file_is_what_its_stream_is_compared_with(folder, tmp_path):
    """Stored in one bit a pixel, a page takes less than the PNG of its 8-bit pixels."""
    bilevel = tmp_path / "bilevel.png"
    Image.open(folder / "a.png").convert("1").save(bilevel, optimize=True)
    result = freqq("compress-image", bilevel, "--codec", "png", "--out", tmp_path / "out")
    [row] = pq.read_table(tmp_path / "out" / "pages.parquet").to_pylist()
    assert row["input_bytes"] == bilevel.stat().st_size < row["page_png_bytes"]
    assert f" {row['stream_bytes'] / row['input_bytes']:.2f} " in result.stdout


@pytest.mark.parametrize(
    ("paths", "names"),
    [
        (["s0-10/page-0001.png", "s0-2/page-0001.png"], ["s0-10_page-0001", "s0-2_page-0001"]),
        (["x/a.png", "x/b.png", "y/b.png"], ["a", "x_b", "y_b"]),
        (["x/a.png", "x/a.jpg", "x/a.gif"], ["a", "a-2", "a-3"]),
        (["x/p/a.png", "y/p/a.png", "y/q/a.png"], ["p_a", "p_a-2", "q_a"]),
        (["x/a.png", "x/p_b.png", "p/b.png", "q/b.png"], ["a", "p_b", "p_b-2", "q_b"]),
    ],
)
def test_outputs_tell_the_folder_of_pages_with_equal_names(paths, names, tmp_path):
    assert OutputFolder(tmp_path / "out").check([tmp_path / path for path in paths], (".png",)) == names


def test_no_arm_overwrites_an_input(folder, tmp_path):
    inputs = tmp_path / "out" / "jpeg-mild"
    folder.rename(tmp_path / "pages2")
    inputs.parent.mkdir()
    (tmp_path / "pages2").rename(inputs)
    before = contents(tmp_path)
    result = freqq("compress-image", inputs, "--codec", "png,jpeg", "--out", tmp_path / "out")
    assert result.exit_code == 2
    assert "jpeg-mild/a.png would overwrite an input: choose another --out" in " ".join(result.output.split())
    assert contents(tmp_path) == before


def test_a_result_is_not_replaced_by_that_of_another_method_or_image(folder, tmp_path):
    command = ("compress-image", "--workers", 1, "--out", tmp_path / "out", "--codec")
    other = tmp_path / "other"
    other.mkdir()
    (other / "a.png").write_bytes((folder / "b.png").read_bytes())
    assert freqq(*command, "jpeg", folder / "a.png").exit_code == 0
    before = contents(tmp_path)
    for arguments in (
        ("webp", folder / "a.png"),
        ("jpeg", folder / "a.png", "--level", "extreme"),
        ("jpeg", folder / "a.png", "--set", "quality=9"),
        ("jpeg", other / "a.png"),
    ):
        result = freqq(*command, *arguments)
        assert result.exit_code == 2
        assert "a.png by jpeg, mild" in " ".join(result.output.split())
        assert "choose another --out" in " ".join(result.output.split())
        assert contents(tmp_path) == before
    assert "1 of 2 were there from an earlier run" in " ".join(freqq(*command, "jpeg", folder).output.split())


@pytest.mark.parametrize(
    ("foreign", "codecs"),
    [("b.png", "jpeg"), ("b.fqi", "jpeg"), ("jpeg-mild/b.png", "jpeg,png"), ("pages.parquet", "jpeg")],
)
def test_no_file_is_replaced_that_the_command_did_not_write(foreign, codecs, folder, tmp_path, monkeypatch):
    """Such as the user's own images, with --out ."""
    own = tmp_path / "own"
    (own / foreign).parent.mkdir(parents=True)
    if foreign.endswith("parquet"):
        pq.write_table(pa.table({"file": ["b.png"], "mine": [1]}), own / foreign)
    else:
        (own / foreign).write_bytes((folder / "a.png").read_bytes())
    before = contents(tmp_path)
    monkeypatch.chdir(own)
    result = freqq("compress-image", folder, "--codec", codecs, "--workers", 1, "--out", ".")
    assert result.exit_code == 2
    assert re.search(f"{foreign} is no .*: choose another --out", " ".join(result.output.split()))
    assert contents(tmp_path) == before


@pytest.mark.parametrize("codecs", ["jpeg", "jpeg,baseline"])
def test_what_a_killed_run_wrote_before_its_table_is_its_own(codecs, folder, tmp_path):
    command = ("compress-image", folder, "--codec", codecs.split(",")[0], "--workers", 1, "--out", tmp_path / "out")
    levels = ("--level", "mild,baseline") if "," in codecs else ()
    assert freqq(*command, *levels).exit_code == 0
    (tmp_path / "out" / "pages.parquet").unlink()
    before = contents(tmp_path)
    result = freqq(*command, *levels)
    assert result.exit_code == 0, result.output
    after = contents(tmp_path)
    assert {path: after[path] for path in before} == before


def test_no_file_is_replaced_that_is_no_stream_of_tokens(folder, tmp_path, random_model):
    out = tmp_path / "out"
    out.mkdir()
    (out / "b.fqt").write_text("mine")
    before = contents(tmp_path)
    result = freqq("compress-tokens", folder, "--model", random_model, "--out", out)
    assert result.exit_code == 2
    assert "b.fqt is no stream of tokens" in " ".join(result.output.split())
    assert contents(tmp_path) == before


@pytest.mark.parametrize(("command", "table"), [("compress-image", "pages"), ("compress-tokens", "tokens")])
def test_a_relative_path_is_that_of_one_folder(command, table, folder, tmp_path, random_model, monkeypatch):
    """pages/a.png of another folder is another image, and not the same one after it was changed."""
    how = ("--out", tmp_path / "out", *(("--model", random_model) if table == "tokens" else ("--codec", "jpeg")))
    other = tmp_path / "other" / "pages"
    other.mkdir(parents=True)
    (other / "a.png").write_bytes((folder / "b.png").read_bytes())
    monkeypatch.chdir(tmp_path)
    assert freqq(command, "pages/a.png", *how).exit_code == 0
    [row] = pq.read_table(tmp_path / "out" / f"{table}.parquet").to_pylist()
    assert row["source"] == str(folder / "a.png")
    before = contents(tmp_path)
    monkeypatch.chdir(tmp_path / "other")
    result = freqq(command, "pages/a.png", *how)
    assert result.exit_code == 2
    assert "choose another --out" in " ".join(result.output.split())
    assert contents(tmp_path) == before
    (folder / "a.png").write_bytes((folder / "b.png").read_bytes())
    monkeypatch.chdir(folder)
    assert freqq(command, "a.png", *how).exit_code == 0  # by another spelling, the same one after it was changed


@pytest.mark.skipif(sys.platform != "linux", reason="names are bytes on Linux alone")
@pytest.mark.parametrize(("command", "table"), [("compress-image", "pages"), ("compress-tokens", "tokens")])
def test_names_that_are_not_utf_8_are_written_with_escapes(command, table, folder, tmp_path, random_model):
    odd = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9"))
    odd.mkdir()
    (folder / "a.png").rename(odd / os.fsdecode(b"p\xe9.png"))
    how = ("--out", odd / "out", *(("--model", random_model) if table == "tokens" else ("--codec", "png")))
    for _ in range(2):
        line = [sys.executable, "-m", "freqq", command, odd, *how]
        result = run(line, cwd=Path(__file__).parents[2], capture_output=True, check=False)
        assert result.returncode == 0, result.stderr.decode()
        assert os.fsencode(odd / "out") in result.stdout
    [row] = pq.read_table(pa.py_buffer((odd / "out" / f"{table}.parquet").read_bytes())).to_pylist()
    assert (row["name"], row["source"]) == ("p\\xe9", f"{tmp_path}/caf\\xe9/p\\xe9.png")
    assert (odd / "out" / row["file"]).is_file()


def test_an_index_of_tokens_grows_with_its_streams(folder, tmp_path, random_model, monkeypatch):
    """A process that is killed leaves what it did: every page is in the index before the next one is begun."""
    monkeypatch.setattr("freqq.cli.compress_tokens.SAVE_S", -1.0)
    out, indexed = tmp_path / "out", []

    def counts(*arguments):
        store = TokenStore(out) if (out / "tokens.parquet").exists() else ()
        indexed.append(len(store))
        return recode(*arguments)

    monkeypatch.setattr("freqq.tokens.measures.recode", counts)
    assert freqq("compress-tokens", folder, "--model", random_model, "--out", out).exit_code == 0
    assert indexed == [0, 1]


@pytest.mark.parametrize(
    ("command", "table", "step"),
    [
        ("compress-image", "pages", "freqq.image.batch.recode_source"),
        ("compress-tokens", "tokens", "freqq.tokens.measures.recode"),
    ],
)
def test_what_another_run_adds_meanwhile_is_kept(command, table, step, folder, tmp_path, random_model, monkeypatch):
    how = ("--out", tmp_path / "out", *(("--model", random_model) if table == "tokens" else ("--codec", "jpeg")))
    module, name = step.rsplit(".", 1)
    real, others = getattr(import_module(module), name), [folder / "b.png"]

    def with_another(*arguments):
        while others:
            assert freqq(command, others.pop(), *how).exit_code == 0
        return real(*arguments)

    monkeypatch.setattr(step, with_another)
    assert freqq(command, folder / "a.png", *how).exit_code == 0
    rows = pq.read_table(tmp_path / "out" / f"{table}.parquet").to_pylist()
    assert sorted(row["name"] for row in rows) == ["a", "b"]


def test_an_error_of_a_method_names_the_page(folder, tmp_path, random_model):
    how = ("--method", "vq", "--model", random_model, "--out", tmp_path / "out")
    result = freqq("compress-tokens", folder / "b.png", *how)
    assert result.exit_code == 2
    assert f"{folder / 'b.png'}: " in " ".join(result.output.split())


def test_a_new_codebook_is_used_for_pages_that_were_done(tmp_path, monkeypatch):
    assert freqq("render", "mini", "--limit", 1, "--out", tmp_path / "rendered").exit_code == 0
    image, out = tmp_path / "a.png", tmp_path / "out"
    (tmp_path / "rendered" / "page-0001.png").rename(image)
    command = ("compress-image", image, "--codec", "vq", "--out", out)
    with monkeypatch.context() as without:
        without.setattr("freqq.image.codebooks.SHIPPED", tmp_path / "none")
        assert freqq(*command).exit_code == 0
        assert describe((out / "a.fqi").read_bytes())["coding"] == "file"
    assert freqq(*command).exit_code == 0
    assert describe((out / "a.fqi").read_bytes())["coding"] == "patterns"
    assert "1 of 1 were there from" in " ".join(freqq(*command).output.split())
    # A table of a version that did not store which codebooks there were.
    table = pq.read_table(out / "pages.parquet")
    pq.write_table(table.drop_columns(["resources"]), out / "pages.parquet")
    assert "were there from" not in " ".join(freqq(*command).output.split())
    assert "1 of 1 were there from" in " ".join(freqq(*command).output.split())


def test_pages_with_equal_names_are_named_after_their_folders(folder, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    (other / "a.png").write_bytes((folder / "b.png").read_bytes())
    assert freqq("compress-image", folder / "a.png", other / "a.png", "--out", tmp_path / "out").exit_code == 0
    assert {path.name for path in (tmp_path / "out").glob("*.png")} == {"pages_a.png", "other_a.png"}
    assert page(tmp_path / "out" / "other_a.png").pixels.shape == page(folder / "b.png").pixels.shape


def test_several_pages_have_a_row_of_means(folder, tmp_path, random_model):
    shown = freqq("compress-image", folder, "--codec", "jpeg", "--out", tmp_path / "images").stdout
    [means] = [line.split() for line in shown.splitlines() if "mean of 2" in line]
    rows = pq.read_table(tmp_path / "images" / "pages.parquet").to_pylist()
    sizes = ("input_bytes", "page_png_bytes", "stream_bytes")
    file_bytes, png_bytes, stream_bytes = (sum(row[name] for row in rows) for name in sizes)
    assert means[3:6] == [f"{size / 2:,.0f}" for size in (file_bytes, png_bytes, stream_bytes)]
    assert means[7:9] == [f"{stream_bytes / file_bytes:.2f}", f"{(rows[0]['psnr'] + rows[1]['psnr']) / 2:.1f}"]
    shown = freqq("compress-tokens", folder, "--model", random_model, "--out", tmp_path / "tokens").stdout
    [means] = [line.split() for line in shown.splitlines() if "mean of 2" in line]
    rows = pq.read_table(tmp_path / "tokens" / "tokens.parquet").to_pylist()
    raw, stream_bytes = (sum(row[name] for row in rows) for name in ("raw_bf16_bytes", "stream_bytes"))
    assert means[4:7] == [f"{raw / 2:,.0f}", f"{stream_bytes / 2:,.0f}", f"{raw / stream_bytes:.2f}x"]
    shown = freqq("compress-image", folder / "a.png", "--codec", "jpeg", "--out", tmp_path / "images").stdout
    assert "mean" not in shown


def test_a_mean_tells_what_it_leaves_out():
    inf = float("inf")
    assert mean([1.0, 2.0, None], ".1f") == "1.5"
    assert mean([None], ".1f") == "-"
    assert mean([inf, inf], ".1f") == "inf"
    assert mean([inf, 16.0, 18.0], ".1f") == "17.0 (2 of 3)"


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


def test_tokens_and_pages_have_folders_of_their_own(folder, tmp_path, random_model, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert freqq("compress-image", folder / "a.png", "--codec", "png").exit_code == 0
    assert freqq("compress-tokens", folder / "a.png", "--model", random_model).exit_code == 0
    found = {path.name: sorted(p.name for p in path.iterdir()) for path in tmp_path.glob("compressed*")}
    assert found == {
        "compressed": ["a.fqi", "a.png", "pages.parquet"],
        "compressed-tokens": ["a.fqt", "tokens.parquet"],
    }


def test_a_store_keeps_the_pages_that_it_has(folder, tmp_path, random_model, monkeypatch):
    store, other = tmp_path / "store", tmp_path / "other"
    other.mkdir()
    (other / "a.png").write_bytes((folder / "b.png").read_bytes())
    Image.new("L", (28 * 250, 28)).save(other / "narrow.png")
    another_model = save_model("glm4v", tmp_path / "model", seed=1)
    how = ("--method", "prune", "--model", random_model, "--out", store)
    assert freqq("compress-tokens", folder, *how).exit_code == 0
    assert freqq("compress-tokens", folder / "a.png", *how).exit_code == 0  # fewer pages
    before = contents(tmp_path)
    for arguments, message in (
        ((folder, *how, "--level", "extreme"), "has tokens by token-prune, mild"),
        ((folder, *how, "--keep", "0.4"), "has tokens by token-prune, mild"),
        ((folder, "--method", "pool", *how[2:]), "has tokens by token-prune, mild"),
        ((folder, *how[:2], "--model", another_model, *how[4:]), "has tokens of"),
        ((other / "a.png", *how), "has the tokens of"),
    ):
        result = freqq("compress-tokens", *arguments)
        assert result.exit_code == 2
        assert message in " ".join(result.output.split())
        assert "choose another --out" in " ".join(result.output.split())
        assert contents(tmp_path) == before
    result = freqq("compress-tokens", other / "narrow.png", *how)
    assert result.exit_code == 2
    assert "narrow.png: a page of 7000 x 28 px" in " ".join(result.output.split())
    Image.fromarray(255 - page(folder / "a.png").pixels).save(other / "c.png")
    (other / "narrow.png").unlink()
    (other / "a.png").rename(other / "d.png")
    coded = []

    def stops(*arguments):
        if coded:
            raise KeyboardInterrupt
        coded.append(recode(*arguments))
        return coded[0]

    monkeypatch.setattr("freqq.tokens.measures.recode", stops)
    assert freqq("compress-tokens", other, *how).exit_code != 0
    assert [row["name"] for row in pq.read_table(store / "tokens.parquet").to_pylist()] == ["a", "b", "c"]
    assert len(TokenStore(store)) == 3


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


@pytest.fixture
def rendered(tmp_path):
    """Two pages that freqq rendered, with their texts beside them."""
    (tmp_path / "chat.txt").write_text("Write a poem about tapirs, and a song about glass. " * 40)
    (tmp_path / "config.json").write_text('{"page-size": "300,150"}')
    arguments = (tmp_path / "chat.txt", "--config", tmp_path / "config.json", "--out", tmp_path / "rendered")
    assert freqq("render", *arguments).exit_code == 0
    return tmp_path / "rendered"


def test_the_text_of_built_in_pages_is_all_that_they_need(tmp_path):
    assert freqq("render", "mini", "--limit", 3, "--out", tmp_path / "pages").exit_code == 0
    folders = sorted((tmp_path / "pages").iterdir())
    styles = [row["style"] for f in folders for row in pq.read_table(f / "pages.parquet").to_pylist()]
    assert any("paragraph_gap" in style for style in styles)  # blank space between messages
    arguments = ("--codec", "text", "--workers", 1, "--out", tmp_path / "out")
    assert freqq("compress-image", *folders, *arguments).exit_code == 0
    rows = pq.read_table(tmp_path / "out" / "pages.parquet").to_pylist()
    assert {row["psnr"] for row in rows} == {float("inf")}
    for row in rows:
        decoded = page(tmp_path / "out" / f"{row['name']}.png")
        np.testing.assert_array_equal(decoded.pixels, np.asarray(Image.open(row["source"])))


def test_the_codecs_of_the_command_are_the_methods():
    assert {f"image-{name}" for name in CODECS} | {"image"} == set(CLASSES)


def test_all_codecs_at_all_levels(rendered, tmp_path):
    out = tmp_path / "out"
    result = freqq("compress-image", rendered, "--codec", "all", "--level", "all", "--workers", 1, "--out", out)
    assert result.exit_code == 0, result.output
    rows = pq.read_table(out / "pages.parquet").to_pylist()
    assert {row["codec"] for row in rows} == {*CODECS, "baseline"}
    pages = {path.stem: page(path) for path in rendered.glob("*.png")}
    assert len(rows) == len(pages) * len({(row["codec"], row["level"]) for row in rows})
    for row in rows:
        before = pages[row["name"]]
        stream = (out / row["file"]).read_bytes()
        after = page((out / row["file"]).with_suffix(".png"))
        np.testing.assert_array_equal(decode(stream).pixels, after.pixels)
        assert (row["decoded_height"], row["decoded_width"]) == after.pixels.shape
        assert row["bits_per_pixel"] == pytest.approx(8 * len(stream) / before.pixels.size)
        assert row["cer"] is row["word_recall"] is None
        if row["codec"] in ("png", "text", "baseline"):
            assert row["psnr"] == float("inf")
    tokens = [row["vision_tokens"] for row in rows if row["codec"] == "resize" and row["level"] == "extreme"]
    assert max(tokens) < rows[0]["vision_tokens_full"] == rows[0]["vision_tokens"]
    assert "text, ultra_mild" in result.output


def test_what_is_left_out_is_said_in_one_line(folder, tmp_path, monkeypatch):
    monkeypatch.setattr("freqq.image.jxl_file.is_installed", lambda: False)
    arguments = ("--codec", "all", "--level", "all", "--workers", 1, "--out", tmp_path / "out", "--json")
    result = freqq("compress-image", folder / "b.png", *arguments)
    assert result.exit_code == 0, result.output
    [said] = result.stderr.splitlines()
    assert said.startswith("note: left out: jxl (not installed: pip install 'freqq[jxl]'); ")
    assert f"text (what {folder / 'b.png'} shows is not known)" in said
    ran = {(row["codec"], row["level"]) for row in json.loads(result.stdout)}
    alike = {name: levels.split(", ") for name, levels in re.findall(r"; (\w+) ([\w, ]+) \(the same as", said)}
    for name in sorted({*CODECS} - {"jxl", "text"}):
        for level in LEVELS[1:]:
            assert ((name, level) in ran) != (level in alike.get(name, []))
    assert alike["webp"] == ["mild", "aggressive"]
    assert freqq("compress-image", folder / "b.png", "--codec", "png,jpeg", "--out", tmp_path / "two").stderr == ""


def test_what_is_done_is_not_done_again(rendered, tmp_path, monkeypatch):
    out = tmp_path / "out"
    command = ("compress-image", rendered, "--codec", "jpeg,png", "--workers", 1, "--out", out)
    assert freqq(*command).exit_code == 0
    first = {p: (p.stat().st_mtime_ns, p.read_bytes()) for p in out.rglob("*.fqi")}
    table = pq.read_table(out / "pages.parquet").to_pylist()
    monkeypatch.setattr("freqq.image.batch.recode_source", None)
    result = freqq(*command)
    assert result.exit_code == 0, result.output
    assert f"{len(table)} of {len(table)} were there from an earlier run" in result.output
    monkeypatch.undo()
    # A lost file, another page and another parameter are.
    lost, other = sorted(out.glob("jpeg-mild/*.fqi"))[:2]
    lost.unlink()
    source = rendered / f"{other.stem}.png"
    Image.fromarray(255 - page(source).pixels).save(source)
    assert freqq(*command, "--level", "mild").exit_code == 0
    for path, (when, content) in first.items():
        assert (path.stat().st_mtime_ns != when) == (path == lost or path.stem == other.stem)
        assert (path.read_bytes() == content) == (path.stem != other.stem)
    assert freqq("compress-image", rendered, "--codec", "webp", "--level", "extreme", "--out", out).exit_code == 0
    rows = pq.read_table(out / "pages.parquet").to_pylist()
    assert len(rows) == len(table) + len(table) // 2
    assert len({row["file"] for row in rows}) == len(rows)


def test_several_workers_write_what_one_does(rendered, tmp_path):
    for workers in (1, 2):
        arguments = ("--codec", "dct,jpeg,resize,text", "--workers", workers, "--out", tmp_path / str(workers))
        assert freqq("compress-image", rendered, *arguments).exit_code == 0
    one, two = ({p.relative_to(d): p.read_bytes() for p in d.rglob("*.*i")} for d in (tmp_path / "1", tmp_path / "2"))
    assert one == two
    assert len(one) == 4 * len(list(rendered.glob("*.png")))


def test_any_parameter_can_be_set(rendered, tmp_path):
    arguments = ("--codec", "resize,gray4", "--set", "scale=0.5", "--set", "depth=3", "--out", tmp_path / "out")
    assert freqq("compress-image", rendered, *arguments).exit_code == 0
    rows = pq.read_table(tmp_path / "out" / "pages.parquet").to_pylist()
    assert {row["params"] for row in rows} == {'{"scale": 0.5}', '{"depth": 3}'}


@pytest.mark.needs("ocr")
def test_pages_are_read_back(rendered, tmp_path):
    one = next(iter(sorted(rendered.glob("*.png"))))
    arguments = ("--codec", "png,resize", "--set", "scale=0.4", "--ocr", "--out", tmp_path / "out")
    assert freqq("compress-image", one, *arguments).exit_code == 0
    plain, small = pq.read_table(tmp_path / "out" / "pages.parquet").to_pylist()
    assert plain["cer"] < 0.05 < small["cer"]
    assert plain["word_recall"] > 0.9 > small["word_recall"]
    figure = tmp_path / "figure.png"
    assert freqq("visualize", "pareto", tmp_path / "out" / "pages.parquet", "--out", figure).exit_code == 0
    assert Image.open(figure).format == "PNG"


def test_the_text_of_an_image_can_be_given(folder, tmp_path):
    (tmp_path / "a.txt").write_text("write a poem about tapirs")
    arguments = (folder / "a.png", "--codec", "text", "--text", tmp_path / "a.txt", "--out", tmp_path / "out")
    assert freqq("compress-image", *arguments).exit_code == 0
    assert page(tmp_path / "out" / "a.png").pixels.shape == page(folder / "a.png").pixels.shape


@pytest.mark.parametrize("codec", CODECS)
def test_decompress_needs_the_stream_alone(codec, rendered, tmp_path):
    out = tmp_path / "out"
    assert freqq("compress-image", rendered / "page-0001.png", "--codec", codec, "--out", out).exit_code == 0
    result = freqq("decompress", out / "page-0001.fqi", "-o", tmp_path / "back.png")
    assert result.exit_code == 0, result.output
    np.testing.assert_array_equal(page(tmp_path / "back.png").pixels, page(out / "page-0001.png").pixels)
    found = json.loads(freqq("info", out / "page-0001.fqi", "--json").stdout)
    assert found["stream_bytes"] == (out / "page-0001.fqi").stat().st_size
    assert (found["height"], found["width"]) == page(rendered / "page-0001.png").pixels.shape
    assert f"{found['stream_bytes']:,}" in freqq("info", out / "page-0001.fqi").output


def test_decompress_replaces_nothing_that_it_was_not_told_to(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert freqq("compress-image", folder / "a.png", "--codec", "png", "--out", "out").exit_code == 0
    (tmp_path / "stream.png").write_bytes((tmp_path / "out" / "a.fqi").read_bytes())
    before = contents(tmp_path)
    for arguments, message in (
        (["out/a.fqi"], "out/a.png exists: choose a file with --out"),
        (["stream.png"], "stream.png is the stream itself: choose another --out"),
        (["stream.png", "-o", "out/../stream.png"], "is the stream itself"),
    ):
        result = freqq("decompress", *arguments)
        assert result.exit_code == 2
        assert message in result.output
        assert contents(tmp_path) == before
    assert freqq("decompress", "stream.png", "-o", "out/a.png").exit_code == 0
    (tmp_path / "out" / "a.png").unlink()
    assert freqq("decompress", "out/a.fqi").exit_code == 0
    np.testing.assert_array_equal(page("out/a.png").pixels, page(folder / "a.png").pixels)


@pytest.mark.parametrize("command", ["decompress", "info"])
@pytest.mark.parametrize("path", [".", "/", ".."])
def test_a_folder_is_no_stream(command, path):
    result = freqq(command, path)
    assert result.exit_code == 2
    assert len(result.output.splitlines()) == 1


def test_info_shows_a_name_as_it_is(folder, tmp_path):
    out = tmp_path / "[red]x[/red]"
    assert freqq("compress-image", folder / "a.png", "--codec", "png", "--out", out).exit_code == 0
    assert str(out / "a.fqi") in "".join(freqq("info", out / "a.fqi").stdout.split())


@pytest.mark.parametrize("command", ["decompress", "info"])
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot read bad.fqi"),
        (b"", "bad.fqi: not a FQI stream"),
        (b"FQI \x01", "bad.fqi: not a FQI stream"),
        (b"FQI \x09" + bytes(30), "version 9"),
        (b"FQI \x01" + bytes(range(30)), "checksum"),
    ],
)
def test_broken_streams_are_one_line(command, content, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    if content is not None:
        (tmp_path / "bad.fqi").write_bytes(content)
    before = set(tmp_path.iterdir())
    result = freqq(command, "bad.fqi")
    assert result.exit_code == 2
    assert message in result.output
    assert len(result.output.strip().splitlines()) == 1
    assert result.output.count("bad.fqi") == 1
    assert set(tmp_path.iterdir()) == before


def test_info_keeps_its_labels_and_folds_long_values_at_80_columns(tmp_path):
    assert freqq("render", "mini", "--limit", 1, "--out", tmp_path / "rendered").exit_code == 0
    rendered = tmp_path / "rendered"
    assert freqq("compress-image", rendered, "--codec", "text", "--out", tmp_path / "out").exit_code == 0
    stream = tmp_path / "out" / "page-0001.fqi"
    found = describe(stream.read_bytes())
    assert len(found["style"]) > 160  # more than a line
    command = [sys.executable, "-m", "freqq", "info", "out/page-0001.fqi"]
    environment = plain_environment(TERM="xterm", NO_COLOR="1", PYTHONPATH=str(Path(__file__).parents[2]))
    code, seen = Terminal(command, environment, columns=80, cwd=str(tmp_path)).finish()
    assert code == 0
    shown = re.sub(r"\x1b\[[0-9;]*m", "", seen.decode())
    lines = [line.rstrip() for line in shown.splitlines()]
    assert max(map(len, lines)) <= 80
    for name in found:
        assert any(line.startswith(f" {name.replace('_', ' ')} ") for line in lines)
    assert found["style"].replace(" ", "") in "".join(shown.split())


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
        (["compress-image", "pages", "--codec", "jpg"], "did you mean 'jpeg'?"),
        (["compress-image", "pages", "--codec", "jpeg", "--set", "qualty=3"], "did you mean 'quality'?"),
        (["compress-image", "pages", "--codec", "jpeg", "--set", "quality=x"], "is not a whole number"),
        (["compress-image", "pages", "--codec", "jpeg,text"], "a.png: its text is not known"),
        (["compress-image", "pages", "--text", "pages/notes.txt"], "is the text of one image, and there are 2"),
        (["compress-image", "pages/a.png", "--text", "nowhere.txt"], "cannot read nowhere.txt"),
        (["visualize", "pareto", "nowhere.parquet"], "there is no file nowhere.parquet"),
        (["visualize", "pareto", "pages/notes.txt"], "not a readable Parquet table"),
        (["compress-image", "pages", "--codec", "vq", "--codec", "png,vq"], "--codec vq is given twice"),
        (["compress-tokens", "pages", "--level", "mild,extreme"], "this command takes one level"),
        (["compress-tokens", "pages", "--method", "prune", "--method", "pool"], "this command takes one method"),
        (["visualize", "spectrum", "pages/a.png", "--level", "mild", "--level", "extreme"], "takes one level"),
        (["visualize", "compare", "pages/a.png", "--keep", "0.5,much"], "'much' is not a number"),
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
    assert not list(tmp_path.glob("compressed*"))
