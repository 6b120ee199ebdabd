"""A row from its beginning to an answer's marks and costs."""

from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING

from freqq.data.dataset import DataSet
from freqq.data.responses import take_apart
from freqq.data.sample import Sample
from freqq.data.tasks import TASKS
from freqq.runs.plan import Arm, Identity
from freqq.runs.protocols import OFFICIAL, Protocol
from freqq.runs.schema import Row
from freqq.runs.settings import Settings
from freqq.runs.shard import Shard

if TYPE_CHECKING:
    from freqq.glm.reader import Answer


def blank_row(
    settings: Settings, data: DataSet, identity: Identity, model: str, device: str, shard: Shard, arm: Arm,
    known_as: str, sample: Sample, started: datetime,
) -> Row:  # fmt: skip
    """The row of a sample and an arm, whose config hash is `known_as`, with the marks of a failure."""
    return Row(
        sample_id=sample.id,
        task=data.task,
        needles=sample.needles,
        bin=sample.bin,
        bin_source=sample.bin_source,
        method=arm.name,
        level=arm.level,
        params=arm.params,
        adapter=arm.adapter,
        model=model,
        model_revision=identity.model_revision,
        data=settings.data,
        data_revision=data.revision,
        config_hash=known_as,
        seed=settings.seed,
        shard=str(shard),
        device=device,
        dtype=identity.dtype,
        started_at=started,
        answer=sample.answer,
        **vars(TASKS[data.task].failed),
        subtask=sample.subtask or None,
    )


def failed(row: Row, error: Exception) -> Row:
    """A row with its error in place of an answer."""
    return replace(row, error=f"{type(error).__name__}: {' '.join(str(error).split())}"[:500])


def marked(row: Row, sample: Sample, response: str, protocol: Protocol = OFFICIAL, limited: bool | None = None) -> Row:
    """A row with a response, what was graded of it, and its marks.

    Parameters
    ----------
    limited : bool, optional
        Whether the response ran into the limit of new tokens; None: not known.
    """
    parts = take_apart(response, limited)
    said, wanted = protocol.compared(response, sample.answer)
    row = replace(row, response=response, graded=said, outcome=parts.outcome, truncated=parts.unended)
    return _with_marks(row, replace(sample, answer=wanted), said, protocol)


def _with_marks(row: Row, sample: Sample, said: str, protocol: Protocol) -> Row:
    """The marks of what was cut out of a response, by the sample's task; a protocol has its own grade of MRCR."""
    if row.task == "mrcr":
        return replace(row, **vars(protocol.grade(said, sample.answer, sample.prefix)))
    return replace(row, **vars(TASKS[row.task].grade(sample, said)))


def graded(row: Row, sample: Sample, answer: "Answer", protocol: Protocol = OFFICIAL) -> Row:
    """A row with the marks of a sample's answer, and with what the answer cost."""
    return replace(
        marked(row, sample, answer.text, protocol, answer.truncated),
        vision_tokens=answer.vision_tokens,
        prompt_tokens=answer.prompt_tokens,
        new_tokens=answer.new_tokens,
        kv_bytes=answer.kv_bytes,
        prefill_ms=answer.prefill_ms,
        decode_ms_per_token=answer.decode_ms_per_token,
        peak_memory_bytes=answer.peak_memory_bytes,
        prefill_chunk=answer.prefill_chunk,
    )
