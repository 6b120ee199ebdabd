"""The parts of a suite."""

from freqq.report.subtasks import subtask_scores, suite_score
from freqq.report.summary import summarise
from freqq.report.tables import tables
from tests.runs.test_schema import make_row


def rows():
    scores = {"vt": [1.0, 0.0], "cwe": [0.5]}
    return [
        make_row(sample_id=f"{name}-{i}", task="ruler", needles=0, subtask=name, score=score, method="none")
        for name, own in scores.items()
        for i, score in enumerate(own)
    ]


def test_each_part_has_its_mean_and_the_suite_the_mean_of_these():
    found = subtask_scores(rows())
    assert {name: (own["n"], own["score"]["mean"]) for name, own in found.items()} == {"vt": (2, 0.5), "cwe": (1, 0.5)}
    assert suite_score(found) == 0.5
    assert suite_score(subtask_scores([*rows(), make_row(subtask="fwe", score=0.8)])) == 0.6


def test_rows_without_parts_have_none():
    assert subtask_scores([make_row()]) == {}
    assert suite_score({}) is None
    assert "subtasks" not in summarise([make_row()])["groups"][0]


def test_a_summary_has_the_parts_and_its_table_their_names():
    (group,) = summarise(rows())["groups"]
    assert list(group["subtasks"]) == ["cwe", "vt"]  # in the natural order of the samples
    assert group["suite_score"] == 0.5
    scores, parts, *_ = tables({"groups": [group]})
    assert scores.title.startswith("Recall of references (RULER)")
    assert list(parts.columns[3].cells) == ["cwe", "vt", "mean"]
