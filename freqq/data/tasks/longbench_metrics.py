"""LongBench's official metrics, each of an answer and one reference: ``metric(said, reference, classes)`` in [0, 1].

They are those of its ``metrics.py``, oddities included. Three things to know:

- Edit similarity is `fuzzywuzzy`'s ratio as it comes without `python-Levenshtein`, which LongBench does not ask for:
  twice the matches of `difflib` by both lengths, rounded to a hundredth. With that package other numbers come out
  (THUDM/LongBench, issue 96).
- `rouge` finds a longest common subsequence by recursion. Of texts of some 1,000 words without a full stop it fails,
  and the official code then gives 0; here they get their score.
- ROUGE and edit similarity compare the first `MOST_WORDS` words of a text and the first `MOST_CHARACTERS` characters
  of a line: more than a response of 8192 tokens has.
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


def qa_f1(said: str, reference: str, classes: tuple[str, ...] = ()) -> float:
    """F1 of the words in common, without letter case, punctuation and articles."""
    return _f1(_english_words(said), _english_words(reference))


def qa_f1_zh(said: str, reference: str, classes: tuple[str, ...] = ()) -> float:
    """F1 of the Chinese words in common, as `jieba` divides them, without punctuation."""
    return _f1(_chinese_words(said), _chinese_words(reference))


def rouge(said: str, reference: str, classes: tuple[str, ...] = ()) -> float:
    """ROUGE-L of summaries as `rouge` has it: sentences end at full stops, and each word counts once.

    Of every sentence of the reference the words are taken that longest common subsequences with the sentences of the
    answer consist of; their set is set against the sets of all words (F1).
    """
    own, wanted = _sentences(said), _sentences(reference)
    if not own or not wanted:
        return 0.0
    common = set[str]().union(*(_common_words(sentence, own) for sentence in wanted))
    precision = len(common) / len({word for sentence in own for word in sentence})
    recall = len(common) / len({word for sentence in wanted for word in sentence})
    return 2.0 * ((precision * recall) / (precision + recall + 1e-8))


def rouge_zh(said: str, reference: str, classes: tuple[str, ...] = ()) -> float:
    """`rouge` of the words that `jieba` divides Chinese into."""
    return rouge(" ".join(_jieba_words(said)), " ".join(_jieba_words(reference)))


def classification(said: str, reference: str, classes: tuple[str, ...] = ()) -> float:
    """One by the number of classes that the answer names, if the right one is among them.

    A class whose name is part of the right one's does not count. As officially, every second of several such classes is
    overlooked, since the list that is gone through is the one that they are removed from.
    """
    named = [name for name in classes if name in said]
    for name in named:
        if name in reference and name != reference:
            named.remove(name)
    return 1.0 / len(named) if reference in named else 0.0


def retrieval(said: str, reference: str, classes: tuple[str, ...] = ()) -> float:
    """Which share of the numbers in the answer are the right paragraph's.

    Raises
    ------
    UserError
        If the reference names none.
    """
    return _share_of_numbers(said, _paragraph(r"Paragraph (\d+)", reference))


def retrieval_zh(said: str, reference: str, classes: tuple[str, ...] = ()) -> float:
    """The same for a reference in Chinese."""
    return _share_of_numbers(said, _paragraph(r"段落(\d+)", reference))


def count(said: str, reference: str, classes: tuple[str, ...] = ()) -> float:
    """Which share of the numbers in the answer are the right one."""
    return _share_of_numbers(said, reference)


def code_similarity(said: str, reference: str, classes: tuple[str, ...] = ()) -> float:
    """Similarity of the first line that is neither a comment nor a fence with the right line."""
    lines = said.lstrip("\n").split("\n")
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
    """What divides Chinese into words; its dictionary is read, and no cache in a folder that others can write to.

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


def _f1(said: Sequence[str], wanted: Sequence[str]) -> float:
    common = (Counter(said) & Counter(wanted)).total()
    if not common:
        return 0.0
    precision, recall = common / len(said), common / len(wanted)
    return 2 * precision * recall / (precision + recall)


def _share_of_numbers(said: str, right: str) -> float:
    numbers = _NUMBER.findall(said)
    return sum(number == right for number in numbers) / len(numbers) if numbers else 0.0


def _paragraph(pattern: str, reference: str) -> str:
    found = re.search(pattern, reference)
    if found is None:
        raise UserError(f"the reference {reference[:80]!r} names no paragraph")
    return found[1]


def _sentences(text: str) -> list[tuple[str, ...]]:
    """The words of each sentence. As in `rouge`, a sentence of white space alone has one word, which is empty."""
    left, found = MOST_WORDS, []
    for sentence in text.split("."):
        if sentence and left > 0:
            words = tuple(" ".join(sentence.split(maxsplit=left)[:left]).split(" "))
            found.append(words)
            left -= len(words)
    return list(dict.fromkeys(found))  # only sets of words are compared, and what repeats itself adds nothing to them


def _common_words(sentence: Sequence[str], others: Sequence[Sequence[str]]) -> set[str]:
    """The words of longest common subsequences of a sentence with each of the others.

    Of several such subsequences, the one that `rouge` finds. The tables of lengths of all the others stand side by side
    in one; within a table, lengths grow to the right, and `offset` keeps the growth of one out of the next.
    """
    import numpy as np  # which most tasks do without

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
