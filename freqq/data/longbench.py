"""LongBench's records (THUDM/LongBench), and Glyph's files of them, which add an id, a rendering and pages."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from freqq.data.fields import kind, text, texts, value
from freqq.data.glyph import page_files, rendering
from freqq.data.json_values import json_values
from freqq.data.sample import Sample, Turn
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
    if not isinstance(record, dict):
        raise UserError(f"{where}: expected an object, not {kind(record)}")
    dataset = text(record, "dataset", where)
    if dataset.removesuffix("_e") not in FORMS:
        raise UserError(f"{where}: {unknown('LongBench data set', dataset, FORMS)}")
    references = texts(record, "answers", where)
    images = page_files(record.get("image_paths"), path, where)
    shown = text(record, "context", where) if "context" in record or not images else ""
    if not shown and not images:
        raise UserError(f"{where}: 'context' is empty and there are no 'image_paths', so there is nothing to read")
    classes = texts(record, "all_classes", where) if value(record, "all_classes", where) else ()
    return Sample(
        id=_id(record, dataset, place, where),
        needles=0,
        bin="",
        turns=(Turn("", shown),) if shown else (),
        question=ask(dataset, text(record, "input", where)),
        answer=references[0],
        prefix="",
        config=rendering(record.get("config"), where),
        images=images,
        references=references,
        classes=classes,
        subtask=dataset,
    )


def _id(record: dict[str, Any], dataset: str, place: str, where: str) -> str:
    if "unique_id" in record:
        return text(record, "unique_id", where)
    return f"{dataset}-{text(record, '_id', where)}" if "_id" in record else place
