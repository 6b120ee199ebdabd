"""RULER's and LongBench's files: NVIDIA's and THUDM's own records, and Glyph's."""

import json
import re
import shutil
import time

import pytest

from freqq.data.load import load
from freqq.data.ruler.generate import SHORTEST, ruler_sample
from freqq.data.sample import context
from freqq.data.tasks import TASKS
from freqq.data.tasks.ruler import FORMS
from freqq.errors import UserError
from freqq.pages.glyph import GlyphConfig
from freqq.runs.rendering import Rendering

NEWLINE = '<font color="#FF0000"> \\n </font>'
"""Glyph's mark in place of line breaks."""


def write(path, *records):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def nvidia(sample, **more):
    """A sample as NVIDIA's generator writes it: the whole prompt, the beginning of the answer apart."""
    instruction, _, rest = sample.question.partition("\n")
    form = FORMS[sample.subtask]
    cut = rest.index(form.answer_prefix[:10])
    between = " " if sample.subtask == "fwe" else "\n"
    return {
        "index": -1,
        "input": f"{instruction}{between}{context(sample)}\n{rest[:cut]}",
        "outputs": list(sample.references),
        "length": 512,
        "answer_prefix": rest[cut:],
    } | more


@pytest.mark.parametrize("subtask", SHORTEST)
def test_nvidias_records_are_taken_apart_into_what_was_put_together(subtask, tmp_path):
    made = [ruler_sample(subtask, 512, 0, i) for i in range(2)]
    path = write(tmp_path / subtask / "validation.jsonl", *map(nvidia, made))
    data = load(path)
    read = list(data.samples())
    assert (data.format, data.task, data.needles) == ("ruler", "ruler", (0,))
    assert [s.id for s in read] == [f"{subtask}-validation-0", f"{subtask}-validation-1"]
    for sample, original in zip(read, made, strict=True):
        assert (sample.question, context(sample)) == (original.question, context(original))
        assert (sample.references, sample.answer) == (original.references, original.answer)
        assert sample.subtask == subtask


@pytest.mark.parametrize("subtask", ["vt", "cwe"])
def test_examples_and_chat_templates_around_a_prompt_are_left_out(subtask, tmp_path):
    sample, example = (ruler_sample(subtask, 512, 0, i) for i in range(2))
    record = nvidia(sample)
    shown = nvidia(example)
    prompt = (
        f"[INST] {shown['input']}{shown['answer_prefix']} one two\n{record['input']} [/INST]{record['answer_prefix']}"
    )
    older = {"index": 0, "input": prompt, "outputs": record["outputs"], "length": 900}
    (read,) = load(write(tmp_path / f"{subtask}.jsonl", older)).samples()
    assert (read.question, context(read), read.id) == (sample.question, context(sample), f"{subtask}-0")


def test_questions_about_documents_need_one_of_their_answers(tmp_path):
    form = FORMS["qa_1"]
    asked = form.question.format(query="Where is it?")
    record = {
        "index": 0,
        "input": f"{form.instruction}\n\nDocument 1:\nIn Rome.\n\n{asked}",
        "outputs": ["Rome", "Roma"],
    }
    (sample,) = load(write(tmp_path / "qa_1" / "test.jsonl", record | {"answer_prefix": " Answer:"})).samples()
    assert (sample.answer, context(sample)) == ("Rome", "Document 1:\nIn Rome.")
    assert sample.question.endswith("Question: Where is it? Answer:")
    assert TASKS["ruler"].grade(sample, "in roma").exact


@pytest.mark.parametrize("subtask", ["qa_1", "niah_single_1", "niah_multivalue", "vt"])
def test_a_long_blank_is_read_at_once(subtask, tmp_path):
    form, fields = FORMS[subtask], {"value": "number", "values": "numbers", "count": 5}
    asked = form.question.format(query="\0", **fields).partition("\0")[0]
    record = {"input": f"{form.instruction.format(**fields)} Text.\n{asked}what{' ' * 1_000_000}x", "outputs": ["1"]}
    begun = time.process_time()
    with pytest.raises(UserError, match="does not hold"):
        load(write(tmp_path / "a.jsonl", record))
    assert time.process_time() - begun < 2


@pytest.mark.parametrize("folder", ["vt", "niah_single_1", "fwe"])
def test_a_folder_of_another_task_does_not_change_how_a_record_is_graded(folder, tmp_path):
    form = FORMS["qa_1"]
    prompt = f"{form.instruction}\n\nDocument 1:\nIn Rome.\n\n{form.question.format(query='Where?')}"
    (sample,) = load(write(tmp_path / folder / "a.jsonl", {"input": prompt, "outputs": ["Rome", "Roma"]})).samples()
    assert sample.subtask == "qa"
    assert TASKS["ruler"].grade(sample, "Rome").score == 1.0


def test_a_folder_of_nvidias_files_is_one_data_set(tmp_path):
    for subtask in ("vt", "niah_single_2"):
        write(
            tmp_path / "512" / subtask / "validation.jsonl", *(nvidia(ruler_sample(subtask, 512, 0, i)) for i in (0, 1))
        )
    data = load(tmp_path)
    assert [s.subtask for s in data.samples()] == ["niah_single_2"] * 2 + ["vt"] * 2
    assert [s.subtask for s in data.with_task("vt").samples(limit=1)] == ["vt"]
    assert len({s.id for s in data.samples()}) == 4
    assert list(data.with_task("cwe").samples()) == []


def glyph(**more):
    return {
        "unique_id": "niah_1", "task_name": "niah_single_1", "context": "One of the special magic numbers\nis 5.",
        "question": "What is it?", "outputs": ["5"], "example": "left out",
        "config": {"dpi": 96, "newline-markup": None},
    } | more  # fmt: skip


def test_glyphs_ruler_is_read_as_it_is(tmp_path):
    (sample,) = load(write(tmp_path / "final.jsonl", glyph())).samples()
    assert (sample.id, sample.subtask, sample.question, sample.answer) == (
        "niah_1",
        "niah_single_1",
        "What is it?",
        "5",
    )
    assert context(sample) == glyph()["context"]
    assert "left out" not in sample.question
    assert Rendering.read(None).of(sample) == GlyphConfig(dpi=96.0)
    (text,) = load(write(tmp_path / "b.jsonl", glyph(outputs="5"))).samples()
    assert text.references == ("5",)


def test_glyphs_pages_need_no_context(tmp_path):
    (tmp_path / "page.png").write_bytes(b"page")
    record = glyph(image_paths=["page.png"])
    del record["context"]
    (sample,) = load(write(tmp_path / "final.jsonl", record)).samples()
    assert [image.name for image in sample.images] == ["page.png"]
    assert sample.turns == ()


def longbench(**more):
    return {
        "input": " Who?\n", "context": "Somebody.\nNobody.", "answers": ["Ada", "Ada Lovelace"], "length": 4,
        "dataset": "qasper", "language": "en", "all_classes": None, "_id": "abc",
    } | more  # fmt: skip


def test_longbench_is_read_from_its_own_records_and_from_glyphs(tmp_path):
    (own,) = load(write(tmp_path / "qasper.jsonl", longbench())).samples()
    data = load(write(tmp_path / "uid.jsonl", longbench(unique_id="qasper_1", config={"newline-markup": NEWLINE})))
    (ofglyph,) = data.samples()
    assert (data.format, data.task) == ("longbench", "longbench")
    assert (own.id, ofglyph.id) == ("qasper-abc", "qasper_1")
    assert own.question == ofglyph.question
    assert own.question.startswith("You are given a scientific article")
    assert own.question.endswith("Question: Who?\n\nAnswer:")
    assert (own.references, own.answer, own.subtask) == (("Ada", "Ada Lovelace"), "Ada", "qasper")
    assert context(own) == "Somebody.\nNobody."
    assert TASKS["longbench"].grade(own, "Lovelace, Ada").score == 1.0


def test_glyphs_newline_mark_stands_in_place_of_line_breaks(tmp_path):
    marked = next(load(write(tmp_path / "a.jsonl", longbench(config={"newline-markup": NEWLINE}))).samples())
    usual = next(load(write(tmp_path / "b.jsonl", longbench(config={"newline-markup": None}))).samples())
    [with_mark], [without] = (list(Rendering.read(None).pages(s)) for s in (marked, usual))
    assert len(without.text.split("\n")) == 2
    assert len(with_mark.text.split("\n")) == 1
    assert "\\n" in with_mark.text
    red = with_mark.pixels.reshape(-1, 3) if with_mark.pixels.ndim == 3 else None
    assert red is not None
    assert ((red[:, 0] > 200) & (red[:, 1] < 100)).any()


def test_classes_are_kept_and_several_data_sets_are_told_apart(tmp_path):
    records = longbench(dataset="trec", all_classes=["Date", "Person"], answers=["Date"]), longbench(dataset="lcc_e")
    data = load(write(tmp_path / "some.jsonl", *records))
    trec, lcc = data.samples()
    assert (trec.classes, lcc.classes) == (("Date", "Person"), ())
    assert lcc.subtask == "lcc_e"
    assert [s.subtask for s in data.with_task("trec").samples()] == ["trec"]
    assert [s.answer for s in data.with_task("transcribe").samples()] == ["Somebody.\nNobody."] * 2


@pytest.mark.parametrize(
    ("record", "message"),
    [
        (glyph(task_name="niah_singel_1"), "line 1: unknown RULER task 'niah_singel_1': did you mean 'niah_single_1'"),
        (glyph(outputs=[]), "field 'outputs' has to be a list of texts"),
        (glyph(outputs=["a"] * 20_000), "field 'outputs' has 20,000 texts"),
        (glyph(context=""), "nothing to read"),
        (glyph(unique_id=7), "field 'unique_id' has to be text, not a number"),
        ({"input": "Say something.", "outputs": ["a"]}, "does not hold the instruction and the question"),
        ({"input": 5, "outputs": ["a"]}, "field 'input' has to be text"),
        (longbench(dataset="qaspr"), "unknown LongBench data set 'qaspr': did you mean 'qasper'"),
        (longbench(answers=None), "field 'answers' has to be a list of texts"),
        (longbench(context=None), "field 'context' has to be text, not null"),
        (longbench(image_paths=["no.png"]), "there is no page 'no.png'"),
    ],
)
def test_damaged_records_are_named_in_one_line(record, message, tmp_path):
    with pytest.raises(UserError, match=re.escape(message)) as found:
        load(write(tmp_path / "some.jsonl", record))
    assert "some.jsonl, line 1" in str(found.value)
    assert "\n" not in str(found.value)


def test_what_does_not_fit_is_refused(tmp_path):
    data = load(write(tmp_path / "some.jsonl", longbench()))
    with pytest.raises(UserError, match=r"--task niah_single_1: .* use --task transcribe or --task longbench"):
        data.with_task("niah_single_1")
    with pytest.raises(UserError, match="--context is for data that are made"):
        data.with_context(4096)
    empty = tmp_path / "empty.jsonl"
    empty.write_text("")
    with pytest.raises(UserError, match="is empty"):
        load(empty)


def test_a_renamed_file_is_still_told_by_its_content(tmp_path):
    shutil.copy(write(tmp_path / "some.jsonl", glyph()), tmp_path / "unnamed")
    assert load(tmp_path / "unnamed").format == "ruler"
