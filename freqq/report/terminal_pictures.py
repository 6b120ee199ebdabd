"""Show images in a terminal, by the protocols of kitty or iTerm2, or by sixels.

The protocol is chosen by environment variables; the terminal is not queried, because it may never answer. In tmux and
screen, which do not pass images on, the variables are those of the outer terminal.
"""

import base64
import fcntl
import struct
import termios
from collections.abc import Iterator, Mapping
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from freqq.errors import UserError

KITTY, ITERM2, SIXEL = "kitty", "iTerm2", "sixel"

CHUNK = 4096
"""Most characters per escape sequence in kitty's protocol."""

COLUMN_PX, COLUMNS = 8, 80
"""Assumed size of a terminal that does not report its own."""

COLOURS = 256
SIXEL_ROWS = 6


def protocol(environment: Mapping[str, str]) -> str | None:
    """The protocol of a terminal with these environment variables; None if no protocol is known."""
    term, program = environment.get("TERM", ""), environment.get("TERM_PROGRAM", "")
    if "TMUX" in environment or term.startswith(("tmux", "screen")) or term in ("", "dumb", "linux"):
        return None
    if term in ("xterm-kitty", "xterm-ghostty") or program == "ghostty" or "KONSOLE_VERSION" in environment:
        return KITTY
    if program in ("iTerm.app", "WezTerm", "mintty") or environment.get("LC_TERMINAL") == "iTerm2":
        return ITERM2
    if term.startswith(("foot", "mlterm", "contour", "yaft")) or "WT_SESSION" in environment:
        return SIXEL
    return None


def check_protocol(environment: Mapping[str, str]) -> str:
    """Like `protocol`, but raises a `UserError` instead of returning None."""
    found = protocol(environment)
    if found is None:
        term = "tmux" if "TMUX" in environment else environment.get("TERM") or "unknown"
        raise UserError(
            f"this terminal ({term}) shows no pictures, as far as is known, by kitty's or iTerm2's protocol or by "
            "sixels: give a file with --out NAME.png"
        )
    return found


def escapes(png: bytes, protocol: str, width: int) -> bytes:
    """Escape sequences that show a PNG file, scaled down to `width` pixels if it is wider, and a newline."""
    png = _fitted(png, width)
    if protocol == KITTY:
        shown = b"".join(_kitty(base64.standard_b64encode(png)))
    elif protocol == ITERM2:
        content = base64.standard_b64encode(png)
        shown = b"\x1b]1337;File=size=%d;inline=1;preserveAspectRatio=1:%b\x07" % (len(png), content)
    else:
        with Image.open(BytesIO(png)) as image:
            shown = sixels(np.asarray(image.convert("RGB")))
    return shown + b"\n"


def width_px(descriptor: int) -> int:
    """A terminal's width in pixels, estimated if it does not report it."""
    try:
        _, columns, across, _ = struct.unpack("HHHH", fcntl.ioctl(descriptor, termios.TIOCGWINSZ, bytes(8)))
    except OSError:
        columns = across = 0
    return across or (columns or COLUMNS) * COLUMN_PX


def sixels(pixels: NDArray[np.uint8]) -> bytes:
    """An image [H, W, 3] as DEC sixels: bands of six rows, colour by colour, run-length coded."""
    image = Image.fromarray(pixels).quantize(COLOURS, dither=Image.Dither.NONE)
    palette = np.array(image.getpalette(), np.int64).reshape(-1, 3)
    indices = np.asarray(image)
    height, width = indices.shape
    colours = [f"#{i};2;{r};{g};{b}" for i, (r, g, b) in enumerate((palette * 100 + 127) // 255)]
    bands = [_band(indices[top : top + SIXEL_ROWS]) for top in range(0, height, SIXEL_ROWS)]
    return f'\x1bPq"1;1;{width};{height}{"".join(colours)}{"-".join(bands)}\x1b\\'.encode()


def _band(rows: NDArray[np.uint8]) -> str:
    places = np.left_shift(1, np.arange(len(rows)))[:, None]
    parts = []
    for colour in np.unique(rows):
        bits = ((rows == colour) * places).sum(0)
        starts = np.flatnonzero(np.diff(bits, prepend=-1))
        lengths = np.diff(starts, append=len(bits))
        runs = zip(bits[starts].tolist(), lengths.tolist(), strict=True)
        parts.append(f"#{colour}" + "".join(_run(chr(63 + bit), length) for bit, length in runs))
    return "$".join(parts)


def _run(sixel: str, length: int) -> str:
    return sixel * length if length < 4 else f"!{length}{sixel}"


def _kitty(content: bytes) -> Iterator[bytes]:
    pieces = [content[i : i + CHUNK] for i in range(0, len(content), CHUNK)]
    for i, piece in enumerate(pieces):
        # a=T: transmit and display; f=100: PNG; q=2: no response; m: whether more follows
        first, more = b"a=T,f=100,q=2," if i == 0 else b"", i + 1 < len(pieces)
        yield b"\x1b_G%bm=%d;%b\x1b\\" % (first, more, piece)


def _fitted(png: bytes, width: int) -> bytes:
    with Image.open(BytesIO(png)) as image:
        if image.width <= width:
            return png
        height = max(1, round(image.height * width / image.width))
        file = BytesIO()
        image.convert("RGB").resize((width, height), Image.Resampling.LANCZOS).save(file, "png")
    return file.getvalue()
