"""The task `transcribe`, the study's first milestone: read the pages back word by word."""

import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from rapidfuzz.distance import Levenshtein

from freqq.data.sample import Sample, context
from freqq.data.tasks.base import Marks, Task, starts_right

QUESTION = "Transcribe this conversation image verbatim."
"""The study's prompt."""


def transcribe(sample: Sample) -> Sample:
    """A sample that asks for its own chat: the same pages, another question, and all of their text as the answer."""
    return replace(sample, question=QUESTION, answer=context(sample), prefix="", references=(), classes=())


def grade_transcript(response: str, text: str) -> Marks:
    """Compare a response with the text of the pages.

    The score is the word recall: the share of the text's words that are in the response, wherever they stand there. A
    word that the text has n times counts up to n times. The error rates are the fewest insertions, deletions and
    replacements that make the text of the response, by the length of the text: over 1 if the response is much too
    long. A transcript is exact except for white space.

    Letter case and punctuation count. White space only divides words, since a page does not show where its text had
    line breaks, and canonically equal Unicode is equal (NFC), since it looks the same. A text without words is read
    perfectly by a response without words; otherwise lengths count as at least 1.
    """
    said, wanted = _words(response), _words(text)
    common = (Counter(said) & Counter(wanted)).total()
    said_text, wanted_text = " ".join(said), " ".join(wanted)
    recall, cer = common / len(wanted) if wanted else float(not said), _error_rate(wanted_text, said_text)
    return Marks(recall, cer == 0, cer=cer, wer=_error_rate(wanted, said))


def marks(sample: Sample, said: str) -> Marks:
    """`grade_transcript` for a sample."""
    return replace(grade_transcript(said, sample.answer), **starts_right(sample, said))


def _error_rate(wanted: Sequence[str], said: Sequence[str]) -> float:
    # The hint changes no distance; for a transcript with few errors it is found several times faster.
    distance = Levenshtein.distance(wanted, said, score_hint=len(wanted) // 20 + 1)
    return distance / max(1, len(wanted))


def _words(text: str) -> list[str]:
    return unicodedata.normalize("NFC", text).split()


TRANSCRIBE = Task(
    name="transcribe",
    summary="read the pages back word for word",
    score="Word recall",
    formats=(),
    grade=marks,
    ask=transcribe,
    failed=Marks(0.0, False, cer=1.0, wer=1.0),
)
