import io

from PIL import Image

from freqq.report.pipeline import pipeline
from freqq.runs.methods import METHODS
from freqq.tokens import COMPRESSORS
from freqq.tokens.prune import Prune


def test_the_drawing_is_a_wide_png_and_the_same_each_time():
    drawn = pipeline()
    image = Image.open(io.BytesIO(drawn))
    assert image.format == "PNG"
    assert image.width > 2 * image.height > 800
    assert pipeline() == drawn


def test_a_method_that_is_added_is_drawn(monkeypatch):
    before = pipeline()
    monkeypatch.setitem(COMPRESSORS, "token-mine", Prune)
    assert "token-mine" in METHODS
    assert pipeline() != before
