"""LongBench's metrics and prompts, against scores that were computed by hand from the official definitions."""

import builtins

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rouge import Rouge

from freqq.data.sample import Sample, Turn
from freqq.data.tasks import TASKS
from freqq.data.tasks import longbench_metrics as metrics
from freqq.data.tasks.longbench import FORMS, ask
from freqq.errors import UserError

TEXTS = st.text(alphabet="abcd .\n", max_size=60)
CLASSES = ("Location", "Location of a city", "Date", "Person")


def sample(subtask: str, *references: str, classes: tuple[str, ...] = ()) -> Sample:
    return Sample(
        "s", 0, "", (Turn("", "text"),), "q", references[0], "", references=references, classes=classes, subtask=subtask
    )


@pytest.mark.parametrize(
    ("metric", "said", "reference", "score"),
    [
        # 2 words in common of 3 and 2, the article aside: precision 2/3, recall 1.
        (metrics.qa_f1, "The Eiffel Tower, Paris", "eiffel tower", 0.8),
        (metrics.qa_f1, "a", "the", 0.0),
        # The word that is said twice counts once: precision 1/2, recall 1.
        (metrics.qa_f1, "yes yes", "yes", 2 / 3),
        (metrics.count, "There are 7 paragraphs, or 8", "7", 0.5),
        (metrics.count, "none", "7", 0.0),
        (metrics.count, "07", "7", 0.0),
        (metrics.retrieval, "Paragraph 12", "Paragraph 12", 1.0),
        (metrics.retrieval, "Paragraph 12 or 3 or 5", "Paragraph 12", 1 / 3),
        (metrics.retrieval_zh, "段落3", "段落3", 1.0),
        (metrics.retrieval_zh, "段落33", "段落3", 0.0),
        # "abcd" and "abxd": difflib matches ab and d, 2 x 3 of 8.
        (metrics.code_similarity, "abxd", "abcd", 0.75),
        (metrics.code_similarity, "```python\n# a comment\nabxd\nmore", "abcd", 0.75),
        (metrics.code_similarity, "# only a comment", "abcd", 0.0),
        # difflib takes the first of the longest matches, "ab", and finds no other: 2 x 2 of 12, where the distance of
        # python-Levenshtein would give 67.
        (metrics.code_similarity, "ababab", "aaaaab", 0.33),
        (metrics.code_similarity, "", "", 1.0),
        (metrics.rouge, "", "a b", 0.0),
        (metrics.rouge, "x y", "a b", 0.0),
        # "a c" is common: 2 of 3 different words each way.
        (metrics.rouge, "a b c", "a x c", 2 / 3),
        # A sentence each has one word in common: union {a, d} of 4 and 4 words.
        (metrics.rouge, "a b. c d", "a x. y d", 0.5),
    ],
)
def test_metrics_are_what_the_official_definitions_give(metric, said, reference, score):
    assert metric(said, reference, ()) == pytest.approx(score, abs=1e-8)


@pytest.mark.parametrize(
    ("said", "right", "score"),
    [
        ("Date", "Date", 1.0),
        ("Date or Person", "Date", 0.5),
        ("nothing", "Date", 0.0),
        # "Location" is part of the right class's name and does not count against it.
        ("Location of a city", "Location of a city", 1.0),
        # The right one is there, but so is the longer name.
        ("Location of a city", "Location", 0.5),
    ],
)
def test_classes(said, right, score):
    assert metrics.classification(said, right, CLASSES) == score


@given(TEXTS, TEXTS)
def test_rouge_is_that_of_the_package_of_the_official_code(said, reference):
    try:
        expected = Rouge().get_scores([said], [reference], avg=True)["rouge-l"]["f"]
    except ValueError:  # as the official code has it
        expected = 0.0
    assert metrics.rouge(said, reference, ()) == expected


def test_rouge_of_long_texts_needs_neither_recursion_nor_a_full_stop():
    words = " ".join(f"w{i}" for i in range(3000))
    assert metrics.rouge(words, words, ()) == pytest.approx(1.0)
    assert 0 < metrics.rouge("round and round. " * 100_000, "round we go", ()) < 1


def test_chinese_is_divided_into_words():
    # 北京 / 天气 / 很 / 好 against 北京 / 天气 / 不好: two words in common of four and three.
    assert metrics.qa_f1_zh("北京天气很好。", "北京天气不好", ()) == pytest.approx(4 / 7)
    assert metrics.qa_f1_zh("北京，天气！", "北京天气", ()) == 1.0
    assert metrics.rouge_zh("北京天气很好", "北京天气不好", ()) == pytest.approx(4 / 7)


def test_without_jieba_one_line_says_what_to_install(monkeypatch):
    imported = builtins.__import__

    def without(name, *rest):
        if name == "jieba":
            raise ImportError(name)
        return imported(name, *rest)

    metrics._tokenizer.cache_clear()
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(UserError, match=r"pip install 'freqq\[longbench\]'"):
        TASKS["longbench"].check(sample("dureader", "北京"))
    TASKS["longbench"].check(sample("qasper", "yes"))


PERFECT = {"passage_retrieval_en": "Paragraph 3", "passage_retrieval_zh": "段落3", "passage_count": "7", "trec": "Date"}


@pytest.mark.parametrize("dataset", FORMS)
def test_the_reference_itself_is_perfect_and_nothing_scores_nothing(dataset):
    asked = sample(dataset, PERFECT.get(dataset, "glass rivers"), classes=(*CLASSES, "glass rivers"))
    perfect, nothing = (TASKS["longbench"].grade(asked, said) for said in (asked.answer, ""))
    assert perfect.score == pytest.approx(1.0, abs=1e-7)
    assert perfect.exact
    assert (nothing.score, nothing.exact) == (0.0, False)


@given(st.sampled_from([name for name in FORMS if not name.startswith("passage")]), TEXTS, TEXTS)
def test_scores_stay_between_nothing_and_all(dataset, said, reference):
    if dataset in ("multifieldqa_zh", "dureader", "vcsum"):
        return  # the same measures of other words
    assert 0 <= TASKS["longbench"].grade(sample(dataset, reference, classes=("a", "b")), said).score <= 1


def test_the_best_of_the_references_counts():
    assert TASKS["longbench"].grade(sample("hotpotqa", "Rome", "the city of Rome"), "city of Rome").score == 1.0


def test_where_answers_follow_examples_only_the_first_line_counts():
    said = "\nDate\nQuestion: what else? Person"
    assert TASKS["longbench"].grade(sample("trec", "Date", classes=CLASSES), said).score == 1.0
    assert TASKS["longbench"].grade(sample("qasper", "Date"), said).score < 1.0


def test_prompts_say_where_the_context_is():
    assert ask("gov_report", "unused").endswith("Report is shown in images.\n\nNow, write a one-page summary of the "
                                                "report.\n\nSummary:")  # fmt: skip
    assert "Question: why?\n\nAnswer:" in ask("qasper_e", " why?\n")
    assert ask("repobench-p", "import os\n").endswith("import osNext line of code:")
    assert all("{" not in ask(name, "x") for name in FORMS)


def test_a_reference_that_names_no_paragraph_is_refused_before_a_run():
    with pytest.raises(UserError, match="names no paragraph"):
        TASKS["longbench"].check(sample("passage_retrieval_en", "the third"))
