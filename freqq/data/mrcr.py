"""MRCR's official record (`openai/mrcr`) as a `Sample`."""

import json
from collections.abc import Mapping

from freqq.data.sample import Sample, Turn
from freqq.errors import UserError

FIELDS = ("prompt", "answer", "random_string_to_prepend", "n_needles")


def sample_from_record(
    record: Mapping[str, object], sample_id: str, bin: str, style: Mapping[str, float | str | bool] | None = None
) -> Sample:
    """Split a record's message list into the chat that is rendered and the question that stays text.

    Raises
    ------
    UserError
        If a field is missing, or `prompt` is not a JSON list of messages that ends with the user's.
    """
    for field in FIELDS:
        if field not in record:
            raise UserError(f"sample {sample_id}: MRCR field {field!r} is missing")
    try:
        messages = json.loads(str(record["prompt"]))
        turns = tuple(Turn(str(m["role"]), str(m["content"])) for m in messages)
    except (json.JSONDecodeError, TypeError, KeyError) as error:
        raise UserError(f"sample {sample_id}: 'prompt' is not a JSON list of messages ({error})") from error
    if not turns or turns[-1].role != "user":
        raise UserError(f"sample {sample_id}: the last message has to be the user's question")
    return Sample(
        id=sample_id,
        needles=int(str(record["n_needles"])),
        bin=bin,
        turns=turns[:-1],
        question=turns[-1].text,
        answer=str(record["answer"]),
        prefix=str(record["random_string_to_prepend"]),
        style=style or {},
    )
