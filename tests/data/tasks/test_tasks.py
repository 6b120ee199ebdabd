"""What holds for every task."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freqq.data.formats import CONVBENCH, JSON_FORMATS, TEXT
from freqq.data.load import load
from freqq.data.sample import Sample, Turn
from freqq.data.tasks import TASKS, names

LARGE = "the tapir crossed it. 7 " * 420_000
"""A response of 10 MB."""


def sample(subtask: str = "") -> Sample:
    reference = {"passage_count": "7", "passage_retrieval_en": "Paragraph 7"}.get(subtask, "the tapir slept.")
    return Sample(
        "s", 2, "", (Turn("", reference),), "q", reference, "", references=(reference,), classes=("a",), subtask=subtask
    )


def test_a_name_is_one_task_or_one_part():
    everything = names()
    assert len(set(everything)) == len(everything)
    assert list(TASKS) == [task.name for task in TASKS.values()]
    assert all(TASKS[format.task].fits(format.name) for format in (*JSON_FORMATS, CONVBENCH, TEXT))


@pytest.mark.parametrize("name", ["mini", "ruler", "ruler-mini"])
def test_the_answer_to_generated_data_is_perfect_by_every_task_that_fits(name):
    for task in TASKS.values():
        if task.fits(load(name).format):
            asked = next(load(name).with_task(task.name).samples(limit=1))
            task.check(asked)
            marks = task.grade(asked, asked.answer)
            assert (marks.score, marks.exact, marks.prefix_ok) == (1.0, True, True)
            assert (task.failed.cer is None) == (marks.cer is None)


@given(st.sampled_from(["mrcr", "transcribe"]), st.text(max_size=40))
def test_scores_stay_between_nothing_and_all(name, said):
    assert 0 <= TASKS[name].grade(sample(), said).score <= 1


@pytest.mark.parametrize("subtask", ["niah_single_1", "qasper", "gov_report", "trec", "passage_count", "lcc"])
def test_a_response_of_ten_megabytes_is_graded(subtask):
    task = next(task for task in TASKS.values() if subtask in task.subtasks)
    for said in (LARGE, "x" * 10_000_000, "." * 10_000_000):
        assert 0 <= task.grade(sample(subtask), said).score <= 1
