"""LongBench's official metrics of a response and one reference: ``metric(response, reference, classes)`` in [0, 1].

They follow its ``metrics.py``, oddities included. Three notes:

- Edit similarity is `fuzzywuzzy`'s ratio without `python-Levenshtein`, which LongBench does not require: twice the
  matches of `difflib` divided by both lengths, rounded to 0.01. With that package the numbers differ (THUDM/LongBench,
  issue 96).
- `rouge` finds a longest common subsequence by recursion, which fails for texts of about 1,000 words without a full
  stop; the official code then gives 0. Here they get their score.
- ROUGE and edit similarity compare the first `MOST_WORDS` words of a text and the first `MOST_CHARACTERS` characters
  of a line: more than a response of 8192 tokens contains.
"""

import re
import string
from collections import Counter
from collections.abc import Sequence
from difflib import SequenceMatcher
from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING

from freqq.errors import UserError

if TYPE_CHECKING:
    from jieba import Tokenizer

MOST_WORDS = 10_000
MOST_CHARACTERS = 20_000

CHINESE_PUNCTUATION = (
    "！？｡。＂＃＄％＆＇（）＊＋，－／：；＜＝＞＠［＼］＾＿｀｛｜｝～｟"
    "｠｢｣､、〃》「」『』【】〔〕〖〗〘〙〚〛〜〝〞〟〰〾〿–—‘’‛“”„‟…‧﹏."
)

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)
_ALL_PUNCTUATION = str.maketrans("", "", string.punctuation + CHINESE_PUNCTUATION)
_NUMBER = re.compile(r"\d+")


def qa_f1(response: str, reference: str, classes: tuple[str, ...] = ()) -> float:
    """F1 of the words in common, without letter case, punctuation and articles."""
    return _f1(_english_words(response), _english_words(reference))


def qa_f1_zh(response: str, reference: str, classes: tuple[str, ...] = ()) -> float:
    """F1 of the Chinese words in common, as `jieba` segments them, without punctuation."""
    return _f1(_chinese_words(response), _chinese_words(reference))


def rouge(response: str, reference: str, classes: tuple[str, ...] = ()) -> float:
    """Summary-level ROUGE-L of the package `rouge`: sentences end at full stops, and each word counts once.

    F1 of the words in longest common subsequences of the reference's sentences with the response's, as sets.
    """
    own, wanted = _sentences(response), _sentences(reference)
    if not own or not wanted:
        return 0.0
    common = set[str]().union(*(_common_words(sentence, own) for sentence in wanted))
    precision = len(common) / len({word for sentence in own for word in sentence})
    recall = len(common) / len({word for sentence in wanted for word in sentence})
    return 2.0 * ((precision * recall) / (precision + recall + 1e-8))


def rouge_zh(response: str, reference: str, classes: tuple[str, ...] = ()) -> float:
    """`rouge` of Chinese, as `jieba` segments it."""
    return rouge(" ".join(_jieba_words(response)), " ".join(_jieba_words(reference)))


def classification(response: str, reference: str, classes: tuple[str, ...] = ()) -> float:
    """One divided by the number of classes that the response names, if the correct one is among them.

    A class whose name is part of the correct one does not count. As in the official code, every second of several such
    classes is missed, because they are removed from the list during iteration.
    """
    named = [name for name in classes if name in response]
    for name in named:
        if name in reference and name != reference:
            named.remove(name)
    return 1.0 / len(named) if reference in named else 0.0


def retrieval(response: str, reference: str, classes: tuple[str, ...] = ()) -> float:
    """Share of the numbers in the response that are the correct paragraph's.

    Raises
    ------
    UserError
        If the reference names no paragraph.
    """
    return _share_of_numbers(response, _paragraph(r"Paragraph (\d+)", reference))


def retrieval_zh(response: str, reference: str, classes: tuple[str, ...] = ()) -> float:
    """`retrieval` for a reference in Chinese."""
    return _share_of_numbers(response, _paragraph(r"段落(\d+)", reference))


def count(response: str, reference: str, classes: tuple[str, ...] = ()) -> float:
    """Share of the numbers in the response that are correct."""
    return _share_of_numbers(response, reference)


def code_similarity(response: str, reference: str, classes: tuple[str, ...] = ()) -> float:
    """Similarity of the correct line and the response's first line that is neither a comment nor a code fence."""
    lines = response.lstrip("\n").split("\n")
    line = next((line for line in lines if not any(mark in line for mark in ("`", "#", "//"))), "")
    if line == reference:
        return 1.0
    if not line or not reference:
        return 0.0
    matcher = SequenceMatcher(None, line[:MOST_CHARACTERS], reference[:MOST_CHARACTERS])
    return round(100 * matcher.ratio()) / 100


def _english_words(text: str) -> list[str]:
    return _ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split()


def _chinese_words(text: str) -> list[str]:
    cleaned = ("".join(word.lower().translate(_ALL_PUNCTUATION).split()) for word in _jieba_words(text))
    return [word for word in cleaned if word]


def _jieba_words(text: str) -> list[str]:
    return list(_tokenizer().cut(text[: 10 * MOST_WORDS], cut_all=False))


@cache
def _tokenizer() -> "Tokenizer":
    """`jieba`'s tokenizer, from its dictionary: its cache would be in a folder that other users can write to.

    Raises
    ------
    UserError
        If it is not installed.
    """
    try:
        from jieba import Tokenizer
    except ImportError as error:
        raise UserError("LongBench's Chinese data sets need jieba: pip install 'freqq[longbench]'") from error
    tokenizer = Tokenizer()
    tokenizer.FREQ, tokenizer.total = tokenizer.gen_pfdict(tokenizer.get_dict_file())
    tokenizer.initialized = True
    return tokenizer


def _f1(own: Sequence[str], wanted: Sequence[str]) -> float:
    common = (Counter(own) & Counter(wanted)).total()
    if not common:
        return 0.0
    precision, recall = common / len(own), common / len(wanted)
    return 2 * precision * recall / (precision + recall)


def _share_of_numbers(response: str, correct: str) -> float:
    numbers = _NUMBER.findall(response)
    return sum(number == correct for number in numbers) / len(numbers) if numbers else 0.0


def _paragraph(pattern: str, reference: str) -> str:
    found = re.search(pattern, reference)
    if found is None:
        raise UserError(f"the reference {reference[:80]!r} names no paragraph")
    return found[1]


def _sentences(text: str) -> list[tuple[str, ...]]:
    """The words of each sentence. As in `rouge`, a sentence of white space alone has one empty word."""
    left, found = MOST_WORDS, []
    for sentence in text.split("."):
        if sentence and left > 0:
            words = tuple(" ".join(sentence.split(maxsplit=left)[:left]).split(" "))
            found.append(words)
            left -= len(words)
    return list(dict.fromkeys(found))  # only sets of words are compared, so repetitions add nothing


def _common_words(sentence: Sequence[str], others: Sequence[Sequence[str]]) -> set[str]:
    """The words of longest common subsequences of a sentence with each of the others.

    Among several such subsequences, the one that `rouge` finds. The tables of lengths of all the others are
    concatenated; lengths grow to the right within each, and `offset` separates the running maxima of adjacent tables.
    """
    import numpy as np  # most tasks do not need it

    words = [word for other in others for word in other]
    numbers = {word: i for i, word in enumerate(dict.fromkeys(words))}
    columns = np.array([numbers[word] for word in words])
    starts = np.cumsum([0, *map(len, others)])
    offset = np.repeat(np.arange(len(others)) * (len(sentence) + 1), [len(other) for other in others])
    table = np.zeros((len(sentence) + 1, len(words)), np.uint16)
    for i, word in enumerate(sentence):
        diagonal = np.concatenate(([0], table[i, :-1]))
        diagonal[starts[:-1]] = 0
        longer = np.maximum(table[i], (diagonal + 1) * (columns == numbers.get(word, -1)))
        table[i + 1] = np.maximum.accumulate(longer + offset) - offset
    found: set[str] = set()
    for start, end in pairwise(starts.tolist()):
        i, j = len(sentence), end  # the cell of the first i words and of the words up to j
        while i and j > start and table[i, j - 1]:
            if sentence[i - 1] == words[j - 1]:
                found.add(sentence[i - 1])
                i, j = i - 1, j - 1
            elif j == start + 1 or table[i - 1, j - 1] > table[i, j - 2]:
                i -= 1
            else:
                j -= 1
    return found
