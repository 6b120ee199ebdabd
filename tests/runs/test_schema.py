"""Rows and their columns."""

from datetime import UTC, datetime

import pyarrow as pa
import pytest

from freqq.runs.schema import SCHEMA, Row, from_table, to_table

DESIGN = (
    "sample_id task needles bin method level params model model_revision data data_revision config_hash seed shard "
    "score exact prefix_ok first_char_ok response answer error density page_hash pages page_pixels image_bytes_raw "
    "image_bytes vision_tokens_full vision_tokens token_bytes_raw token_bytes prompt_tokens new_tokens kv_bytes "
    "render_ms encode_ms decode_ms vision_ms compress_ms prefill_ms decode_ms_per_token peak_memory_bytes device dtype "
    "started_at "
    "bin_source cer wer truncated adapter graded outcome subtask vision_pass_pages prefill_chunk token_bytes_pages"
).split()
"""The design's, and what telling bins, grading transcripts, taking responses apart, suites and counting sizes add."""


def make_row(**columns: object) -> Row:
    values: dict[str, object] = {
        "sample_id": "s-0", "task": "mrcr", "needles": 2, "bin": "mini", "method": "token", "level": "mild",
        "params": "{}", "model": "tiny", "model_revision": "r", "data": "mini", "data_revision": "mini-1",
        "config_hash": "h", "seed": 0, "shard": "0/1", "device": "cpu", "dtype": "float32",
        "started_at": datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC), "answer": "a",
    }  # fmt: skip
    return Row(**(values | columns))  # type: ignore[arg-type]


def test_the_columns_are_those_of_the_design():
    assert sorted(SCHEMA.names) == sorted(DESIGN)


def test_rows_survive_a_table():
    rows = [make_row(), make_row(sample_id="s-1", score=0.5, response="é\n", error=None, kv_bytes=2**40, density=0.25)]
    assert from_table(to_table(rows)) == rows


def test_what_was_not_measured_is_null_and_keys_never_are():
    table = to_table([make_row(error="ValueError: no")])
    assert table["kv_bytes"].null_count == 1
    assert not SCHEMA.field("sample_id").nullable
    assert not SCHEMA.field("score").nullable
    with pytest.raises((pa.ArrowInvalid, pa.ArrowTypeError)):
        to_table([make_row(needles="two")])
