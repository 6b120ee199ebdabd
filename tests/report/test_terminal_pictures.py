"""Pictures in a terminal: read back from the escape sequences, by a decoder of each."""

import base64
import io
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from freqq.errors import UserError
from freqq.report.terminal_pictures import CHUNK, ITERM2, KITTY, SIXEL, check_protocol, escapes, protocol, sixels


def file_of(pixels) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "png")
    return file.getvalue()


@pytest.fixture(scope="module")
def picture() -> bytes:
    return file_of(np.random.default_rng(0).integers(0, 256, (80, 120, 3), np.uint8))


def shown_by_kitty(stream: bytes) -> bytes:
    pieces = re.findall(rb"\x1b_G([^;]*);([^\x1b]*)\x1b\\", stream)
    assert b"".join(b"\x1b_G%b;%b\x1b\\" % piece for piece in pieces) + b"\n" == stream
    assert pieces[0][0].startswith(b"a=T,f=100,q=2,m=")
    assert [keys[-3:] for keys, _ in pieces] == [b"m=1"] * (len(pieces) - 1) + [b"m=0"]
    assert all(len(content) <= CHUNK and len(content) % 4 == 0 for _, content in pieces)
    return base64.standard_b64decode(b"".join(content for _, content in pieces))


def shown_by_iterm2(stream: bytes) -> bytes:
    found = re.fullmatch(rb"\x1b\]1337;File=size=(\d+);inline=1;preserveAspectRatio=1:([^\x07]*)\x07\n", stream)
    content = base64.standard_b64decode(found[2])
    assert len(content) == int(found[1])
    return content


def shown_by_sixels(stream: bytes):
    """The pixels of sixels, and the palette in percent."""
    found = re.fullmatch(rb'\x1bPq"1;1;(\d+);(\d+)(.*)\x1b\\', stream, re.DOTALL)
    width, height, body = int(found[1]), int(found[2]), found[3].decode()
    palette = {int(i): tuple(map(int, rgb.split(";"))) for i, rgb in re.findall(r"#(\d+);2;(\d+;\d+;\d+)", body)}
    indices = np.full((height, width), -1)
    for band, text in enumerate(re.sub(r"#\d+;2;\d+;\d+;\d+", "", body).split("-")):
        for layer in text.split("$"):
            colour, runs = re.fullmatch(r"#(\d+)(.*)", layer).groups()
            x = 0
            for count, sixel in re.findall(r"(?:!(\d+))?([?-~])", runs):
                for row in range(6):
                    if (ord(sixel) - 63) >> row & 1:
                        indices[6 * band + row, x : x + int(count or 1)] = int(colour)
                x += int(count or 1)
            assert x == width
    return indices, palette


def test_kitty_is_given_the_file(picture):
    assert shown_by_kitty(escapes(picture, KITTY, 1000)) == picture


def test_iterm2_is_given_the_file(picture):
    assert shown_by_iterm2(escapes(picture, ITERM2, 1000)) == picture


@given(arrays(np.uint8, st.tuples(st.integers(1, 20), st.integers(1, 20)), elements=st.sampled_from([0, 51, 153, 255])))
def test_sixels_are_the_pixels(gray):
    indices, palette = shown_by_sixels(sixels(np.stack([gray, 255 - gray, gray], 2)))
    assert indices.min() >= 0
    for value in np.unique(gray):
        percent, other = round(value / 2.55), round((255 - int(value)) / 2.55)
        assert {palette[int(i)] for i in indices[gray == value]} == {(percent, other, percent)}


def test_sixels_have_at_most_256_colours(picture):
    indices, palette = shown_by_sixels(escapes(picture, SIXEL, 1000)[:-1])
    assert indices.shape == (80, 120)
    assert len(palette) <= 256


@pytest.mark.parametrize("how", [KITTY, ITERM2])
def test_what_is_wider_than_the_terminal_is_scaled_down(how, picture):
    read = shown_by_kitty if how == KITTY else shown_by_iterm2
    assert Image.open(io.BytesIO(read(escapes(picture, how, 60)))).size == (60, 40)
    assert shown_by_sixels(escapes(picture, SIXEL, 60)[:-1])[0].shape == (40, 60)


@pytest.mark.parametrize(
    ("environment", "known"),
    [
        ({"TERM": "xterm-kitty"}, KITTY),
        ({"TERM": "xterm-ghostty"}, KITTY),
        ({"TERM": "xterm-256color", "KONSOLE_VERSION": "230800"}, KITTY),
        ({"TERM": "xterm-256color", "TERM_PROGRAM": "iTerm.app"}, ITERM2),
        ({"TERM": "xterm-256color", "LC_TERMINAL": "iTerm2"}, ITERM2),
        ({"TERM": "xterm-256color", "TERM_PROGRAM": "WezTerm"}, ITERM2),
        ({"TERM": "foot"}, SIXEL),
        ({"TERM": "mlterm-256color"}, SIXEL),
        ({"TERM": "xterm-256color", "WT_SESSION": "a"}, SIXEL),
        ({"TERM": "xterm-256color"}, None),
        ({"TERM": "dumb", "TERM_PROGRAM": "iTerm.app"}, None),
        ({"TERM": "tmux-256color", "TERM_PROGRAM": "iTerm.app"}, None),
        ({"TERM": "xterm-kitty", "TMUX": "/tmp/tmux"}, None),
        ({"TERM": "screen", "LC_TERMINAL": "iTerm2"}, None),
        ({}, None),
    ],
)
def test_terminals_are_told_by_their_variables(environment, known):
    assert protocol(environment) == known


def test_a_terminal_without_pictures_is_told_so():
    with pytest.raises(UserError, match=r"this terminal \(xterm\) shows no pictures.* give a file with --out NAME.png"):
        check_protocol({"TERM": "xterm"})
