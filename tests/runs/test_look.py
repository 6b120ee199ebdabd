"""Chats of mini in Glyph's look: another run than those in mini's own, and rendered at the resolution asked for."""

import pytest

from freqq.errors import UserError
from freqq.report.evaluation import evaluate
from freqq.runs.options import EvalOptions
from freqq.runs.settings import Settings


def test_runs_that_knew_no_look_keep_their_folder_and_settings():
    plain = EvalOptions().settings()
    assert "look" not in plain.as_json()
    assert Settings.from_json(plain.as_json()) == plain
    glyph = EvalOptions(look="glyph", dpi=96).settings()
    assert Settings.from_json(glyph.as_json()) == glyph
    assert glyph.directory() != plain.directory()
    assert "mini-glyph" in str(glyph.directory())


def test_it_is_evaluated_at_any_resolution(tmp_path):
    def rows(dpi: float) -> list[dict]:
        found = evaluate(
            look="glyph", dpi=dpi, method="token-prune", limit=1, max_new_tokens=4, out=tmp_path / f"{dpi}"
        )
        return found.rows.to_pylist()

    coarse, fine = rows(72), rows(120)
    assert {row["data_revision"] for row in coarse + fine} == {"mini-glyph-2"}
    assert all(row["error"] is None for row in coarse + fine)
    assert fine[0]["vision_tokens"] > 2 * coarse[0]["vision_tokens"]
    assert fine[0]["pages"] == coarse[0]["pages"]
    assert fine[0]["config_hash"] != coarse[0]["config_hash"]


def test_other_data_have_no_looks():
    with pytest.raises(UserError, match="--look is for --data mini and ruler-mini, not for ruler"):
        EvalOptions(data="ruler", look="glyph").settings()
