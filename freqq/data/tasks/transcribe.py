"""The task `transcribe`: read the pages back word for word."""

import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from rapidfuzz.distance import Levenshtein

from freqq.data.sample import Sample, context
from freqq.data.tasks.base import Marks, Task, start_marks

QUESTION = "Transcribe this conversation image verbatim."


def transcribe(sample: Sample) -> Sample:
    """The sample with the question `QUESTION` and all text of its pages as the answer."""
    return replace(sample, question=QUESTION, answer=context(sample), prefix="", references=(), classes=())


def grade_transcript(response: str, text: str) -> Marks:
    """Compare a response with the text of the pages.

    The score is the word recall: the share of the text's words, with multiplicity, that occur anywhere in the response.
    The error rates (CER, WER) are the Levenshtein distance divided by the length of the text; above 1 if the response
    is much too long. `exact` means equal except for white space.

    Case and punctuation count. White space only separates words, since pages do not show line breaks of the text, and
    canonically equal Unicode is equal (NFC), since it looks the same. For a text without words, a response without
    words is perfect; otherwise lengths count as at least 1.
    """
    own, wanted = _words(response), _words(text)
    common = (Counter(own) & Counter(wanted)).total()
    recall, cer = common / len(wanted) if wanted else float(not own), _error_rate(" ".join(wanted), " ".join(own))
    return Marks(recall, cer == 0, cer=cer, wer=_error_rate(wanted, own))


def marks(sample: Sample, response: str) -> Marks:
    """`grade_transcript` for a sample."""
    return replace(grade_transcript(response, sample.answer), **start_marks(sample, response))


def _error_rate(wanted: Sequence[str], own: Sequence[str]) -> float:
    # The hint does not change the distance; it makes transcripts with few errors several times faster.
    distance = Levenshtein.distance(wanted, own, score_hint=len(wanted) // 20 + 1)
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
