"""The task `transcribe`, the study's first milestone: read the pages back word by word."""

import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from rapidfuzz.distance import Levenshtein

from freqq.data.sample import Sample, context
from freqq.data.tasks.base import Marks, Task, starts_right

QUESTION = "Transcribe this conversation image verbatim."
"""The study's prompt."""


def transcribe(sample: Sample) -> Sample:
    """A sample that asks for its own chat: the same pages, another question, and all of their text as the answer."""
    return replace(sample, question=QUESTION, answer=context(sample), prefix="", references=(), classes=())


@dataclass(frozen=True)
class Transcript:
    """How good a transcript is.

    Parameters
    ----------
    word_recall : float in [0, 1]
        Share of the text's words that are in the response, wherever they stand there. A word that the text has n
        times counts up to n times: of both multisets of words the intersection, by the number of the text's words.
    cer, wer : float, at least 0
        Character and word error rate: fewest insertions, deletions and replacements that make the text of the
        response, by the length of the text. Over 1 if the response is much too long.
    """

    word_recall: float
    cer: float
    wer: float


def grade_transcript(response: str, text: str) -> Transcript:
    """Compare a response with the text of the pages.

    Letter case and punctuation count. White space only divides words, since a page does not show where its text had
    line breaks, and canonically equal Unicode is equal (NFC), since it looks the same. A text without words is read
    perfectly by a response without words; otherwise lengths count as at least 1.
    """
    said, wanted = _words(response), _words(text)
    common = (Counter(said) & Counter(wanted)).total()
    said_text, wanted_text = " ".join(said), " ".join(wanted)
    return Transcript(
        word_recall=common / len(wanted) if wanted else float(not said),
        cer=_error_rate(wanted_text, said_text),
        wer=_error_rate(wanted, said),
    )


def marks(sample: Sample, said: str) -> Marks:
    """`grade_transcript` for a sample; the score is the word recall, and a transcript is exact but for white space."""
    read = grade_transcript(said, sample.answer)
    return Marks(read.word_recall, read.cer == 0, **starts_right(sample, said), cer=read.cer, wer=read.wer)


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
