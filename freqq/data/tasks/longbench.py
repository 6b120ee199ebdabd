"""The task `longbench`: LongBench's 21 data sets with Glyph's prompts and the official metrics.

After LongBench (Bai et al., arXiv:2308.14508; THUDM/LongBench). The context is on the pages, and the prompts of Glyph's
``dataset2vlmprompt.json`` (spelling included) say so.
"""

from collections.abc import Callable
from dataclasses import dataclass

from freqq.data.sample import Sample
from freqq.data.tasks import longbench_metrics as metrics
from freqq.data.tasks.base import Marks, Task, start_marks

Metric = Callable[[str, str, tuple[str, ...]], float]
"""``metric(response, reference, classes)``, in [0, 1]."""


@dataclass(frozen=True)
class Form:
    """The metric and prompt of a data set.

    Parameters
    ----------
    metric : callable
        The official metric. A response gets its best score over all references.
    prompt : str
        The text beside the pages; ``{input}`` is the record's question.
    first_line : bool
        Grade only the first line of the response, as officially for few-shot data sets.
    """

    metric: Metric
    prompt: str
    first_line: bool = False


_PASSAGES = (
    "Answer the question based on the given passages. Only give me the answer and do not output any other words.\n\n"
    "Question: {input}\nAnswer:"
)
_UNANSWERABLE = (
    "as concisely as you can, using a single phrase or sentence if possible. If the question cannot be answered based "
    'on the information in the article, write "unanswerable". If the question is a yes/no question, answer "yes", '
    '"no", or "unanswerable". Do not provide any explanation.'
)

FORMS: dict[str, Form] = {
    "narrativeqa": Form(
        metrics.qa_f1,
        "You are given a story, which can be either a novel or a movie script, and a question. Answer the question "
        "asconcisely as you can, using a single phrase if possible. Do not provide any explanation.\n\nStory is shown "
        "in the images.\n\nNow, answer the question based on the story asconcisely as you can, using a single phrase "
        "if possible. Do not provide any explanation.\n\nQuestion: {input}\n\nAnswer:",
    ),
    "qasper": Form(
        metrics.qa_f1,
        f"You are given a scientific article and a question. Answer the question {_UNANSWERABLE}\n\nArticle is shown "
        f"in the images.\n\n Answer the question based on the above article {_UNANSWERABLE}\n\nQuestion: {{input}}\n\n"
        "Answer:",
    ),
    "multifieldqa_en": Form(
        metrics.qa_f1,
        "Read the text and answer in the images briefly.\n\nNow, answer the following question based on the above "
        "text, only give me the answer and do not output any other words.\n\nQuestion: {input}\nAnswer:",
    ),
    "multifieldqa_zh": Form(
        metrics.qa_f1_zh,
        "阅读图中文字并用中文简短回答。请基于图中的文章回答下面的问题，只告诉我答案，不要输出任何其他字词。\n\n"
        "问题：{input}\n回答：",
    ),
    "hotpotqa": Form(metrics.qa_f1, _PASSAGES),
    "2wikimqa": Form(metrics.qa_f1, _PASSAGES),
    "musique": Form(metrics.qa_f1, _PASSAGES),
    "dureader": Form(metrics.rouge_zh, "请基于图中的文章回答下述问题。\n\n问题：{input}\n回答："),
    "gov_report": Form(
        metrics.rouge,
        "You are given a report by a government agency. Write a one-page summary of the report.\n\nReport is shown in "
        "images.\n\nNow, write a one-page summary of the report.\n\nSummary:",
    ),
    "qmsum": Form(
        metrics.rouge,
        "You are given a meeting transcript and a query containing a question or instruction. Answer the query in one "
        "or more sentences.\n\nTranscript is shown in images.\n\nNow, answer the query based on the meeting transcript "
        "in one or more sentences.\n\nQuery: {input}\nAnswer:",
    ),
    "multi_news": Form(
        metrics.rouge,
        "You are given several news passages in the images. Write a one-page summary of all news. \n\nNow, write a "
        "one-page summary of all the news.\n\nSummary:",
    ),
    "vcsum": Form(metrics.rouge_zh, "图中有一段会议记录，请你阅读后，写一段总结，总结会议的内容。\n会议总结："),
    "trec": Form(
        metrics.classification,
        "Please determine the type of the question below. Some examples of questions are shown in the images.\n\n"
        "{input}",
        first_line=True,
    ),
    "triviaqa": Form(
        metrics.qa_f1,
        "Answer the question based on the given passage. Only give me the answer and do not output any other words. "
        "Some examples are shown in the images.\n\n{input}",
        first_line=True,
    ),
    "samsum": Form(
        metrics.rouge,
        "Summarize the dialogue into a few short sentences. Some examples are shown in the images.\n\n{input}",
        first_line=True,
    ),
    "lsht": Form(metrics.classification, "请判断给定新闻的类别，图中是一些例子。\n\n{input}", first_line=True),
    "passage_count": Form(
        metrics.count,
        "There are some paragraphs sourced from Wikipedia in the images. Some of them may be duplicates. Please "
        "carefully read these paragraphs and determine how many unique paragraphs there are after removing duplicates. "
        "In other words, how many non-repeating paragraphs are there in total?\n\nPlease enter the final count of "
        "unique paragraphs after removing duplicates. The output format should only contain the number, such as 1, 2, "
        "3, and so on.\n\nThe final answer is: ",
    ),
    "passage_retrieval_en": Form(
        metrics.retrieval,
        "Here are 30 paragraphs from Wikipedia, along with an abstract. Please determine which paragraph the abstract "
        "is from.\n\nThe following is an abstract.\n\n{input}\n\nPlease enter the number of the paragraph that the "
        'abstract is from. The answer format must be like "Paragraph 1", "Paragraph 2", etc.\n\nThe answer is: ',
    ),
    "passage_retrieval_zh": Form(
        metrics.retrieval_zh,
        "图中展示了若干段落。请判断以下摘要出自哪一段。摘要：\n\n{input}\n\n请输入摘要所属段落的编号。"
        '答案格式必须是"段落1"，"段落2"等格式\n\n答案是：',
    ),
    "lcc": Form(
        metrics.code_similarity, "Please complete the code. Only give me the next line of code.\nNext line of code:\n"
    ),
    "repobench-p": Form(
        metrics.code_similarity,
        "Please complete the code. Only give me the next line of code.\n{input}Next line of code:\n",
    ),
}


def form(dataset: str) -> Form:
    """The form of a data set, also for LongBench-E (``qasper_e``)."""
    return FORMS[dataset.removesuffix("_e")]


def ask(dataset: str, question: str) -> str:
    """The text beside the pages, stripped as in Glyph's requests."""
    return form(dataset).prompt.replace("{input}", question.strip()).strip()


def marks(sample: Sample, response: str) -> Marks:
    """The data set's metric; `exact` means equal to a reference except for outer white space."""
    own = form(sample.subtask)
    text = response.lstrip("\n").split("\n")[0] if own.first_line else response
    score = max((own.metric(text, reference, sample.classes) for reference in sample.references), default=0.0)
    exact = text.strip() in {reference.strip() for reference in sample.references}
    return Marks(score, exact, **start_marks(sample, response))


def check(sample: Sample) -> None:
    """Run the metric on an empty response, which finds a malformed reference or a missing library."""
    for reference in sample.references:
        form(sample.subtask).metric("", reference, sample.classes)


LONGBENCH = Task(
    name="longbench",
    summary="questions about documents, summaries, classes, counts, code: LongBench's 21 data sets",
    score="Each data set's own metric (LongBench)",
    formats=("longbench",),
    grade=marks,
    check=check,
    subtasks=tuple(FORMS),
)
