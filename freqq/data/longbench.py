"""LongBench's records (THUDM/LongBench), and Glyph's files of them, which add an id, a rendering and pages."""

from collections.abc import Iterator
from pathlib import Path

from freqq.data.fields import Record, as_object, text, texts, value
from freqq.data.glyph import shown
from freqq.data.json_values import json_values
from freqq.data.sample import Sample
from freqq.data.tasks.longbench import FORMS, ask
from freqq.errors import UserError
from freqq.names import unknown

FIELDS = ("input", "context", "answers", "all_classes", "dataset")


def is_longbench(record: object) -> bool:
    """Whether a record is one of LongBench's."""
    return isinstance(record, dict) and sum(field in record for field in FIELDS) >= 4


def longbench_samples(path: Path, label: str) -> Iterator[Sample]:
    """The records of a file. Ids are `unique_id`, else the data set and `_id`, else the file and the place in it.

    Raises
    ------
    UserError
        With file and line, if a field is missing or of another type, or the data set is unknown.
    """
    for index, item in enumerate(json_values(path)):
        yield _sample(item.value, path, f"{label}-{index}", f"{path}, line {item.line}")


def _sample(record: object, path: Path, place: str, where: str) -> Sample:
    record = as_object(record, where)
    dataset = text(record, "dataset", where)
    if dataset.removesuffix("_e") not in FORMS:
        raise UserError(f"{where}: {unknown('LongBench data set', dataset, FORMS)}")
    references = texts(record, "answers", where)
    classes = texts(record, "all_classes", where) if value(record, "all_classes", where) else ()
    return Sample(
        id=_id(record, dataset, place, where),
        question=ask(dataset, text(record, "input", where)),
        answer=references[0],
        **shown(record, path, where),
        references=references,
        classes=classes,
        subtask=dataset,
    )


def _id(record: Record, dataset: str, place: str, where: str) -> str:
    if "unique_id" in record:
        return text(record, "unique_id", where)
    return f"{dataset}-{text(record, '_id', where)}" if "_id" in record else place
