"""Records of the suites RULER and LongBench, in their published form and in Glyph's.

NVIDIA's ``validation.jsonl`` of RULER has `index`, `input` (the whole prompt), `outputs`, `length`, and since 2025
`answer_prefix`. Few-shot examples before the question are omitted, as in Glyph's evaluation. Glyph's files add
`unique_id`, `config` and `image_paths`, and for RULER separate `task_name`, `context` and `question`.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from freqq.data.fields import Record, as_object, text, texts, value
from freqq.data.glyph import page_fields
from freqq.data.json_values import json_values
from freqq.data.sample import Sample, Turn
from freqq.data.tasks import longbench
from freqq.data.tasks.ruler import FORMS, Form, answer, is_any
from freqq.errors import UserError
from freqq.names import unknown


def is_ruler(record: object) -> bool:
    """Whether a record is one of RULER's."""
    return isinstance(record, dict) and ("outputs" in record and ("input" in record or "task_name" in record))


def ruler_samples(path: Path, label: str) -> Iterator[Sample]:
    """The records of a file. Ids are `unique_id`, or sub-task, file and position: `index` is not unique.

    The sub-task of NVIDIA's records is named by the file or a folder, if their prompt is of its kind.

    Raises
    ------
    UserError
        With file and line, if a field is missing or has the wrong type, the sub-task is unknown, or `input` does not
        contain RULER's instruction and question.
    """
    for index, item in enumerate(json_values(path)):
        where = f"{path}, line {item.line}"
        record = as_object(item.value, where)
        if "task_name" in record:
            yield _ruler_of_glyph(record, path, where)
        else:
            yield _ruler_of_nvidia(record, path, f"{label}-{index}", where)


def _ruler_of_glyph(record: Record, path: Path, where: str) -> Sample:
    subtask = text(record, "task_name", where)
    if subtask not in FORMS:
        raise UserError(f"{where}: {unknown('RULER task', subtask, FORMS)}")
    references = texts(record, "outputs", where)
    return Sample(
        id=text(record, "unique_id", where),
        question=text(record, "question", where),
        answer=answer(references, is_any(subtask)),
        **page_fields(record, path, where),
        references=references,
        subtask=subtask,
    )


def _ruler_of_nvidia(record: Record, path: Path, place: str, where: str) -> Sample:
    prompt = text(record, "input", where)
    prefix = text(record, "answer_prefix", where) if "answer_prefix" in record else ""
    kind_of_task, parts = _parts(prompt, prefix, where)
    places = (path.stem, *reversed(path.parts[:-1]))
    named = [name for name in places if name in FORMS and name.startswith(kind_of_task)]
    subtask = named[0] if named else kind_of_task
    references = texts(record, "outputs", where)
    return Sample(
        id=place if subtask in place else f"{subtask}-{place}",
        turns=(Turn("", parts.context),),
        question=f"{parts.instruction}\n{parts.question}{parts.answer_prefix}",
        answer=answer(references, is_any(subtask)),
        references=references,
        subtask=subtask,
    )


@dataclass(frozen=True)
class _Parts:
    instruction: str
    context: str
    question: str
    answer_prefix: str


_FIELD = {"query": r"[^\n]{1,500}?(?<=\S)"}
"""It ends with something visible: if it could end anywhere in white space, a long blank would be read 500 times."""
_OTHER_FIELD = r"\w{1,20}"
_END = r"(?=\s*?\n|\s*+(?:Answer:|\Z))"
"""What follows a question that ends with its query."""


def _pattern(template: str) -> re.Pattern[str]:
    """A pattern for a filled-in template, with any white space; no long blank makes it search for long."""
    parts = re.split(r"{(\w+)}", template)
    texts = [r"\s++".join(map(re.escape, re.split(r"\s+", part))) for part in parts[::2]]
    fields = [_FIELD.get(name, _OTHER_FIELD) for name in parts[1::2]]
    pattern = "".join(text + field for text, field in zip(texts, [*fields, ""], strict=True))
    return re.compile(pattern if texts[-1] else pattern + _END)


_KINDS: dict[str, tuple[Form, re.Pattern[str], re.Pattern[str]]] = {
    name: (FORMS[like], _pattern(FORMS[like].instruction), _pattern(FORMS[like].question))
    for name, like in {
        "niah": "niah_single_1", "niah_many": "niah_multivalue", "vt": "vt", "cwe": "cwe", "fwe": "fwe", "qa": "qa_1",
    }.items()
}  # fmt: skip
"""Each form with the patterns of its instruction and its question."""


def _parts(prompt: str, answer_prefix: str, where: str) -> tuple[str, _Parts]:
    """Split a prompt. What a chat template or few-shot examples add around it is dropped."""
    for name, (form, instruction, question) in _KINDS.items():
        first = _last(instruction, prompt, 0)  # few-shot examples come before
        last = None if first is None else _last(question, prompt, first.end())
        if first is None or last is None:
            continue
        begins = prompt.find(form.answer_prefix[:10].strip(), last.end())
        return name.removesuffix("_many"), _Parts(
            first.group(),
            prompt[first.end() : last.start()].strip(),
            last.group(),
            f" {prompt[begins:]}" if begins >= 0 else answer_prefix,
        )
    raise UserError(f"{where}: 'input' does not hold the instruction and the question of a RULER task")


def _last(pattern: re.Pattern[str], text: str, start: int) -> re.Match[str] | None:
    found = None
    for match in pattern.finditer(text, start):
        found = match
    return found


FIELDS = ("input", "context", "answers", "all_classes", "dataset")


def longbench_samples(path: Path, label: str) -> Iterator[Sample]:
    """The records of a file. Ids are `unique_id`, else data set and `_id`, else file and position.

    Raises
    ------
    UserError
        With file and line, if a field is missing or has the wrong type, or the data set is unknown.
    """
    for index, item in enumerate(json_values(path)):
        yield _longbench_sample(item.value, path, f"{label}-{index}", f"{path}, line {item.line}")


def _longbench_sample(record: object, path: Path, place: str, where: str) -> Sample:
    record = as_object(record, where)
    dataset = text(record, "dataset", where)
    if dataset.removesuffix("_e") not in longbench.FORMS:
        raise UserError(f"{where}: {unknown('LongBench data set', dataset, longbench.FORMS)}")
    references = texts(record, "answers", where)
    classes = texts(record, "all_classes", where) if value(record, "all_classes", where) else ()
    return Sample(
        id=_id(record, dataset, place, where),
        question=longbench.ask(dataset, text(record, "input", where)),
        answer=references[0],
        **page_fields(record, path, where),
        references=references,
        classes=classes,
        subtask=dataset,
    )


def _id(record: Record, dataset: str, place: str, where: str) -> str:
    if "unique_id" in record:
        return text(record, "unique_id", where)
    return f"{dataset}-{text(record, '_id', where)}" if "_id" in record else place
