"""Tables on standard output."""

import pytest
from rich.console import Console

from freqq.cli.printing import fitting

COLUMNS = ("page", "pixels", "file", "PNG", "stream", "PSNR dB", "SSIM", "tokens")
ROWS = [
    ("page-0001", "280x196", "2,122", "2,054", "6,519", "67.2", "1.0000", "70"),
    (
        "a-page-of-a-much-longer-name",
        "1,280x1,960",
        "1,202,122",
        "954,054",
        "1,416,519",
        "7.25",
        "1.0",
        "9",
    ),
]
LAST = ("mean of 2", "", "602,122", "478,054", "711,519", "37.2", "0.9999", "39.5")


@pytest.mark.parametrize("width", [30, 40, 60, 80, 140])
@pytest.mark.parametrize("last", [None, LAST])
def test_a_table_never_cuts_a_number_or_loses_its_first_column(width, last):
    found = list(fitting(COLUMNS, ROWS, last, width))
    console = Console(width=width)
    with console.capture() as capture:
        for table in found:
            console.print(table)
    lines = capture.get().splitlines()
    assert max(map(len, lines)) <= width
    assert "…" not in capture.get()
    words = capture.get().split()
    for cell in (cell for row in (COLUMNS, *ROWS, *([last] if last else [])) for cell in row[1:]):
        assert set(cell.split()) <= set(words)
    assert words.count("page-0001") == len(found)
    assert len(found) == 1 if width == 140 else len(found) > 1
