import io
import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from freqq.errors import UserError
from freqq.image.files import FORMATS, find_images, frame_count, png, read_page
from freqq.pages.page import Page

GRAY = np.random.default_rng(0).integers(0, 256, (7, 5), np.uint8)
RGB = np.random.default_rng(1).integers(0, 256, (7, 5, 3), np.uint8)


def saved(tmp_path, image, name="x.png"):
    image.save(tmp_path / name)
    return tmp_path / name


@pytest.mark.parametrize("pixels", [GRAY, RGB])
@pytest.mark.parametrize("name", ["x.png", "x.bmp", "x.tiff"])
def test_gray_stays_gray_and_rgb_stays_rgb(tmp_path, pixels, name):
    np.testing.assert_array_equal(read_page(saved(tmp_path, Image.fromarray(pixels), name)).pixels, pixels)


def test_a_page_comes_back_from_its_png():
    page = Page(GRAY)
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(png(page)))), GRAY)
    assert png(page) == png(Page(GRAY.copy()))


def test_other_kinds_of_image_become_gray_or_rgb(tmp_path):
    bits = Image.fromarray(GRAY > 127)
    np.testing.assert_array_equal(read_page(saved(tmp_path, bits)).pixels, np.where(GRAY > 127, 255, 0))
    deep = Image.fromarray(GRAY.astype(np.uint16) * 257)
    np.testing.assert_array_equal(read_page(saved(tmp_path, deep)).pixels, GRAY)
    palette = Image.fromarray(RGB).quantize(8)
    np.testing.assert_array_equal(read_page(saved(tmp_path, palette)).pixels, np.asarray(palette.convert("RGB")))


def test_floating_point_pixels_are_0_to_1_or_0_to_255(tmp_path):
    for factor in (1, 1 / 255):
        image = Image.fromarray(GRAY.astype(np.float32) * np.float32(factor))
        np.testing.assert_array_equal(read_page(saved(tmp_path, image, "x.tiff")).pixels, GRAY)
    dark = Image.fromarray(GRAY.astype(np.int32) % 2)  # whole numbers are levels of gray
    assert dark.mode == "I"
    assert read_page(saved(tmp_path, dark, "x.tiff")).pixels.max() == 1


@pytest.mark.filterwarnings("error")
def test_damage_behind_the_first_frame_counts_no_frames(tmp_path):
    frames = [Image.fromarray(GRAY + i) for i in range(3)]
    frames[0].save(tmp_path / "x.tiff", save_all=True, append_images=frames[1:])
    assert frame_count(tmp_path / "x.tiff") == 3
    content, counts = (tmp_path / "x.tiff").read_bytes(), set()
    for end in range(len(content)):
        (tmp_path / "cut.tiff").write_bytes(content[:end])
        counts.add(frame_count(tmp_path / "cut.tiff"))
    assert 1 in counts <= {1, 2, 3}


def test_transparency_is_white_paper(tmp_path):
    clear = Image.new("RGBA", (4, 3), (0, 0, 0, 0))
    assert (read_page(saved(tmp_path, clear)).pixels == 255).all()
    faint = Image.new("LA", (4, 3), (0, 0))
    assert (read_page(saved(tmp_path, faint)).pixels == 255).all()
    for mode in ("1", "L"):
        named = tmp_path / f"colour-{mode}.png"
        Image.new(mode, (4, 3), 0).save(named, transparency=0)
        assert (read_page(named).pixels == 255).all()


@pytest.mark.parametrize("levels", [256, 65536])
def test_gray_of_16_bits_is_scaled_as_png_says(tmp_path, levels):
    """Also of a page that is all dark; and its transparent pixels are white paper."""
    deep = np.random.default_rng(0).integers(0, levels, (7, 5)).astype(np.uint16)
    expected = np.rint(deep / 257).astype(np.uint8)
    np.testing.assert_array_equal(read_page(saved(tmp_path, Image.fromarray(deep))).pixels, expected)
    Image.fromarray(deep).save(tmp_path / "clear.png", transparency=int(deep[3, 2]))
    expected[deep == deep[3, 2]] = 255
    np.testing.assert_array_equal(read_page(tmp_path / "clear.png").pixels, expected)


@pytest.mark.parametrize("form", FORMATS)
def test_every_format_is_read(tmp_path, form):
    Image.fromarray(GRAY).save(tmp_path / "page", form)
    assert read_page(tmp_path / "page").pixels.shape[:2] == GRAY.shape


def test_no_file_is_read_by_another_program(tmp_path, monkeypatch):
    """Pillow hands an EPS to Ghostscript, whatever its name is."""
    Image.fromarray(RGB).save(tmp_path / "x.eps")
    (tmp_path / "x.eps").rename(tmp_path / "x.png")
    program = tmp_path / "gs"
    program.write_text(f"#!/bin/sh\ntouch {tmp_path / 'started'}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setattr("PIL.EpsImagePlugin.gs_binary", None)
    with pytest.raises(UserError, match="is not an image that can be read"):
        read_page(tmp_path / "x.png")
    assert frame_count(tmp_path / "x.png") == 1
    assert not (tmp_path / "started").exists()


def test_an_image_is_taken_once(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pages").mkdir()
    (tmp_path / "link").symlink_to("pages")
    for name in ("a.png", "b.png"):
        Image.fromarray(GRAY).save(tmp_path / "pages" / name)
    spellings = ("pages/a.png", "pages", "./pages/../pages/b.png", str(tmp_path / "pages" / "b.png"), "link")
    assert find_images(map(Path, spellings)) == [Path("pages/a.png"), Path("pages/b.png")]


def test_a_folder_stands_for_its_images_by_name(tmp_path):
    for name in ("b.png", "a.PNG", "c.jpg"):
        Image.fromarray(GRAY).save(tmp_path / name)
    (tmp_path / "notes.txt").write_text("no image")
    (tmp_path / "d.png").mkdir()
    assert [p.name for p in find_images([tmp_path])] == ["a.PNG", "b.png", "c.jpg"]
    assert find_images([tmp_path / "notes.txt"]) == [tmp_path / "notes.txt"]


def test_missing_paths_and_empty_folders_are_refused(tmp_path):
    with pytest.raises(UserError, match="there is no image in the folder"):
        find_images([tmp_path])
    with pytest.raises(UserError, match="there is no file or folder"):
        find_images([tmp_path / "nowhere.png"])


def chunk(kind, content):
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png_claiming(width, height):
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not an image that can be read"),
        (b"hello", "not an image that can be read"),
        (png_claiming(8, 8), "not an image that can be read"),
        (png_claiming(9000, 1), "at most"),
        (png_claiming(8000, 8000), "at most"),
        (png_claiming(2**31 - 1, 2**31 - 1), "too large for a page"),
    ],
)
def test_bad_files_are_refused_in_one_line_that_names_them(tmp_path, content, message):
    path = tmp_path / "bad.png"
    path.write_bytes(content)
    with pytest.raises(UserError, match=message) as caught:
        read_page(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_truncated_image_is_refused(tmp_path):
    path = saved(tmp_path, Image.fromarray(np.tile(GRAY, (20, 20))))
    path.write_bytes(path.read_bytes()[:-400])
    with pytest.raises(UserError, match="not an image that can be read"):
        read_page(path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_an_unreadable_file_is_refused(tmp_path):
    path = saved(tmp_path, Image.fromarray(GRAY))
    path.chmod(0)
    with pytest.raises(UserError, match="cannot be read"):
        read_page(path)
