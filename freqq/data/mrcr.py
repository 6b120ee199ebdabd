"""MRCR's official record (`openai/mrcr`) as a `Sample`."""

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from freqq.data.fields import bounded, kind, text, value
from freqq.data.messages import turns
from freqq.data.sample import Sample
from freqq.errors import UserError

FIELDS = ("prompt", "answer", "random_string_to_prepend", "n_needles")

MOST_NEEDLES = 64


def sample_from_record(
    record: Mapping[str, Any],
    sample_id: str,
    bin: str,
    style: Mapping[str, float | str | bool] | None = None,
    where: str = "",
) -> Sample:
    """Split a record's message list into the chat that is rendered and the question that stays text.

    Errors begin with `where` the record stands, or else with its id.

    Raises
    ------
    UserError
        If a field is missing or of another type, or `prompt` is not a JSON list of messages that ends with the user's.
    """
    where = where or f"sample {sample_id}"
    needles = needles_of(record, where)
    prompt = value(record, "prompt", where)
    try:
        messages = json.loads(bounded(prompt, where)) if isinstance(prompt, str) else prompt
    except (ValueError, RecursionError) as error:
        raise UserError(f"{where}: 'prompt' is not a JSON list of messages ({error})") from error
    chat = turns(messages, f"{where}, 'prompt'")
    if not chat or chat[-1].role != "user":
        raise UserError(f"{where}: the last message has to be the user's question")
    return Sample(
        id=sample_id,
        needles=needles,
        bin=bin,
        turns=chat[:-1],
        question=chat[-1].text,
        answer=text(record, "answer", where),
        prefix=text(record, "random_string_to_prepend", where),
        style=style or {},
    )


def needles_of(record: Mapping[str, Any], where: str) -> int:
    """How many needles a record says that its chat hides."""
    found = value(record, "n_needles", where)
    if isinstance(found, bool) or not isinstance(found, int) or not 0 < found <= MOST_NEEDLES:
        shown = found if isinstance(found, int) else kind(found)
        raise UserError(f"{where}: field 'n_needles' has to be a number from 1 to {MOST_NEEDLES}, not {shown}")
    return found


def samples(records: Iterable[tuple[str, Any]], needles: int | None) -> Iterator[Sample]:
    """The records of one needle count (or all) as samples.

    Their ids are ``2needle-0``, ``2needle-1`` and so on, counted within a needle count in the order of the files: the
    same from the hub, from its files or from a copy in another format.
    """
    counts: dict[int, int] = {}
    for where, record in records:
        if not isinstance(record, Mapping):
            raise UserError(f"{where}: expected an object, not {kind(record)}")
        found = needles_of(record, where)
        index = counts[found] = counts.get(found, -1) + 1
        if needles in (None, found):
            yield sample_from_record(record, f"{found}needle-{index}", "", where=where)
