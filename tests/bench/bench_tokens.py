"""The token method's arithmetic on a page of 24 x 24 tokens of 4096 channels, against loops over the channels.

All run in one process, one after the other, on the same grid, and must agree; the ratios are printed and stored.
"""

from time import perf_counter

import numpy as np
import pytest
import torch
from scipy.fft import dctn, idctn

from freqq.frequency.bands import band_masks
from freqq.frequency.quantize import quantize_grid, restore_grid
from freqq.tokens import container
from freqq.tokens.quantize import Quantize

SIDE, CHANNELS = 24, 4096
LEVEL = Quantize.at("aggressive")


@pytest.fixture(scope="module")
def grid() -> torch.Tensor:
    """Features with the 1/f spectrum of pages and a spread of channel sizes."""
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(SIDE, SIDE, CHANNELS, generator=generator)
    smooth = torch.nn.functional.avg_pool2d(noise.permute(2, 0, 1), 5, 1, 2).permute(1, 2, 0)
    return ((noise * 0.2 + smooth) * torch.exp(torch.randn(CHANNELS, generator=generator))).contiguous()


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
    restored = np.empty_like(grid)
    for c in range(channels):
        coefficients = dctn(grid[:, :, c].numpy(), norm="ortho")
        result = np.zeros_like(coefficients)
        result[0, 0] = coefficients[0, 0]
        for mask, bits in zip(masks, LEVEL.bits, strict=True):
            band = coefficients[mask]
            highest = np.float32(2 ** (bits - 1) - 1)
            peak = np.abs(band).max(keepdims=True)
            scale = ((peak.view(np.int32) + 0xFFFF) & ~0xFFFF).view(np.float32)
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


def test_token_compress_and_decode(benchmark, grid):
    """With the real stream: entropy coding and a checksum, and back."""

    def both() -> tuple[torch.Tensor, int]:
        payload = LEVEL.compress(grid).payload
        assert payload is not None
        return container.decode(payload).arranged, len(payload)

    decoded, size = benchmark.pedantic(both, rounds=3, warmup_rounds=1)
    assert torch.equal(decoded, round_trip(grid))
    benchmark.extra_info.update(stream_bytes=size, raw_bf16_bytes=grid.numel() * 2)
