"""An answer's marks and costs in its row."""

from dataclasses import replace
from typing import TYPE_CHECKING

from freqq.data.sample import Sample
from freqq.data.tasks import TASKS
from freqq.runs.schema import Row

if TYPE_CHECKING:
    from freqq.glm.reader import Answer


def after_thinking(text: str) -> str | None:
    """What is graded of a response: all that follows the model's thoughts, if it wrote any, as in Glyph's protocol.

    None if it was cut before its thoughts ended.
    """
    _, ended, said = text.rpartition("</think>")
    return said if ended or "<think>" not in said else None


def marked(row: Row, sample: Sample, text: str) -> Row:
    """A row with a response and its marks, by the sample's task."""
    found = after_thinking(text)
    said = found or ""
    marks = TASKS[row.task].grade(sample, said)
    return replace(row, **vars(marks), response=text, truncated=found is None)


def graded(row: Row, sample: Sample, answer: "Answer") -> Row:
    """A row with the marks of a sample's answer, and with what the answer cost."""
    return replace(
        marked(row, sample, answer.text),
        vision_tokens=answer.vision_tokens,
        prompt_tokens=answer.prompt_tokens,
        new_tokens=answer.new_tokens,
        kv_bytes=answer.kv_bytes,
        prefill_ms=answer.prefill_ms,
        decode_ms_per_token=answer.decode_ms_per_token,
        peak_memory_bytes=answer.peak_memory_bytes,
    )
