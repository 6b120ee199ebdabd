"""Several questions behind one set of pages say what each of them says alone."""

from dataclasses import replace

import pytest
import torch

from freqq.adapt.compressors import learnable
from freqq.adapt.packing import IGNORED, Packed
from freqq.adapt.student import Student, by_example
from freqq.adapt.training_data import Example, Question, mini_data
from freqq.glm.adapter import Adapter
from freqq.glm.adapter_card import AdapterCard
from freqq.glm.load import load_reader
from freqq.tokens import compressor
from freqq.tokens.base import TokenCompressor
from freqq.tokens.grid import whole

METHODS = [None, "token-lowpass", "token-prune", "token"]


def card(revision: str, **changes: object) -> AdapterCard:
    base = AdapterCard("token-lowpass", ("mild",), (), "tiny", revision, "both", 4, "mini", "mini-1", 0)
    return replace(base, **changes)


@pytest.fixture(scope="module")
def student() -> Student:
    reader = load_reader("tiny", dtype="float32")
    return Student(Adapter(reader, card(reader.revision)), first_weight=3.0)


@pytest.fixture(scope="module")
def examples() -> list[Example]:
    examples = mini_data(seed=5, questions=3, held_out_size=1).train
    return [examples(i) for i in range(3)]


def logits(student: Student, examples: list[Example], method: TokenCompressor | None) -> tuple[torch.Tensor, Packed]:
    with torch.no_grad():
        grids = student.merged(student.see(examples))
        pages = by_example(examples, [learnable(method, grid) if method else whole(grid) for grid in grids])
        packed = student._packer.pack(examples, pages)
        return student.logits(packed, pages), packed


def alone(example: Example) -> list[Example]:
    return [replace(example, questions=(question,)) for question in example.questions]


@pytest.mark.parametrize("name", METHODS)
def test_questions_about_the_same_pages_are_read_as_if_alone(
    student: Student, examples: list[Example], name: str | None
) -> None:
    method = compressor(name).at("mild") if name else None
    together, packed = logits(student, examples, method)
    apart = [logits(student, [one], method)[0] for example in examples for one in alone(example)]
    assert len(together) == int((packed.labels != IGNORED).sum())
    assert torch.allclose(together, torch.cat(apart), atol=1e-3, rtol=1e-3)


def test_a_question_is_read_as_the_reader_reads_it(student: Student, examples: list[Example]) -> None:
    """The logits are those of one pass over the sequence that `Reader.answer` builds, and of its greedy answer."""
    method = compressor("token-prune").at("ultra_mild")
    example = alone(examples[0])[0]
    found, packed = logits(student, [example], method)
    reader = student.adapter.reader
    pages = [method.compress(grid) for grid in reader.see(example.pages)]
    answer = reader.answer(example.questions[0].text, pages, 64)
    right = found.argmax(-1) == packed.labels[packed.labels != IGNORED]
    agreed = int(right.int().cumprod(0).sum())
    ids = reader.tokenizer(example.questions[0].answer)["input_ids"]
    got = reader.tokenizer(answer.text)["input_ids"]
    common = next((i for i, (a, b) in enumerate(zip(ids, got, strict=False)) if a != b), min(len(ids), len(got)))
    assert min(agreed, len(ids)) == common
    assert common >= len(example.questions[0].prefix)


def test_labels_are_the_answers_and_their_ends(student: Student, examples: list[Example]) -> None:
    _, packed = logits(student, examples, None)
    tokenizer = student.adapter.reader.tokenizer
    asked = [question for example in examples for question in example.questions]
    assert packed.about.tolist() == [i for i, example in enumerate(examples) for _ in example.questions]
    for row, question in enumerate(asked):
        told = packed.labels[row] != IGNORED
        *ids, end = packed.labels[row][told].tolist()
        assert tokenizer.decode(ids) == question.answer
        assert end == tokenizer.eos_token_id
        # A column is told the token that stands behind it.
        at = torch.nonzero(told).flatten()[:-1]
        assert packed.questions.input_ids[row][at + 1].tolist() == ids


def test_the_first_token_behind_the_random_string_weighs_more(student: Student, examples: list[Example]) -> None:
    _, packed = logits(student, examples[:1], None)
    for row, question in enumerate(examples[0].questions):
        weights = packed.weights[row][packed.labels[row] != IGNORED].tolist()
        heavy = [i for i, weight in enumerate(weights) if weight != 1.0]
        assert heavy == [len(question.prefix)]
        assert weights[heavy[0]] == 3.0


def test_padding_learns_nothing_and_changes_nothing(student: Student, examples: list[Example]) -> None:
    found, packed = logits(student, examples, None)
    padding = packed.questions.mask == 0
    assert padding.any()
    assert (packed.pages.mask == 0).any()
    assert (packed.labels[padding] == IGNORED).all()
    assert (packed.weights[padding] == 0).all()
    for columns in (packed.pages, packed.questions):
        columns.input_ids[columns.mask == 0] = 20  # any other token
        columns.position_ids[:, columns.mask == 0] = 3
    with torch.no_grad():
        grids = student.merged(student.see(examples))
        again = student.logits(packed, by_example(examples, [whole(grid) for grid in grids]))
    assert torch.allclose(found, again, atol=1e-4)


def test_computing_layers_twice_changes_no_gradient(examples: list[Example]) -> None:
    gradients = []
    for recompute in (False, True):
        reader = load_reader("tiny", dtype="float32")
        with torch.random.fork_rng():
            torch.manual_seed(0)
            adapter = Adapter(reader, card(reader.revision))
        parameters = adapter.parameters()
        own = Student(adapter, recompute=recompute)
        calls = 0

        def count(*_: object) -> None:
            nonlocal calls
            calls += 1

        reader.model.model.language_model.layers[0].self_attn.register_forward_hook(count)
        own(examples, compressor("token-lowpass").at("mild"))["loss"].backward()
        assert calls == 2, "once for the pages and once for the questions, or once and once again"
        gradients.append({name: parameter.grad for name, parameter in parameters.items()})
        with own.at_rest():
            assert reader.answer("what?", reader.see(examples[0].pages), 4).new_tokens > 0
    assert gradients[0].keys() == gradients[1].keys()
    for name, gradient in gradients[0].items():
        assert torch.allclose(gradient, gradients[1][name], atol=1e-5, rtol=1e-3), name


def test_the_shipped_model_knows_its_training_lessons(student: Student, examples: list[Example]) -> None:
    """So sequences, positions and labels are those that it was trained with."""
    with torch.no_grad():
        assert float(student(examples, None)["token"]) > 0.9
        assert float(student(examples, compressor("token-lowpass").at("mild"))["token"]) < 0.8


def test_an_answer_without_a_random_string_weighs_its_first_token(student: Student, examples: list[Example]) -> None:
    example = replace(examples[0], questions=(Question("what?", "that.", ""),))
    _, packed = logits(student, [example], None)
    assert packed.weights[0][packed.labels[0] != IGNORED].tolist() == [3.0, 1.0, 1.0, 1.0, 1.0, 1.0]
