"""The token method's arithmetic on a page of 30 x 21 tokens of 4096 channels, against loops over the channels.

All run in one process, one after the other, on the same grid, and must agree; the ratios are printed and stored.
"""

import zlib
from time import perf_counter

import numpy as np
import pytest
import torch
from scipy.fft import dctn, idctn

from freqq.tokens import container
from freqq.tokens.grid import whole
from freqq.tokens.quantize import Quantize
from freqq.transforms.bands import band_masks
from freqq.transforms.quantize import EIGHTHS, quantize_grid, restore_grid

H, W, CHANNELS, CHANNELS_TO_SEE = 30, 21, 4096, 256  # the fewer, to see that it works
LEVEL = Quantize.at("aggressive")


@pytest.fixture(scope="module")
def grid(request) -> torch.Tensor:
    """Features with the 1/f spectrum of pages and a spread of channel sizes."""
    generator = torch.Generator().manual_seed(0)
    channels = CHANNELS if request.config.getoption("benchmark_enable") else CHANNELS_TO_SEE
    noise = torch.randn(H, W, channels, generator=generator)
    smooth = torch.nn.functional.avg_pool2d(noise.permute(2, 0, 1), 5, 1, 2).permute(1, 2, 0)
    return ((noise * 0.2 + smooth) * torch.exp(torch.randn(channels, generator=generator))).contiguous()


def round_trip(grid: torch.Tensor) -> torch.Tensor:
    return restore_grid(quantize_grid(grid, LEVEL.low, LEVEL.mid, LEVEL.bits))


def channel_loop(grid: torch.Tensor) -> torch.Tensor:
    """The very same arithmetic, one channel after another."""
    restored = torch.empty_like(grid)
    for c in range(grid.shape[2]):
        restored[:, :, c : c + 1] = round_trip(grid[:, :, c : c + 1])
    return restored


def scipy_loop(grid: torch.Tensor) -> torch.Tensor:
    """As lean as such a loop gets: fast transforms, bands looked up before, no checks."""
    h, w, channels = grid.shape
    masks = band_masks(h, w, LEVEL.low, LEVEL.mid)
    masks[:, 0, 0] = False
    eighths = np.array(EIGHTHS, np.float32)
    restored = np.empty_like(grid)
    for c in range(channels):
        coefficients = dctn(grid[:, :, c].numpy(), norm="ortho")
        result = np.zeros_like(coefficients)
        result[0, 0] = coefficients[0, 0]
        for mask, bits in zip(masks, LEVEL.bits, strict=True):
            band = coefficients[mask]
            highest = np.float32(2 ** (bits - 1) - 1)
            peak = np.abs(band).max(keepdims=True)
            mantissa, exponent = np.frexp(peak)
            scale = np.ldexp(eighths[np.searchsorted(eighths, mantissa)], exponent)
            symbols = np.round(band * (highest / scale)).astype(np.int16)
            result[mask] = symbols * (scale / highest)
        restored[:, :, c] = idctn(result, norm="ortho")
    return torch.from_numpy(restored)


def test_token_round_trip_against_loops_over_channels(benchmark, grid):
    slow, seconds = {}, {}
    for loop in (channel_loop, scipy_loop):
        start = perf_counter()
        slow[loop.__name__] = loop(grid)
        seconds[loop.__name__] = perf_counter() - start
    fast = benchmark.pedantic(round_trip, (grid,), rounds=30, warmup_rounds=3)

    for restored in slow.values():
        # A coefficient halfway between two symbols may go either way: those are rare, and each costs less than a step.
        differs = (fast - restored).abs() > 1e-4 * restored.abs().amax((0, 1))
        assert differs.any(0).any(0).float().mean() < 0.01
        assert (fast - restored).norm() < 2e-3 * restored.norm()

    if benchmark.stats is not None:  # None when benchmarks run once, to see that they work
        median = benchmark.stats.stats.median
        threads = torch.get_num_threads()
        ratios = {name: s / median for name, s in seconds.items()}
        benchmark.extra_info.update(threads=threads, **{f"times_faster_than_{n}": r for n, r in ratios.items()})
        print(f"\ntoken round trip {median * 1e3:.1f} ms on {threads} threads;", end=" ")
        print("; ".join(f"{n} {s * 1e3:.0f} ms, {ratios[n]:.0f} times as long" for n, s in seconds.items()))


@pytest.mark.parametrize("level", ["mild", "aggressive"])
def test_entropy_coding(benchmark, grid, level, capsys):
    """Symbols to a stream and back, without the transform; the rate counts the features as bfloat16."""
    method = Quantize.at(level)
    coded, page = method.code(grid), whole(grid)
    raw = grid.numel() * 2
    start = perf_counter()
    payload = container.write_coded(coded, page)
    written = perf_counter()
    zlib.decompress(zlib.compress(b"".join(s.numpy().tobytes() for s in coded.symbols)))
    peer = perf_counter()
    stored = benchmark.pedantic(container.read, (payload,), rounds=3, warmup_rounds=1)
    assert torch.equal(stored.page.arranged, restore_grid(coded))
    encode, other = written - start, peer - written
    benchmark.extra_info.update(stream_bytes=len(payload), raw_bf16_bytes=raw, encode_ms=encode * 1e3)
    with capsys.disabled():
        print(
            f"\n{level}: {raw / len(payload):.2f} times smaller; encoded at {raw / encode / 1e6:.0f} MB/s of bfloat16; "
            f"zlib of the same symbols, there and back, takes {other * 1e3:.0f} ms, encoding {encode * 1e3:.0f} ms"
        )
