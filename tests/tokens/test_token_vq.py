"""Vector quantization of tokens: its codebook, its stream, and what it refuses."""

import zlib
from contextlib import suppress
from itertools import islice

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load, save
from typer.testing import CliRunner

from freqq.cli.app import app
from freqq.coding.codebook_files import ELSEWHERE, MOST_FILE_BYTES, MissingCodebook
from freqq.coding.stream import FRAME, CorruptStream
from freqq.data.mini import HELD_OUT_PAIRS, is_held_out, mini
from freqq.data.mini_glyph import mini_glyph
from freqq.errors import UserError
from freqq.glm.families import EMBEDDED
from freqq.glm.load import load_reader
from freqq.glm.train.architecture import build_config, build_model
from freqq.glm.train.corpus import training_pages, training_sheets
from freqq.glm.train.small import chats
from freqq.levels import LEVELS
from freqq.runs.rendering import Rendering
from freqq.tokens import codebooks, container
from freqq.tokens.measures import fidelity
from freqq.tokens.prune import Prune
from freqq.tokens.quantize import Quantize
from freqq.tokens.vq import VectorGrid, VectorQuantization, quantize_vectors, restore_vectors
from freqq.tokens.vq_codebook import RATES, TokenCodebook, read_token_codebook
from freqq.tokens.vq_training import principal_axes, train
from tests.conftest import FULL, needs_tiny
from tests.tokens.conftest import CHANNELS, training_grids

sides = st.integers(1, 20)


def grid_of(h, w, seed=1, channels=CHANNELS, dtype=torch.float32):
    return torch.randn(h, w, channels, generator=torch.Generator().manual_seed(seed)).to(dtype)


GRID = grid_of(6, 5)


@pytest.fixture(scope="module")
def stream():
    return VectorQuantization.at("mild").encode(GRID)


@settings(max_examples=40)
@given(sides, sides, st.sampled_from(LEVELS[1:]), st.integers(0, 1000),
       st.sampled_from([torch.float32, torch.bfloat16, torch.float16]))  # fmt: skip
def test_the_stream_alone_gives_the_same_features_bit_for_bit(h, w, level, seed, dtype):
    compressed = VectorQuantization.at(level).compress(grid_of(h, w, seed, dtype=dtype))
    decoded = container.decode(compressed.payload)
    assert torch.equal(decoded.features, compressed.features)
    assert (decoded.features.dtype, decoded.shape) == (dtype, (h, w))


@needs_tiny
def test_a_codebook_moves_to_a_device_once():
    book = next(iter(codebooks.token_codebooks()))
    device = torch.device("meta")  # stands for any that is not a CPU; what is there has no values
    there = book.on(device)
    assert there is book.on(device)
    assert book.on(torch.device("cpu")) is book
    assert (there.id, there.channels) == (book.id, book.channels)
    rate = there.rates[0]
    moved = [*there.tensors, rate.dc_steps, *(t for band in rate.bands for g in band for t in (g.words, g.biases))]
    assert {tensor.device for tensor in moved} == {device}
    assert {tensor.device.type for tensor in (*book.tensors, book.rates[0].dc_steps)} == {"cpu"}


def test_each_level_loses_more_and_stores_less():
    grid = grid_of(30, 21)
    compressed = [VectorQuantization.at(level).compress(grid) for level in LEVELS[1:]]
    errors = [fidelity(grid, c.arranged).whitened_error for c in compressed]
    sizes = [len(c.payload) for c in compressed]
    assert errors == sorted(errors)
    assert sizes == sorted(sizes, reverse=True)


def test_the_mean_is_within_half_a_step_on_every_axis_that_is_coded(book):
    grid = grid_of(9, 7) * 3
    for number in range(1, RATES + 1):
        coded = quantize_vectors(grid, book, number)
        _, deviations, rotation = book.tensors
        off = (restore_vectors(coded) - grid).mean((0, 1)) / deviations @ rotation.T * (9 * 7) ** 0.5
        steps = book.rates[number - 1].dc_steps
        # The rotation is stored in half precision, so its axes are orthogonal to three digits.
        assert bool((off[: len(steps)].abs() <= 0.5 * steps + 0.02).all())


def test_a_flat_page_stays_flat():
    features = VectorQuantization.at("extreme").compress(grid_of(1, 1).expand(7, 5, -1)).features
    torch.testing.assert_close(features, features[:1].expand(35, -1), atol=1e-5, rtol=1e-5)


def test_a_page_of_codewords_comes_back_as_it_is(book):
    """What a grid was restored from is what it is coded as, where no neighbouring word is cheaper."""
    coded = quantize_vectors(grid_of(12, 9), book, RATES)
    again = quantize_vectors(restore_vectors(coded), book, RATES)
    same = sum(int((a == b).sum()) for a, b in zip(coded.symbols, again.symbols, strict=True))
    assert same > 0.95 * sum(part.numel() for part in coded.symbols)
    assert torch.equal(coded.dc, again.dc)


@pytest.mark.parametrize("scale", [40.0, 1000.0])
def test_a_mean_far_off_costs_bytes_and_no_accuracy(book, scale):
    grid = grid_of(4, 4)
    grid = grid + scale * torch.ones(CHANNELS)
    coded = quantize_vectors(grid, book, RATES)
    assert int(coded.dc.abs().max()) > 127
    page = container.decode(container.write_coded(coded, container.CompressedGrid(grid.flatten(0, 1), (4, 4))))
    assert (page.features.mean(0) - grid.mean((0, 1))).abs().max() < 0.01 * scale


def test_correlated_channels_cost_less_than_one_by_one():
    """The same energy in a tenth of the directions: the codebook knows them, a scale for each channel does not."""
    generator = torch.Generator().manual_seed(0)
    mixing = torch.randn(6, 60, generator=generator)
    grids = [torch.randn(9, 8, 6, generator=generator) @ mixing for _ in range(30)]
    book = train(grids[:-1])
    coded = quantize_vectors(grids[-1], book, 3)
    restored = restore_vectors(coded)
    size = len(container.write_coded(coded, container.CompressedGrid(restored.flatten(0, 1), (9, 8))))
    scalar = Quantize(bits=(4, 4, 4)).compress(grids[-1])
    assert fidelity(grids[-1], restored).whitened_cosine > fidelity(grids[-1], scalar.arranged).whitened_cosine
    assert 3 * size < len(scalar.payload)


def test_axes_are_orthonormal_and_sorted():
    tokens = torch.randn(500, 10, generator=torch.Generator().manual_seed(0)) * torch.arange(1, 11)
    axes, variances = principal_axes(tokens)
    torch.testing.assert_close(axes @ axes.T, torch.eye(10), atol=1e-5, rtol=0)
    assert variances.tolist() == sorted(variances.tolist(), reverse=True)
    torch.testing.assert_close((tokens @ axes.T).square().mean(0), variances, rtol=1e-4, atol=0)


def test_training_is_deterministic_and_depends_on_its_grids(book):
    assert train(training_grids()).file == book.file
    assert train(training_grids(1)).id != book.id


def test_too_few_tokens_are_refused():
    for grids in ([], [grid_of(3, 4)]):
        with pytest.raises(UserError, match="too few for a codebook"):
            train(grids)
    with pytest.raises(UserError, match="NaN or infinity"):
        train([*training_grids(), torch.full((2, 2, CHANNELS), float("nan"))])


def test_training_pages_share_nothing_with_evaluation():
    """No held-out pair is on a page, no answer belongs to evaluation, and each page is the sheet's."""
    sheets = list(islice(training_sheets(), 300))
    exchanges = [exchange for sheet, _ in sheets for exchange in sheet.chat]
    assert len(exchanges) > 1000
    assert not {e.pair for e in exchanges} & set(HELD_OUT_PAIRS)
    assert not any(is_held_out(e.answer) for e in exchanges)
    pages = list(islice(training_pages(), 30))
    assert [p.sha256 for p in islice(training_pages(), 30)] == [p.sha256 for p in pages]
    shown = [line for sheet, _ in sheets for lines in sheet.pages[:] for line in lines]
    assert {line.text for page in pages for line in page.lines} <= {line.text for line in shown}


def test_training_pages_of_small_share_nothing_with_evaluation_and_have_its_resolutions():
    made = list(islice(chats.training_texts(), 60))
    exchanges = [exchange for source in made for exchange in source.chat]
    assert len(exchanges) > 100
    assert not {e.pair for e in exchanges} & set(HELD_OUT_PAIRS)
    assert not any(is_held_out(e.answer) for e in exchanges)
    pages = list(islice(chats.training_pages(), 40))
    assert [p.sha256 for p in islice(chats.training_pages(), 40)] == [p.sha256 for p in pages]
    assert {page.style.dpi for page in pages} > {96.0, 120.0, 144.0}


# Streams


def signed(body):
    return FRAME.pack(container.MAGIC, container.VERSION, zlib.crc32(body)) + body


@given(data=st.data())
def test_damage_is_refused(stream, data):
    at = data.draw(st.integers(0, len(stream) - 1))
    damaged = bytearray(stream)
    damaged[at] ^= data.draw(st.integers(1, 255))
    for bad in (bytes(damaged), stream[:at]):
        with pytest.raises(CorruptStream):
            container.decode(bad)


@settings(max_examples=300)
@given(data=st.data())
def test_damage_under_a_good_checksum_is_refused_or_harmless(stream, data):
    body = bytearray(stream[FRAME.size :])
    at = data.draw(st.integers(0, len(body) - 1))
    body[at] ^= data.draw(st.integers(1, 255))
    with suppress(CorruptStream, MissingCodebook):
        assert container.decode(signed(bytes(body))).features.numel() <= 100 * GRID.numel()


def test_a_stream_whose_codebook_is_not_here_says_so(stream, tmp_path, monkeypatch):
    monkeypatch.setenv(ELSEWHERE, str(tmp_path))
    with pytest.raises(MissingCodebook, match=ELSEWHERE):
        container.decode(stream)


def test_tokens_that_no_codebook_fits_are_refused(book, monkeypatch):
    method = VectorQuantization.at("mild")
    with pytest.raises(UserError, match="codebook train --tokens --model MODEL"):
        method.compress(grid_of(4, 4, channels=CHANNELS + 1))
    with pytest.raises(UserError, match="no codebook fits these tokens of 12 channels"):
        method.compress(GRID + 1e4)
    with pytest.raises(UserError, match="no codebook fits"):
        method.compress(torch.full((2, 2, CHANNELS), 3e38))


def test_of_two_codebooks_the_one_of_the_model_is_taken(book, book_folder, tmp_path, monkeypatch):
    other = train([5 * grid + 7 for grid in training_grids()])
    (tmp_path / "a.safetensors").write_bytes(other.file)
    (tmp_path / "b.safetensors").write_bytes(book.file)
    monkeypatch.setenv(ELSEWHERE, str(tmp_path))
    assert codebooks.fitting_codebook(GRID).id == book.id
    assert codebooks.fitting_codebook(5 * GRID + 7).id == other.id
    assert codebooks.token_codebook(other.id).file == other.file


@pytest.mark.parametrize("rate", [0, 5, -1])
def test_rates_that_no_codebook_has_are_refused(rate):
    with pytest.raises(UserError, match=r"the rates 1 \(coarsest\) to 4"):
        VectorQuantization(rate=rate)


# Files


def test_a_codebook_that_is_named_is_taken_and_must_be_there_and_fit(book, book_folder):
    named = VectorQuantization.at("mild", codebook=book.id.hex())
    assert named.encode(GRID) == VectorQuantization.at("mild").encode(GRID)
    assert named.resources == (book.id.hex(),)
    with pytest.raises(UserError, match=f"codebook {book.id.hex()} is for {CHANNELS} channels: the tokens have 5"):
        named.compress(grid_of(4, 4, channels=5))
    with pytest.raises(MissingCodebook, match="the codebook 0123456789abcdef was not found"):
        VectorQuantization(codebook="0123456789abcdef")
    with pytest.raises(UserError, match="give the 16 hex digits"):
        VectorQuantization(codebook="tiny")


def test_a_file_is_read_back(book, book_folder):
    read = read_token_codebook(book_folder / "random.safetensors")
    assert (read.id, read.channels, read.edges) == (book.id, CHANNELS, book.edges)
    assert TokenCodebook(read.arrays).file == book.file
    for number in range(1, RATES + 1):
        ours, theirs = (quantize_vectors(GRID, b, number) for b in (book, read))
        assert isinstance(ours, VectorGrid)
        assert torch.equal(restore_vectors(ours), restore_vectors(theirs))


def _set(name, index, value):
    def change(arrays):
        arrays[name] = arrays[name].copy()
        arrays[name][index] = value
        return arrays

    return change


def test_a_file_that_is_too_large_is_refused_unread(tmp_path):
    path = tmp_path / "large.safetensors"
    with path.open("wb") as file:
        file.truncate(MOST_FILE_BYTES + 1)  # of which nothing takes a disk's place
    with pytest.raises(UserError, match="is too large for a codebook"):
        read_token_codebook(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a: {n: v for n, v in a.items() if n != "words"}, "no words of type float16"),
        (lambda a: a | {"sizes": a["sizes"].astype(np.int32)}, "no sizes of type uint16"),
        (_set("means", 3, np.nan), "means are not all numbers"),
        (lambda a: a | {"rotation": a["rotation"][:, :-1]}, "rotation"),
        (lambda a: a | {"rotation": a["rotation"].ravel()}, "rotation is out of bounds"),
        (lambda a: a | {"means": a["means"][:-1]}, "statistics do not fit"),
        (_set("deviations", 0, 0), "deviations are out of bounds"),
        (_set("variances", 0, 0), "deviations are out of bounds"),
        (_set("edges", 0, 0.9), "band edges"),
        (_set("distortions", 2, -1), "distortions"),
        (lambda a: a | {"dc_steps": a["dc_steps"][:3]}, "DC does not fit"),
        (_set("dc_steps", (1, 0), 0), "DC is out of bounds"),
        (_set("dc_tables", (1, 0), 16), "DC is out of bounds"),
        (_set("groups", (0, 0), 60_000), "groups do not fit"),
        (_set("widths", 0, 0), "groups are out of bounds"),
        (_set("sizes", 0, 257), "groups are out of bounds"),
        (_set("widths", 0, 200), "more axes"),
        (lambda a: a | {"words": a["words"][:-1]}, "words do not fit"),
        (_set("frequencies", 0, 0), "frequencies are out of bounds"),
        (_set("dc_frequencies", (0, 0), 9), "frequencies are out of bounds"),
    ],
)
def test_a_file_that_lies_is_refused(change, message, book, tmp_path):
    path = tmp_path / "book.safetensors"
    path.write_bytes(save({n: np.ascontiguousarray(v) for n, v in change(load(book.file)).items()}))
    with pytest.raises(UserError, match=message):
        read_token_codebook(path)


# What is shipped, and the command that made it


def run(*arguments):
    return CliRunner().invoke(app, ["codebook", *map(str, arguments)])


@needs_tiny
def test_the_command_trains_for_the_embedded_model(tmp_path, monkeypatch):
    for name in ("a", "b"):
        result = run("train", "--tokens", "--limit", 12, "--out", tmp_path / f"{name}.safetensors")
        assert result.exit_code == 0, result.output
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()
    assert "256 channels of tiny" in result.output
    monkeypatch.setenv(ELSEWHERE, str(tmp_path))
    listed = run("list").output
    assert read_token_codebook(tmp_path / "a.safetensors").id.hex() in listed
    assert "10 x 3 pixels" in listed


@pytest.fixture(scope="module")
def tiny_grids():
    """Held-out pages as the embedded model sees them."""
    reader = load_reader("tiny")
    return [
        grid
        for sample in mini(2, limit=6, seed=7)
        for grid in reader.see(list(Rendering.read(None, None, None).pages(sample)))
    ]


@needs_tiny
def test_the_shipped_codebook_beats_a_scale_for_each_channel(tiny_grids):
    """At every level closer to the original than `token` at a third of its bytes or fewer; one codebook fits all."""
    for level, at_least in (("ultra_mild", 0.99), ("mild", 0.98), ("aggressive", 0.8), ("extreme", 0.6)):
        for grid in tiny_grids:
            codebook, scalar = (cls.at(level).compress(grid) for cls in (VectorQuantization, Quantize))
            assert 3 * len(codebook.payload) < len(scalar.payload)
            assert fidelity(grid, codebook.arranged).whitened_cosine > at_least
    for grid in tiny_grids:
        scalar = Quantize(bits=(4, 4, 4)).compress(grid)
        codebook = VectorQuantization.at("ultra_mild").compress(grid)
        assert len(codebook.payload) < len(scalar.payload)
        assert fidelity(grid, codebook.arranged).whitened_error < fidelity(grid, scalar.arranged).whitened_error


def shipped_for(model):
    return read_token_codebook(codebooks.SHIPPED / f"{model}.safetensors")


@needs_tiny
def test_each_embedded_model_has_a_codebook_that_fits_pages_of_its_look(monkeypatch):
    """Of `small` at every resolution, also at those that were not among the pages that it was made from."""
    monkeypatch.delenv(ELSEWHERE)
    assert {book.id for book in codebooks.token_codebooks()} == {shipped_for(name).id for name in EMBEDDED}
    shipped, reader = shipped_for("small"), load_reader("small")
    [sample] = mini_glyph(2, limit=1, seed=3)
    for dpi in (72.0, 101.0, 144.0):
        [grid] = reader.see(list(islice(Rendering.read(None, dpi=dpi).pages(sample), 1)))
        assert codebooks.fitting_codebook(grid).id == shipped.id
        assert codebooks.strangeness(grid, shipped) < 3
        compressed = VectorQuantization.at("mild").compress(grid)
        assert fidelity(grid, compressed.arranged).whitened_cosine > 0.97


@needs_tiny
def test_a_codebook_knows_its_model(tiny_grids, monkeypatch):
    """Pages of its model have its variances, whatever cut them; those of an untrained model are far off."""
    monkeypatch.delenv(ELSEWHERE)
    shipped = shipped_for("tiny")
    assert len(shipped.file) < 1 << 20
    for grid in tiny_grids:
        cut = Prune.at("extreme").compress(grid).arranged
        assert codebooks.strangeness(grid, shipped) < 3
        assert codebooks.strangeness(cut, shipped) < codebooks.STRANGE / 10
    reader = load_reader("tiny")
    reader.model = build_model(build_config(), seed=0).eval()
    [strange] = reader.see(list(islice(training_pages(), 1)))
    assert codebooks.strangeness(strange, shipped) > 2 * codebooks.STRANGE
    with pytest.raises(UserError, match="no codebook fits"):
        VectorQuantization.at("mild").compress(strange)


@needs_tiny
@pytest.mark.slow
def test_the_shipped_codebook_is_made_by_one_command(tmp_path, monkeypatch):
    """Of all pages: the same file on the machine that made it, and its statistics, to the digits that processors share,
    on another one. Of a sixth of them, in a sixth of the time: nearly those statistics."""
    monkeypatch.delenv(ELSEWHERE)
    out = tmp_path / "tiny.safetensors"
    assert run("train", "--tokens", "--out", out, *(() if FULL else ("--limit", 100))).exit_code == 0
    shipped = shipped_for("tiny")
    made = read_token_codebook(out)
    if not FULL:
        largest = np.abs(shipped.arrays["means"]).max()
        np.testing.assert_allclose(made.arrays["means"], shipped.arrays["means"], atol=0.1 * largest)
        np.testing.assert_allclose(made.arrays["deviations"], shipped.arrays["deviations"], rtol=0.2)
        return
    for name in ("means", "deviations", "variances"):
        np.testing.assert_allclose(made.arrays[name], shipped.arrays[name], rtol=1e-2, atol=1e-4)
    assert len(made.file) == pytest.approx(len(shipped.file), rel=0.05)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--model", "glyph"), "add --tokens"),
        (("--tokens", "--size", "100"), "--size and --width"),
        (("--tokens", "--dpi", "96"), "a look of its own"),
    ],
)
def test_options_that_nothing_would_read_are_refused(arguments, message, tmp_path):
    result = run("train", *arguments, "--out", tmp_path / "book.safetensors")
    assert result.exit_code == 2
    assert message in " ".join(result.output.split())
    assert not list(tmp_path.iterdir())
