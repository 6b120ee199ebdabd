"""What a run is asked to do."""

from dataclasses import replace
from pathlib import Path

import pytest

from freqq.errors import UserError
from freqq.runs.settings import Settings


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"needles": (3,)}, "2, 4, 8"),
        ({"levels": ("mld",)}, "did you mean 'mild'"),
        ({"data": "mimi"}, "did you mean 'mini'"),
        ({"dtype": "float31"}, "did you mean 'float32'"),
        ({"limit": 0}, "--limit"),
        ({"protocol": "glyf"}, "did you mean 'glyph'"),
        ({"attention": "flash_attention"}, "did you mean 'flash_attention_2'"),
        ({"quantization": "int4"}, "did you mean 'int8'"),
        ({"max_new_tokens": 0}, "--max-new-tokens"),
        ({"methods": ("token", "token")}, "twice"),
        ({"levels": ()}, "at least one"),
    ],
)
def test_wrong_values_are_refused_with_the_way_out(wrong, message):
    with pytest.raises(UserError, match=message) as caught:
        Settings(**wrong)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "other",
    [{"seed": 1}, {"skip_bad": True}, {"levels": ("mild",)}, {"overrides": (("bits", "8,4,2"),)}, {"baseline": False}],
)
def test_the_directory_follows_the_settings(other):
    assert Settings().directory() == Settings(limit=7).directory()
    assert Settings().directory() != replace(Settings(), **other).directory()


def test_the_directory_has_a_readable_name_and_stays_under_runs():
    name = Settings(model="../some where/model", levels=("mild", "extreme")).directory()
    assert name.parent == Path("runs")
    assert name.name.startswith("mini-2needle_model_token_mild+extreme_s0_")
    assert len(Settings(model="x" * 500).directory().name) < 200


def test_a_model_folder_is_the_same_from_everywhere(tmp_path, monkeypatch):
    (tmp_path / "model").mkdir()
    monkeypatch.chdir(tmp_path)
    assert Settings(model="model").as_json() == Settings(model=str(tmp_path / "model")).as_json()


def test_a_protocol_sets_the_longest_response_unless_the_user_does():
    assert Settings().new_tokens == 64
    assert Settings(protocol="glyph").new_tokens == 8192
    old = {name: value for name, value in Settings(limit=3).as_json().items() if name != "protocol"}
    assert Settings.from_json(old | {"generation": "greedy"}) == Settings(limit=3)
    assert Settings.from_json(old | {"generation": "glyph"}) == Settings(limit=3, protocol="glyph")
    assert Settings(protocol="glyph", max_new_tokens=9).new_tokens == 9
