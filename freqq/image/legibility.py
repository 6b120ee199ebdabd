"""How well a page can still be read: by the OCR program tesseract, against the page's own text.

The levels of the codecs mean comparable harm: each is the smallest stream of its codec that raises the mean character
error rate of dense pages of English in Glyph's default look by no more than `HARM` says, except where a codec's levels
are those of a publication or its only ones.
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
"""What a level may add to the character error rate of the page as it was."""

SCALE = 2
"""Letters of 9 px are too small for tesseract: it reads them at twice their size, as well as scans of 150 dpi."""

TIMEOUT_S = 300


def check_tesseract() -> str:
    """The program's path.

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
    """How well tesseract reads a page back, as `grade_transcript` marks it.

    Parameters
    ----------
    page : Page
        As decoded; it may be smaller than the page was.
    text : str
        What the page shows.
    height, width : int
        Of the page as it was. It is read at twice this size however small it is now, so that a lower resolution is
        judged by what it has lost, and not by what tesseract makes of small letters.
    """
    return grade_transcript(ocr(page, height, width), text)


def ocr(page: Page, height: int, width: int) -> str:
    """The text of a page as tesseract reads it, enlarged to twice a height and width: one block of English.

    Raises
    ------
    UserError
        If tesseract is not installed.
    FreqqError
        If it fails.
    """
    program = check_tesseract()
    file = BytesIO()
    # Windows' bitmaps: nothing is compressed between two programs on one machine.
    image = Image.fromarray(page.pixels).resize((width * SCALE, height * SCALE), Image.Resampling.LANCZOS)
    image.save(file, "bmp")
    command = [program, "stdin", "stdout", "-l", "eng", "--psm", "6", "--dpi", str(72 * SCALE)]
    # Pages are read side by side; threads within one only wait for each other.
    environment = os.environ | {"OMP_THREAD_LIMIT": "1"}
    try:
        done = subprocess.run(
            command, input=file.getvalue(), capture_output=True, env=environment, timeout=TIMEOUT_S, check=True
        )
    except subprocess.CalledProcessError as error:
        said = error.stderr.decode(errors="replace").strip().splitlines()
        raise FreqqError(f"tesseract failed: {said[-1] if said else error}") from error
    except subprocess.TimeoutExpired as error:
        raise FreqqError(f"tesseract did not read a page within {TIMEOUT_S} s") from error
    return done.stdout.decode(errors="replace")


@lru_cache(maxsize=4)
def _languages(program: str) -> list[str]:
    return subprocess.run([program, "--list-langs"], capture_output=True, text=True).stdout.split()
