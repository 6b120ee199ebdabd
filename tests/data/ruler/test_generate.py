"""RULER as it is made here: what a reader of the text itself can find, and how long it is."""

import re
from collections import Counter
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freqq.data.bins import estimate
from freqq.data.load import load
from freqq.data.mini import MOST_TOKENS, TOKEN
from freqq.data.ruler.generate import MAKERS, MINI_LONGEST, MINI_SHORTEST, SHORTEST, ruler_sample
from freqq.data.sample import Sample, context
from freqq.data.tasks import TASKS
from freqq.errors import UserError
from freqq.runs.rendering import Rendering

SUBTASKS = tuple(SHORTEST)
CONTEXTS = (512, 1000, 4095, 4096, 8192)


def read(sample: Sample) -> str:
    """What a program answers that reads the context and the question, and knows nothing else of the sample."""
    text, asked = context(sample), sample.question
    if needle := re.search(r"special magic \w+ for (.*?) mentioned in the provided text\?", asked):
        keys = re.split(r", and |, ", needle[1])
        return " ".join(
            value for key in keys for value in re.findall(rf"special magic \w+ for {key} is: ([\w-]+)\.", text)
        )
    if tracked := re.search(r"assigned the value (\d+)", asked):
        known = set(re.findall(rf"VAR (\w+) = {tracked[1]}\b", text))
        while more := {new for new, old in re.findall(r"VAR (\w+) = VAR (\w+)", text) if old in known} - known:
            known |= more
        return " ".join(known)
    words = [word for word in re.sub(r"\b\d+\. ", "", text).split() if word != "..."]
    return " ".join(word for word, _ in Counter(words).most_common(10 if "10 most common" in asked else 3))


@pytest.mark.parametrize("context_length", CONTEXTS)
@pytest.mark.parametrize("subtask", SUBTASKS)
def test_a_reader_of_the_text_is_right_and_says_nothing_else(subtask, context_length):
    for i in range(10):
        sample = ruler_sample(subtask, context_length, 1, i)
        said = read(sample)
        assert TASKS["ruler"].grade(sample, said).exact, sample.id
        assert sorted(said.split()) == sorted(sample.references)


@pytest.mark.parametrize("subtask", SUBTASKS)
def test_a_long_context_is_as_good(subtask):
    sample = ruler_sample(subtask, 131_072, 0, 0)
    assert TASKS["ruler"].grade(sample, read(sample)).exact
    assert 0.999 * 131_072 < estimate(context(sample)) <= 131_072


@given(st.sampled_from(SUBTASKS), st.integers(0, 9000), st.integers(0, 2**40), st.integers(0, 50))
def test_lengths_are_within_five_percent_and_references_are_in_the_context(subtask, more, seed, index):
    length = SHORTEST[subtask] + more
    sample = ruler_sample(subtask, length, seed, index)
    assert 0.95 * length <= estimate(context(sample)) <= length
    assert sample.references
    assert all(reference in context(sample) for reference in sample.references)
    assert all(reference not in sample.question for reference in sample.references)
    assert context(sample).isascii()


@pytest.mark.parametrize("name", MAKERS)
def test_samples_depend_on_their_place_and_the_seed_alone(name):
    data = load(name)
    first = list(data.samples(limit=13))
    assert list(islice(data.samples(limit=40), 13)) == first == list(load(name).samples(limit=13))
    other = list(data.samples(limit=13, seed=1))
    assert len({s.id for s in first + other}) == len({context(s) for s in first + other}) == 26
    part = data.with_task(first[0].subtask)
    assert list(part.with_context(128 if name == "ruler-mini" else 600).samples(limit=2)) == list(
        data.with_context(128 if name == "ruler-mini" else 600).with_task(first[0].subtask).samples(limit=2)
    )
    assert next(part.samples()) == first[0]
    assert {s.subtask for s in part.samples(limit=5)} == {first[0].subtask}


def test_all_parts_are_asked_in_turn():
    assert [s.subtask for s in load("ruler").samples(limit=12)] == [*SUBTASKS, SUBTASKS[0]]
    assert len(list(load("ruler-mini").samples())) == 100 * len(MINI_SHORTEST)


def test_needles_are_those_of_the_definition():
    counts = {
        "niah_single_1": 1, "niah_single_2": 1, "niah_single_3": 1, "niah_multikey_1": 4, "niah_multivalue": 4,
        "niah_multiquery": 4,
    }  # fmt: skip
    for subtask, count in counts.items():
        sample = ruler_sample(subtask, 1024, 0, 0)
        assert context(sample).count("One of the special magic") == count
        assert len(sample.references) == (4 if subtask in ("niah_multivalue", "niah_multiquery") else 1)
    haystack = context(ruler_sample("niah_multikey_2", 1024, 0, 0)).split("\n")
    assert all(line.startswith("One of the special magic numbers for ") for line in haystack)
    assert len(ruler_sample("vt", 512, 0, 0).references) == 5
    assert len(ruler_sample("cwe", 4096, 0, 0).references) == 10
    words = Counter(re.sub(r"\d+\. ", "", context(ruler_sample("cwe", 4096, 0, 0))).split())
    assert sorted(set(words.values())) == [3, 30]


def test_the_question_is_rulers_with_the_beginning_of_the_answer():
    single = ruler_sample("niah_single_1", 512, 0, 0)
    key = re.search(r"numbers for ([\w-]+) is", context(single))[1]
    assert single.question == (
        "A special magic number is hidden within the following text. Make sure to memorize it. I will quiz you about "
        f"the number afterwards.\nWhat is the special magic number for {key} mentioned in the provided text? The "
        f"special magic number for {key} mentioned in the provided text is"
    )
    assert ruler_sample("cwe", 512, 0, 0).question.endswith(
        "Question: What are the 10 most common words in the above list? Answer: The top 10 words that appear most "
        "often in the list are:"
    )


def test_mini_pages_are_what_the_embedded_model_was_taught_on():
    rendering = Rendering.read(None)
    for length in (96, 128, MINI_LONGEST):
        for sample in load("ruler-mini").with_context(length).samples(limit=30):
            pages = list(rendering.pages(sample))
            cells = [p.pixels.shape[0] // TOKEN * (p.pixels.shape[1] // TOKEN) for p in pages]
            assert sum(cells) <= MOST_TOKENS
            assert len(pages) <= 3
            assert all(p.pixels.shape[0] <= 14 * TOKEN and p.pixels.shape[1] == 10 * TOKEN for p in pages)
            shown = "".join("".join(p.text.split()) for p in pages)
            assert shown == "".join(context(sample).split())
            assert 0.95 * length <= estimate(context(sample)) <= length
            assert TASKS["ruler"].grade(sample, read(sample)).exact


@pytest.mark.parametrize(
    ("name", "task", "tokens", "message"),
    [
        ("ruler", "niah_multikey1", None, "did you mean 'niah_multikey_1'"),
        ("ruler", "qa_1", None, "give RULER's own files"),
        ("ruler", "qasper", None, "use --task transcribe or --task ruler"),
        ("ruler-mini", "cwe", None, "can be made for niah_single_1"),
        ("ruler", None, 100, "512 to 1,048,576"),
        ("ruler", "niah_single_1", 2**21, "256 to 1,048,576"),
        ("ruler-mini", None, 8192, "96 to 160"),
        ("mini", None, 8192, "--context is for data that are made"),
        ("mini", "ruler", None, "use --task mrcr or --task transcribe"),
    ],
)
def test_what_cannot_be_made_is_refused_in_one_line(name, task, tokens, message):
    def made():
        data = load(name) if task is None else load(name).with_task(task)
        return data if tokens is None else data.with_context(tokens)

    with pytest.raises(UserError, match=re.escape(message)) as found:
        made()
    assert "\n" not in str(found.value)
