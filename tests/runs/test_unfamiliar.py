"""Which pages an embedded model is said not to have learned to read."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freqq.pages.style import font_file
from freqq.runs.options import EvalOptions
from freqq.runs.plan import draw
from freqq.runs.unfamiliar import DPI, unfamiliar


def said(**options: Any) -> str | None:
    settings = EvalOptions(limit=2, **options).settings()
    entries = draw(settings).entries
    return unfamiliar(settings.model, settings.source, settings.rendering, [entry.bare for entry in entries])


@given(dpi=st.floats(40, 300), data=st.sampled_from(["mini", "ruler-mini"]))
def test_small_reads_glyphs_look_at_its_resolutions_alone(dpi: float, data: str) -> None:
    found = said(model="small", data=data, look="glyph", dpi=dpi)
    if DPI[0] <= dpi <= DPI[1]:
        assert found is None
    else:
        assert found is not None
        assert f"{dpi:g} dpi" in found


def test_small_reads_no_other_font_or_size(tmp_path: Path) -> None:
    glyph = {"model": "small", "data": "mini", "look": "glyph", "dpi": 120.0}
    assert "DejaVuSansMono" in (said(**glyph, font=str(font_file("DejaVuSansMono"))) or "")
    for name, size in (("font-size", 10), ("line-height", 12)):
        config = tmp_path / f"{name}.json"
        config.write_text(json.dumps({name: size}))
        assert "9 on 10" in (said(**glyph, config=str(config)) or "")


def test_small_reads_no_large_page(tmp_path: Path) -> None:
    chats = tmp_path / "chats.jsonl"
    chats.write_text(json.dumps({"messages": [{"role": "user", "content": "Hello"}]}) + "\n")
    config = tmp_path / "page.json"
    for size, reads in (("260,190", True), ("261,190", False), ("595,842", False)):
        config.write_text(json.dumps({"page-size": size}))
        assert (said(model="small", data=str(chats), config=str(config), dpi=120.0) is None) == reads


@pytest.mark.parametrize(("model", "look", "strange"), [
    ("tiny", None, False), ("tiny", "glyph", True), ("small", None, True), ("small", "glyph", False),
    ("glyph", None, False), ("glyph", "glyph", False),
])  # fmt: skip
def test_each_embedded_model_has_a_look_of_its_own(model: str, look: str | None, strange: bool) -> None:
    assert (said(model=model, data="mini", look=look) is not None) == strange
