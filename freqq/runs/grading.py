"""An answer's marks and costs in its row."""

from dataclasses import replace

from freqq.data.grade import grade
from freqq.data.sample import Sample
from freqq.data.transcribe import grade_transcript
from freqq.glm.reader import Answer
from freqq.runs.schema import Row


def after_thinking(text: str) -> str | None:
    """What is graded of a response: all that follows the model's thoughts, if it wrote any, as in Glyph's protocol.

    None if it was cut before its thoughts ended.
    """
    _, ended, said = text.rpartition("</think>")
    return said if ended or "<think>" not in said else None


def graded(row: Row, sample: Sample, answer: Answer) -> Row:
    """A row with the marks of a sample's answer, by its task, and with what the answer cost."""
    found = after_thinking(answer.text)
    said = found or ""
    mark = grade(said, sample.answer, sample.prefix)
    row = replace(
        row,
        score=mark.score,
        exact=mark.exact,
        prefix_ok=mark.prefix_ok,
        first_char_ok=mark.first_char_ok,
    )
    if row.task == "transcribe":
        read = grade_transcript(said, sample.answer)
        row = replace(row, score=read.word_recall, exact=read.cer == 0, cer=read.cer, wer=read.wer)
    return replace(
        row,
        response=answer.text,
        truncated=found is None,
        vision_tokens=answer.vision_tokens,
        prompt_tokens=answer.prompt_tokens,
        new_tokens=answer.new_tokens,
        kv_bytes=answer.kv_bytes,
        prefill_ms=answer.prefill_ms,
        decode_ms_per_token=answer.decode_ms_per_token,
        peak_memory_bytes=answer.peak_memory_bytes,
    )
