"""Several questions behind one set of pages say what each of them says alone."""

from dataclasses import replace

import pytest
import torch

from freqq.adapt.lessons import Lesson, Question, mini_courses
from freqq.adapt.packing import IGNORED, PADDING, Packed, attention
from freqq.adapt.student import Student
from freqq.glm.adapter import Adapter
from freqq.glm.adapter_card import AdapterCard
from freqq.glm.load import load_reader
from freqq.tokens import compressor
from freqq.tokens.base import TokenCompressor
from freqq.tokens.grid import whole
from freqq.tokens.learnable import learnable

METHODS = [None, "token-lowpass", "token-prune", "token"]


def card(revision: str, **changes: object) -> AdapterCard:
    base = AdapterCard("token-lowpass", ("mild",), (), "tiny", revision, "both", 4, "mini", "mini-1", 0)
    return replace(base, **changes)


@pytest.fixture(scope="module")
def student() -> Student:
    reader = load_reader("tiny", dtype="float32")
    return Student(Adapter(reader, card(reader.revision)), first_weight=3.0)


@pytest.fixture(scope="module")
def lessons() -> list[Lesson]:
    course = mini_courses(seed=5, questions=3, held_out_size=1).train
    return [course(i) for i in range(3)]


def logits(student: Student, lessons: list[Lesson], method: TokenCompressor | None) -> tuple[torch.Tensor, Packed]:
    with torch.no_grad():
        grids = student.merged(student.see(lessons))
        pages = [learnable(method, grid) if method else whole(grid) for grid in grids]
        packed = student.pack(lessons, pages)
        return student.logits(packed, pages), packed


def alone(lesson: Lesson) -> list[Lesson]:
    return [replace(lesson, questions=(question,)) for question in lesson.questions]


@pytest.mark.parametrize("name", METHODS)
def test_packed_questions_are_read_as_if_alone(student: Student, lessons: list[Lesson], name: str | None) -> None:
    method = compressor(name).at("mild") if name else None
    together, packed = logits(student, lessons, method)
    apart = [logits(student, [one], method)[0] for lesson in lessons for one in alone(lesson)]
    assert len(together) == int((packed.labels != IGNORED).sum())
    assert torch.allclose(together, torch.cat(apart), atol=1e-3, rtol=1e-3)


def test_labels_are_the_answers_and_their_ends(student: Student, lessons: list[Lesson]) -> None:
    _, packed = logits(student, lessons, None)
    tokenizer = student.adapter.reader.tokenizer
    for row, lesson in enumerate(lessons):
        for number, question in enumerate(lesson.questions, 1):
            mine = (packed.block[row] == number) & (packed.labels[row] != IGNORED)
            *ids, end = packed.labels[row][mine].tolist()
            assert tokenizer.decode(ids) == question.answer
            assert end == tokenizer.eos_token_id
            # A column is told the token that stands behind it.
            at = torch.nonzero(mine).flatten()[:-1]
            assert packed.input_ids[row][at + 1].tolist() == ids


def test_the_first_token_behind_the_random_string_weighs_more(student: Student, lessons: list[Lesson]) -> None:
    _, packed = logits(student, lessons[:1], None)
    told = packed.labels[0] != IGNORED
    for number, question in enumerate(lessons[0].questions, 1):
        weights = packed.weights[0][told & (packed.block[0] == number)].tolist()
        heavy = [i for i, weight in enumerate(weights) if weight != 1.0]
        assert heavy == [len(question.prefix)]
        assert weights[heavy[0]] == 3.0


def test_padding_is_read_by_nobody_and_learns_nothing(student: Student, lessons: list[Lesson]) -> None:
    _, packed = logits(student, lessons, None)
    padding = packed.block == PADDING
    assert padding.any()
    seen = attention(packed.block)[:, 0]
    assert not (seen & padding[:, None, :] & ~padding[:, :, None]).any()
    assert seen.diagonal(dim1=1, dim2=2).all(), "a row that sees nothing would be NaN"
    assert (packed.labels[padding] == IGNORED).all()
    assert (packed.weights[padding] == 0).all()


def test_the_shipped_model_knows_its_training_lessons(student: Student, lessons: list[Lesson]) -> None:
    """So sequences, positions and labels are those that it was trained with."""
    with torch.no_grad():
        assert float(student(lessons, None)["token"]) > 0.9
        assert float(student(lessons, compressor("token-lowpass").at("mild"))["token"]) < 0.8


def test_an_answer_without_a_random_string_weighs_its_first_token(student: Student, lessons: list[Lesson]) -> None:
    lesson = replace(lessons[0], questions=(Question("what?", "that.", ""),))
    _, packed = logits(student, [lesson], None)
    assert packed.weights[0][packed.labels[0] != IGNORED].tolist() == [3.0, 1.0, 1.0, 1.0, 1.0, 1.0]
