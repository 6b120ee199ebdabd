"""The task `ruler`: find needles in a haystack, track variables, count words.

Templates and metrics of RULER (Hsieh et al., arXiv:2404.06654; NVIDIA/RULER), which Glyph's evaluation also uses. The
context is on the pages; instruction, question and the beginning of the answer stay text.
"""

import re
from dataclasses import dataclass

from freqq.data.sample import Sample
from freqq.data.tasks.base import Marks, Task, start_marks

_CONTROL = re.compile("[\x00-\x1f]")


@dataclass(frozen=True)
class Form:
    """The templates of a kind of sub-task.

    Parameters
    ----------
    instruction, question, answer_prefix : str
        Templates of the text before the context, after it, and at the beginning of the answer.
    any_reference : bool
        Whether one of the references is enough (RULER's `string_match_part`); otherwise the score is the share of them
        that the answer contains (`string_match_all`).
    """

    instruction: str
    question: str
    answer_prefix: str
    any_reference: bool = False

    def ask(self, **fields: object) -> str:
        """The text beside the pages."""
        return f"{self.instruction}\n{self.question}{self.answer_prefix}".format(**fields)


NEEDLES = Form(
    "Some special magic {values} are hidden within the following text. Make sure to memorize it. I will quiz you about "
    "the {values} afterwards.",
    "What are all the special magic {values} for {query} mentioned in the provided text?",
    " The special magic {values} for {query} mentioned in the provided text are",
)
ONE_NEEDLE = Form(
    "A special magic {value} is hidden within the following text. Make sure to memorize it. I will quiz you about the "
    "{value} afterwards.",
    "What is the special magic {value} for {query} mentioned in the provided text?",
    " The special magic {value} for {query} mentioned in the provided text is",
)
VARIABLES = Form(
    "Memorize and track the chain(s) of variable assignment hidden in the following text.",
    "Question: Find all variables that are assigned the value {query} in the text above.",
    " Answer: According to the chain(s) of variable assignment in the text above, {count} variables are assigned the "
    "value {query}, they are: ",
)
COMMON_WORDS = Form(
    "Below is a numbered list of words. In these words, some appear more often than others. Memorize the ones that "
    "appear most often.",
    "Question: What are the 10 most common words in the above list?",
    " Answer: The top 10 words that appear most often in the list are:",
)
FREQUENT_WORDS = Form(
    "Read the following coded text and track the frequency of each coded word. Find the three most frequently appeared "
    "coded words.",
    "Question: Do not provide any explanation. Please ignore the dots '....'. What are the three most frequently "
    "appeared words in the above coded text?",
    " Answer: According to the coded text above, the three most frequently appeared words are:",
)
QUESTIONS = Form(
    "Answer the question based on the given documents. Only give me the answer and do not output any other words.\n\n"
    "The following are given documents.",
    "Answer the question based on the given documents. Only give me the answer and do not output any other words.\n\n"
    "Question: {query}",
    " Answer:",
    any_reference=True,
)

FORMS: dict[str, Form] = {
    "niah_single_1": ONE_NEEDLE,
    "niah_single_2": ONE_NEEDLE,
    "niah_single_3": ONE_NEEDLE,
    "niah_multikey_1": ONE_NEEDLE,
    "niah_multikey_2": ONE_NEEDLE,
    "niah_multikey_3": ONE_NEEDLE,
    "niah_multivalue": NEEDLES,
    "niah_multiquery": NEEDLES,
    "vt": VARIABLES,
    "cwe": COMMON_WORDS,
    "fwe": FREQUENT_WORDS,
    "qa_1": QUESTIONS,
    "qa_2": QUESTIONS,
}
"""RULER's thirteen sub-tasks. Glyph's average omits `niah_single_3` and `niah_multikey_3`, which ask for UUIDs."""


def is_any(subtask: str) -> bool:
    """Whether one reference is enough: for all question-answering sub-tasks."""
    return subtask.startswith("qa")


def recall(response: str, references: tuple[str, ...], any_reference: bool) -> float:
    """RULER's metric: the share of references that occur in the response, ignoring case.

    As in its `evaluate.py`, the response is stripped first, and control characters become line breaks.
    """
    text = _CONTROL.sub("\n", response.strip()).strip().lower()
    found = [reference.lower() in text for reference in references]
    return float(any(found)) if any_reference else sum(found) / max(1, len(found))


def marks(sample: Sample, response: str) -> Marks:
    """`recall` for a sample; `exact` means a recall of 1."""
    score = recall(response, sample.references, is_any(sample.subtask))
    return Marks(score, score == 1.0, **start_marks(sample, response))


def answer(references: tuple[str, ...], any_reference: bool) -> str:
    """A perfect answer."""
    return references[0] if any_reference else ", ".join(references)


RULER = Task(
    name="ruler",
    summary="find needles in a haystack, track variables, count words",
    score="Recall of references (RULER)",
    formats=("ruler", "ruler-mini", "ruler-mini-glyph"),
    grade=marks,
    subtasks=tuple(FORMS),
)
