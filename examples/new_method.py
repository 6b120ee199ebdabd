"""New methods in one file: a token compressor and an image codec that freqq does not have.

    python examples/new_method.py methods token-contrast
    python examples/new_method.py eval --method token-contrast,image-runs --level all --limit 20
    python examples/new_method.py compress-image page.png --codec runs --level all

A method is a frozen dataclass of its parameters, with a table of the four levels; its docstring is its card. Once it is
in `freqq.COMPRESSORS` or `freqq.CODECS`, every command of this program supports it: levels, --set, resuming,
combinations (token-contrast+int4), reports. The processes of --workers, --gpus and slurm-submit run this file, too.

To use it in the command `freqq` itself, with completion, put this file beside a pyproject.toml and install both with
pip:

    [build-system]
    requires = ["setuptools"]
    build-backend = "setuptools.build_meta"

    [project]
    name = "my-methods"
    version = "1.0"
    dependencies = ["freqq"]

    [project.entry-points."freqq.compressors"]
    token-contrast = "new_method:Contrast"

    [project.entry-points."freqq.codecs"]
    image-runs = "new_method:Runs"

    [tool.setuptools]
    py-modules = ["new_method"]

freqq decompress and freqq info are the only commands limited to freqq's own streams.

A task is added by the group freqq.tasks and an instance of `freqq.Task`. To add a method to freqq itself, move the
class to its own file in freqq/tokens or freqq/image and add a line to that folder's __init__, where the tests of all
methods find it.
"""

import struct
from dataclasses import dataclass

import numpy as np
import torch

import freqq
from freqq.coding.stream import StreamReader, StreamWriter
from freqq.errors import UserError
from freqq.image.base import ImageCodec
from freqq.image.container import size_fits
from freqq.tokens.base import Selector
from freqq.tokens.whitening import whitened


@dataclass(frozen=True)
class Contrast(Selector):
    """Keep the tokens that differ most from the one to their left.

    Text runs along lines, so changes along a line may carry its content.

    Formula
    -------
    e(i, j) = ‖z(i, j) - z(i, j - 1)‖², z whitened, z(i, -1) = 0; the cells of largest e stay.

    Parameters
    ----------
    keep : float in (0, 1]
        Fraction of the tokens to keep.

    Source
    ------
    An example.

    Measured
    --------
    Nothing yet.
    """

    def select(self, grid: torch.Tensor, small: tuple[int, int]) -> torch.Tensor:
        """Raster indices of h'·w' cells of a grid [h, w, C]."""
        values = whitened(grid)
        left = torch.nn.functional.pad(values, (0, 0, 1, 0))[:, :-1]
        energy = (values - left).square().sum(-1).flatten()
        return torch.argsort(energy, descending=True, stable=True)[: small[0] * small[1]]


HEADER = struct.Struct("<BHHI")
"""Gray levels, height, width, number of runs."""


@dataclass(frozen=True)
class Runs(ImageCodec):
    """Round a page's brightness to a few levels, and store the lengths of runs of equal pixels.

    Formula
    -------
    g' = round(g · (grays - 1) / 255) · 255 / (grays - 1); runs along rows, their levels and lengths by LZMA.

    Parameters
    ----------
    grays : int, 2 to 256
        Levels of gray.

    Source
    ------
    An example; a fax of 1980 (ITU-T T.4) also stores runs.

    Measured
    --------
    Nothing yet.
    """

    grays: int = 8

    LEVELS = {
        "ultra_mild": {"grays": 16},
        "mild": {"grays": 8},
        "aggressive": {"grays": 4},
        "extreme": {"grays": 2},
    }

    def __post_init__(self) -> None:
        if not 2 <= self.grays <= 256:
            raise UserError(f"grays {self.grays}: give 2 to 256")

    def encode(self, page: freqq.Page) -> bytes:
        """The page's runs as a stream with its own magic number, version and checksum."""
        plane = page.pixels if page.pixels.ndim == 2 else page.pixels.mean(2)
        levels = np.rint(plane * ((self.grays - 1) / 255)).astype(np.uint8).ravel()
        starts = np.flatnonzero(np.diff(levels, prepend=-1 - int(levels[0])))
        lengths = np.diff(starts, append=len(levels)).astype(np.uint32)
        writer = StreamWriter(b"RUNS", 1)
        writer.header(HEADER, self.grays - 1, *plane.shape, len(starts))
        writer.lzma_section(levels[starts])
        writer.lzma_section(lengths)
        return writer.finish()

    def decode(self, stream: bytes) -> freqq.Page:
        """The page of a stream, which is validated, because it may be damaged."""
        reader = StreamReader(stream, b"RUNS", 1)
        highest, height, width, runs = reader.header(HEADER)
        if not (highest and size_fits(height, width) and 1 <= runs <= height * width):
            raise reader.corrupt("its header is out of bounds")
        levels, lengths = reader.lzma_section(runs, "u1"), reader.lzma_section(runs, "<u4")
        reader.end()
        if levels.max() > highest or lengths.sum(dtype=np.int64) != height * width:
            raise reader.corrupt("its runs are not a page")
        pixels = np.repeat(np.rint(levels * (255 / highest)).astype(np.uint8), lengths)
        return freqq.Page(pixels.reshape(height, width))


freqq.COMPRESSORS["token-contrast"] = Contrast
freqq.CODECS["image-runs"] = Runs

if __name__ == "__main__":
    from freqq.cli.app import main

    main()
