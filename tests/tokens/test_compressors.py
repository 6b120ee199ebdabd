"""What holds for every compressor, and for every combination of one that cuts with one that quantizes."""

from dataclasses import replace
from math import prod

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import adaptive_avg_pool2d

from freqq.errors import UserError
from freqq.levels import LEVELS
from freqq.tokens import COMPRESSORS, compressor
from freqq.tokens.base import Cutter, Quantizer, Selector, SmallerGrid
from freqq.tokens.container import decode
from freqq.tokens.grid import fit_grid, resample, spread
from freqq.tokens.highpass import Highpass
from freqq.tokens.lowpass import Lowpass
from freqq.tokens.merge import Merge
from freqq.tokens.pool import Pool
from freqq.tokens.prune import Prune
from freqq.tokens.random import Random
from freqq.tokens.stratified import Stratified
from freqq.tokens.stride import Stride

CUTTERS = [name for name, cls in COMPRESSORS.items() if issubclass(cls, Cutter)]
QUANTIZERS = [name for name, cls in COMPRESSORS.items() if issubclass(cls, Quantizer)]
COMBINED = [
    "token-lowpass+quantize",
    "token-prune+quantize",
    "token-merge+int8",
    "token-pool+original",
    "token-lowpass+vq",
    "token-random+vq",
]
EVERY = [*COMPRESSORS, *COMBINED]
SIZES = [(1, 1), (1, 2), (2, 1), (1, 7), (9, 1), (2, 2), (7, 4), (24, 24), (30, 21)]
shapes = st.tuples(st.integers(1, 26), st.integers(1, 26))
keeps = st.floats(0.01, 1)

every = pytest.mark.parametrize("name", EVERY)
cutters = pytest.mark.parametrize("name", CUTTERS)


def grid_of(h, w, channels=12, seed=0, dtype=torch.float32):
    return torch.randn(h, w, channels, generator=torch.Generator().manual_seed(seed)).to(dtype)


def test_all_are_of_one_kind():
    assert sorted(CUTTERS + QUANTIZERS) == sorted(COMPRESSORS)


@every
@pytest.mark.parametrize("level", LEVELS[1:])
def test_the_stream_alone_gives_the_same_page(name, level):
    for size in SIZES:
        check_the_stream(compressor(name).at(level), grid_of(*size))


def check_the_stream(method, grid):
    compressed, decoded = method.compress(grid), decode(method.encode(grid))
    assert compressed.features.dtype == grid.dtype
    assert bool(torch.isfinite(compressed.features).all())
    assert torch.equal(decoded.features, compressed.features)
    assert (decoded.shape, decoded.small) == (compressed.shape, compressed.small)
    kept = [None if c.kept is None else c.kept.tolist() for c in (decoded, compressed)]
    assert kept[0] == kept[1]


@every
def test_the_same_page_gives_the_same_tokens_whatever_its_strides(name):
    method = compressor(name).at("aggressive")
    grid = grid_of(9, 8)
    again = grid.transpose(0, 1).contiguous().transpose(0, 1)
    before = grid.clone()
    assert method.encode(grid) == method.encode(again) == method.encode(grid)
    assert torch.equal(grid, before)


@pytest.mark.parametrize("name", [name for name in EVERY if "vq" not in name])  # whose means come in steps
@pytest.mark.parametrize("level", ["ultra_mild", "extreme"])
def test_a_flat_page_stays_the_same_flat_page(name, level):
    # The study's quantizer has no exact mean: the DC shares its range with all else.
    close = 0.01 if "original" in name else 1e-5
    value = grid_of(1, 1)
    for size in SIZES:
        features = compressor(name).at(level).compress(value.expand(*size, -1)).features
        torch.testing.assert_close(features, value[0].expand(len(features), -1), atol=close, rtol=close)


@every
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_features_keep_their_number_format(name, dtype):
    method = compressor(name).at("mild")
    assert method.compress(grid_of(6, 5, dtype=dtype)).features.dtype == dtype
    assert decode(method.encode(grid_of(6, 5, dtype=dtype))).features.dtype == dtype


@every
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_what_is_no_number_is_refused(name, bad):
    grid = grid_of(4, 4)
    grid[2, 1, 3] = bad
    with pytest.raises(UserError, match="NaN or infinity"):
        compressor(name).at("mild").compress(grid)
    with pytest.raises(UserError, match="height, width and channels"):
        compressor(name).at("mild").compress(grid[0])


@pytest.mark.parametrize("shape", [(0, 4, 3), (4, 0, 3), (4, 4, 0), (16, 3)])
def test_a_grid_without_cells_or_channels_is_refused(shape):
    for name in ("token", "token-lowpass", "token-lowpass+quantize"):
        with pytest.raises(UserError, match="height, width and channels"):
            compressor(name).at("mild").compress(torch.zeros(shape))


@cutters
@settings(max_examples=15)
@given(shapes, keeps, st.integers(0, 100))
def test_cutters_leave_exactly_the_budget(name, size, keep, seed):
    compressed = compressor(name)(keep=keep).compress(grid_of(*size, channels=5, seed=seed))
    assert len(compressed.features) == prod(fit_grid(*size, keep))
    if compressed.kept is not None:
        assert compressed.kept.dtype == torch.int64
        assert compressed.kept.tolist() == sorted(set(compressed.kept.tolist()))
        assert compressed.kept[0] >= 0
        assert compressed.kept[-1] < prod(size)


@cutters
def test_keeping_all_changes_nothing(name):
    for size in SIZES:
        grid = grid_of(*size)
        compressed = compressor(name)(keep=1).compress(grid)
        assert torch.equal(compressed.arranged, grid)
        assert (compressed.shape, compressed.kept, compressed.small) == (size, None, None)


@pytest.mark.parametrize("name", [n for n in CUTTERS if issubclass(COMPRESSORS[n], Selector)])
def test_selectors_leave_their_tokens_as_they_are(name):
    grid = grid_of(8, 7)
    compressed = compressor(name)(keep=0.3).compress(grid)
    assert torch.equal(compressed.features, grid.flatten(0, 1)[compressed.kept])


@cutters
@pytest.mark.parametrize("keep", [0, -0.5, 1.01, float("nan"), float("inf")])
def test_an_impossible_budget_is_refused(name, keep):
    with pytest.raises(UserError, match="a fraction of the tokens above 0, at most 1"):
        compressor(name)(keep=keep)


@given(shapes, keeps)
def test_the_smaller_grid_keeps_the_budget_and_the_aspect_ratio(size, keep):
    h, w = size
    rows, columns = fit_grid(h, w, keep)
    assert 1 <= rows <= h
    assert 1 <= columns <= w
    assert abs(rows * columns - keep * h * w) <= max(h, w)
    assert fit_grid(h, w, 1.0) == (h, w)


def test_the_smaller_grids_of_a_glyph_page():
    assert [fit_grid(30, 21, keep) for keep in (0.75, 0.5, 0.25, 0.125)] == [(26, 18), (21, 15), (16, 10), (11, 7)]


@given(shapes, keeps, st.integers(0, 100))
def test_lowpass_keeps_low_frequencies_and_their_size(size, keep, seed):
    """What a smaller grid can hold comes through unchanged; means do in any case."""
    grid = grid_of(*size, seed=seed)
    small = Lowpass(keep=keep).compress(grid).arranged
    torch.testing.assert_close(small.mean((0, 1)), grid.mean((0, 1)), atol=1e-4, rtol=1e-4)
    smooth = resample(small, size)
    torch.testing.assert_close(Lowpass(keep=keep).compress(smooth).arranged, small, atol=1e-4, rtol=1e-4)


@given(h=st.integers(1, 32), w=st.integers(1, 32), keep=st.floats(0.02, 1), seed=st.integers(0, 99))
def test_pooling_is_torchs_to_the_bit(h: int, w: int, keep: float, seed: int) -> None:
    grid, small = grid_of(h, w, seed=seed), fit_grid(h, w, keep)
    expected = adaptive_avg_pool2d(grid.movedim(-1, 0), small).movedim(0, -1)
    assert torch.equal(Pool(keep=keep).shrink(grid, small), expected)


def test_pooling_means_whole_blocks():
    grid = grid_of(6, 4)
    pooled = Pool(keep=0.25).compress(grid)
    assert pooled.small == (3, 2)
    expected = grid.reshape(3, 2, 2, 2, -1).mean((1, 3))
    torch.testing.assert_close(pooled.arranged, expected)


@pytest.mark.parametrize("cls", [Lowpass, Pool])
def test_positions_are_of_the_page_or_of_a_smaller_one(cls):
    grid = grid_of(8, 8)
    scaled, compact = (cls(keep=0.25, positions=p).compress(grid) for p in ("scaled", "compact"))
    assert (scaled.shape, scaled.small, compact.shape, compact.small) == ((8, 8), (4, 4), (4, 4), None)
    assert torch.equal(scaled.features, compact.features)
    assert issubclass(cls, SmallerGrid)
    with pytest.raises(UserError, match="did you mean 'scaled'"):
        cls(positions="scald")


def test_prune_keeps_what_stands_out_and_no_outlier_channel_decides():
    grid = grid_of(6, 6, channels=64) * 0.1
    grid[2, 3] += 1
    grid[4, 1] -= 1
    grid[0, 0, 7] = 1e4
    assert Prune(keep=2 / 36).compress(grid).kept.tolist() == [2 * 6 + 3, 4 * 6 + 1]


def test_highpass_keeps_what_differs_from_its_neighbours():
    """A blank half is far from the page's mean, so `prune` may keep it; all that stands out of it here is one cell."""
    grid = torch.zeros(8, 8, 32)
    grid[:, 4:] = grid_of(8, 4, 32, seed=2) * 0.1 + 1
    grid[3, 1] = -1
    kept = Highpass(keep=1 / 64).compress(grid).kept.tolist()
    assert kept == [3 * 8 + 1]
    blank = [8 * r + c for r in range(8) for c in range(2)]
    assert not set(Highpass(keep=0.5).compress(grid).kept.tolist()) & (
        set(blank) - {8 * r + c for r in (2, 3, 4) for c in range(2)}
    )


def test_random_draws_by_shape_and_seed_whatever_the_features_are():
    pages = [grid_of(10, 10, seed=seed) for seed in range(5)]
    draws = [Random(keep=0.5).compress(p).kept.tolist() for p in (*pages, pages[0].bfloat16())]
    assert all(draw == draws[0] for draw in draws)
    others = Random(keep=0.5, seed=1).compress(pages[0]), Random(keep=0.5).compress(pages[0].reshape(20, 5, -1))
    assert draws[0] not in [page.kept.tolist() for page in others]
    assert set(Random(keep=0.25).compress(pages[0]).kept.tolist()) < set(draws[0])
    counts = sum(torch.bincount(Random(keep=0.5, seed=s).compress(pages[0]).kept, minlength=100) for s in range(400))
    assert 140 < counts.min() <= counts.max() < 260


def test_merging_like_tokens_loses_nothing():
    """Half of the tokens, each into the one beside it that it equals; places are those of the second ones."""
    left = grid_of(4, 1, channels=6)
    grid = left.repeat(1, 2, 1)
    merged = Merge(keep=0.5).compress(grid)
    torch.testing.assert_close(merged.features, left[:, 0])
    assert merged.kept.tolist() == [1, 3, 5, 7]


def test_a_merged_token_is_the_mean_of_all_that_went_into_it():
    grid = grid_of(6, 6)
    [token] = Merge(keep=1 / 36).compress(grid).features
    torch.testing.assert_close(token, grid.mean((0, 1)), atol=1e-5, rtol=1e-5)


@settings(max_examples=15)
@given(shapes, keeps)
def test_stratified_keeps_one_token_of_every_neighbourhood(size, keep):
    h, w = size
    rows, columns = fit_grid(h, w, keep)
    kept = Stratified(keep=keep).compress(grid_of(h, w, channels=4)).kept
    if kept is not None:
        areas = {(int(i) // w * rows // h, int(i) % w * columns // w) for i in kept}
        assert areas == {(r, c) for r in range(rows) for c in range(columns)}


@every
def test_what_is_left_spreads_over_the_page(name):
    grid = grid_of(6, 8)
    compressed = compressor(name).at("mild").compress(grid)
    full = spread(compressed, (6, 8))
    assert full.shape == grid.shape
    if compressed.kept is not None:
        assert torch.equal(full.flatten(0, 1)[compressed.kept], compressed.features)
    assert torch.equal(spread(replace(compressed, payload=None), (6, 8)), full)


@pytest.mark.parametrize("name", COMBINED)
def test_a_combination_is_one_after_the_other(name):
    cutter, quantizer = (compressor(n) for n in (name.partition("+")[0], f"token-{name.partition('+')[2]}"))
    grid = grid_of(9, 7)
    combined = compressor(name).at("aggressive").compress(grid)
    apart, stream = quantizer.at("aggressive").quantize(cutter.at("aggressive").compress(grid))
    assert torch.equal(combined.features, apart.features)
    assert combined.payload == stream.write()
    assert len(combined.payload) < len(cutter.at("aggressive").encode(grid))
    assert compressor(name).at("mild", keep=0.2).keep == 0.2
    assert compressor(name) is compressor(name)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("token-lowpas", "did you mean 'token-lowpass'"),
        ("token-lowpass+quantise", "unknown method"),
        ("token-lowpass+prune", "combines nothing"),
        ("token-int8+quantize", "combines nothing"),
        ("token+quantize", "combines nothing"),
    ],
)
def test_names_that_mean_nothing_are_refused(name, message):
    with pytest.raises(UserError, match=message):
        compressor(name)


def test_the_study_and_the_mended_method_have_one_name_each():
    assert compressor("token-quantize") is compressor("token")


@given(h=st.integers(1, 12), w=st.integers(1, 12), keep=st.floats(0.05, 1))
def test_a_stride_keeps_tokens_at_equal_distances(h: int, w: int, keep: float) -> None:
    small = fit_grid(h, w, keep)
    kept = Stride(keep=keep).select(torch.zeros(h, w, 1), small)
    apart = h * w / prod(small)
    assert len(kept) == prod(small)
    assert all(int(apart) <= gap <= int(apart) + 1 for gap in kept.diff().tolist())
    assert 0 <= int(kept[0]) <= apart / 2
    assert h * w - 1 - int(kept[-1]) <= apart / 2


@every
def test_the_tokens_are_the_same_whether_their_stream_is_written_at_once_later_or_never(name):
    method, grid = compressor(name).at("mild"), grid_of(7, 6)
    compressed, alone = method.compress(grid), method.reconstruct(grid)
    begun, stream = method.begin(grid)
    for read in (begun, alone):
        assert read.payload is None
        assert torch.equal(read.features, compressed.features)
        assert (read.shape, read.small) == (compressed.shape, compressed.small)
        assert [None if page.kept is None else page.kept.tolist() for page in (read, compressed)].count(
            None if compressed.kept is None else compressed.kept.tolist()
        ) == 2
    begun.features.zero_()
    grid.zero_()
    assert (None if stream is None else stream.write()) == compressed.payload
