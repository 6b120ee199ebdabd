"""Legibility of a page: the OCR program tesseract's reading compared with the page's text.

Levels of different codecs mean comparable harm: each is the smallest stream of its codec that raises the mean character
error rate of dense English pages in Glyph's default look by at most `HARM`, unless a codec's levels come from a
publication or are all the same.
"""

import os
import shutil
import subprocess
from functools import lru_cache
from io import BytesIO

from PIL import Image

from freqq.data.tasks.base import Marks
from freqq.data.tasks.transcribe import grade_transcript
from freqq.errors import FreqqError, UserError
from freqq.pages.page import Page

HARM = {"ultra_mild": 0.001, "mild": 0.005, "aggressive": 0.02, "extreme": 0.1}
"""The most that a level may add to the character error rate of the original page."""

SCALE = 2
"""Enlargement for tesseract: 9 px letters are too small for it; at twice their size they read like 150 dpi scans."""

TIMEOUT_S = 300


def check_tesseract() -> str:
    """The path of tesseract.

    Raises
    ------
    UserError
        If it is not installed, or lacks English.
    """
    program = shutil.which("tesseract")
    if program is None:
        raise UserError("reading pages back needs tesseract: install it (apt install tesseract-ocr tesseract-ocr-eng)")
    if "eng" not in _languages(program):
        raise UserError("tesseract has no English: install tesseract-ocr-eng")
    return program


def legibility(page: Page, text: str, height: int, width: int) -> Marks:
    """Grade tesseract's reading of a page by `grade_transcript`.

    Parameters
    ----------
    page : Page
        The decoded page; may be smaller than the original.
    text : str
        The page's text.
    height, width : int
        Size of the original page. The page is enlarged to twice this size, so that a lower resolution is judged by lost
        detail and not by tesseract's trouble with small letters.
    """
    return grade_transcript(ocr(page, height, width), text)


def ocr(page: Page, height: int, width: int) -> str:
    """Tesseract's reading of a page, enlarged to twice a height and width, as one block of English text.

    Raises
    ------
    UserError
        If tesseract is not installed.
    FreqqError
        If it fails.
    """
    program = check_tesseract()
    file = BytesIO()
    # BMP: no need to compress a pipe on one machine.
    image = Image.fromarray(page.pixels).resize((width * SCALE, height * SCALE), Image.Resampling.LANCZOS)
    image.save(file, "bmp")
    command = [program, "stdin", "stdout", "-l", "eng", "--psm", "6", "--dpi", str(72 * SCALE)]
    # Pages are read in parallel; threads within one page would only slow each other down.
    environment = os.environ | {"OMP_THREAD_LIMIT": "1"}
    try:
        done = subprocess.run(
            command, input=file.getvalue(), capture_output=True, env=environment, timeout=TIMEOUT_S, check=True
        )
    except subprocess.CalledProcessError as error:
        lines = error.stderr.decode(errors="replace").strip().splitlines()
        raise FreqqError(f"tesseract failed: {lines[-1] if lines else error}") from error
    except subprocess.TimeoutExpired as error:
        raise FreqqError(f"tesseract did not read a page within {TIMEOUT_S} s") from error
    return done.stdout.decode(errors="replace")


@lru_cache(maxsize=4)
def _languages(program: str) -> list[str]:
    return subprocess.run([program, "--list-langs"], capture_output=True, text=True).stdout.split()
