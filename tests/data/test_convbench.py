"""ConvBench's workbook: column names and files that mean harm."""

from zipfile import ZIP_DEFLATED, ZipFile

import openpyxl
import pytest

from freqq.data import convbench
from freqq.data.convbench import convbench_samples, find_columns
from freqq.errors import UserError
from tests.data.conftest import FILES

SIX = [(role, turn) for turn in (1, 2, 3) for role in ("user", "assistant")]
ROW = ["one?", "1", "two?", "2", "three?", "3"]


def workbook(path, *rows):
    book = openpyxl.Workbook()
    for row in rows:
        book.active.append(row)
    book.save(path)
    return path


@pytest.mark.parametrize(
    "names",
    [
        ["The_first_turn_instruction", "first_turn_answer", "The_second_turn_instruction", "second_turn_answer",
         "The_third_turn_instruction", "third_turn_answer"],
        ["instruction_1", "reference_1", "instruction_2", "reference_2", "instruction_3", "reference_3"],
        ["Instruction 1", "Answer 1", "Instruction 2", "Answer 2", "Instruction 3", "Answer 3"],
        ["question1", "answer1", "question2", "answer2", "question3", "answer3"],
    ],
)  # fmt: skip
def test_columns_are_found_by_what_their_names_say(names):
    assert find_columns(names) == ({place: i for i, place in enumerate(SIX)}, "")
    around = ["ID", None, 7, "First_turn_instruction_category", *names, "third_turn_demands", "instruction_category"]
    assert find_columns(around) == ({place: i + 4 for i, place in enumerate(SIX)}, "")
    for i, (role, turn) in enumerate(SIX):
        kind = "instruction" if role == "user" else "answer"
        assert find_columns(names[:i] + names[i + 1 :])[1] == f"{kind}_{turn}"


def test_a_missing_column_is_named(tmp_path):
    path = workbook(tmp_path / "a.xlsx", ["instruction_1", "instruction_2"], ["a", "b"])
    with pytest.raises(UserError, match=r"a.xlsx is not ConvBench: sheet 'Sheet' has no column 'answer_1'"):
        list(convbench_samples(path, "a"))


def test_a_missing_instruction_is_named_and_blank_rows_are_not_chats(tmp_path):
    names = ["instruction_1", "answer_1", "instruction_2", "answer_2", "instruction_3", "answer_3"]
    path = workbook(tmp_path / "a.xlsx", names, ROW, [None] * 6, [*ROW[:5], None])
    assert [s.id for s in convbench_samples(path, "a")] == ["a-2", "a-4"]
    path = workbook(path, names, ROW, [*ROW[:2], None, *ROW[3:]])
    with pytest.raises(UserError, match="row 3: the instruction of turn 2 is empty"):
        list(convbench_samples(path, "a"))


def replaced(tmp_path, part, data):
    """The sample workbook with one of its parts replaced."""
    path = tmp_path / "bomb.xlsx"
    with ZipFile(FILES / "convbench_short_names.xlsx") as good, ZipFile(path, "w", ZIP_DEFLATED) as bad:
        for name in good.namelist():
            bad.writestr(name, data if name == part else good.read(name))
    return path


def test_a_zip_bomb_is_not_unpacked(tmp_path, monkeypatch):
    monkeypatch.setattr(convbench, "MOST_BYTES", 10_000_000)
    path = replaced(tmp_path, "xl/sharedStrings.xml", b" " * 20_000_000)
    assert path.stat().st_size < 100_000
    with pytest.raises(UserError, match="unpacks to 20,"):
        list(convbench_samples(path, "a"))


def test_entities_are_not_multiplied(tmp_path):
    entities = "".join(f'<!ENTITY e{i} "{f"&e{i - 1};" * 10 if i else "laugh " * 10}">' for i in range(12))
    shared = f'<?xml version="1.0"?><!DOCTYPE sst [{entities}]><sst xmlns="a"><si><t>&e11;</t></si></sst>'
    with pytest.raises(UserError, match="not a whole xlsx workbook"):
        list(convbench_samples(replaced(tmp_path, "xl/sharedStrings.xml", shared.encode()), "a"))


@pytest.mark.parametrize(
    "part", ["xl/workbook.xml", "xl/sharedStrings.xml", "xl/worksheets/sheet1.xml", "[Content_Types].xml"]
)
@pytest.mark.parametrize("data", [b"", b"<broken", b"<other/>"])
def test_damaged_parts_are_one_line(tmp_path, part, data):
    with pytest.raises(UserError, match=r"bomb\.xlsx") as found:
        list(convbench_samples(replaced(tmp_path, part, data), "a"))
    assert "\n" not in str(found.value)
