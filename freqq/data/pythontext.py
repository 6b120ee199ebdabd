"""Text to train codebooks on: prose, docstrings and code that come with Python, and random words."""

import ast
import random
import re
import string
import sysconfig
from collections.abc import Iterator
from pathlib import Path

SHORTEST = 80
"""Shorter docstrings, in characters, are skipped: many are nearly equal."""

MODULES = 60
"""Number of modules that contribute their source."""

RARE = "".join(chr(c) for c in (*range(33, 127), *range(161, 383))) + "–—‘’“”„†‡•…‰‹›€™−≈≠≤≥←↑→↓"
RARE_WORDS = 12_000

PASSAGES, PASSAGE_WORDS = 32, 4_000
"""Passages of invented words, each with its own letter frequencies, and words per passage."""

SIGNS = string.punctuation
ENDS = ".,.,.,;:?!"
WRAPS = ('"%s"', "'%s'", "(%s)", "[%s]", "%s's", "%s-", "%s")


def python_texts() -> Iterator[str]:
    """The language reference, the standard library's docstrings, some of its modules, and random words.

    About 3.9 million characters, less than half of them code; the same for the same release of Python.
    """
    yield reference()
    yield docstrings()
    yield source()
    yield rare_words()
    yield invented_words()


def reference() -> str:
    """The text of ``help("topics")``: about 400,000 characters of English prose."""
    from pydoc_data.topics import topics

    return re.sub(r"[ \t]+", " ", "\n".join(topics[name] for name in sorted(topics)))


def docstrings() -> str:
    """The docstrings of the standard library's top-level modules and packages."""
    found = []
    for path in _modules():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8", errors="replace"))):
            if isinstance(node, ast.Module | ast.FunctionDef | ast.ClassDef):
                text = ast.get_docstring(node) or ""
                if len(text) >= SHORTEST:
                    found.append(text)
    return "\n".join(found)


def source() -> str:
    """The source of the first `MODULES` modules by name."""
    return "\n".join(path.read_text(encoding="utf-8", errors="replace") for path in _modules()[:MODULES])


def rare_words(seed: int = 0) -> str:
    """Words of characters that are rare in prose (accents, typographic marks, arrows), in any combination."""
    rng = random.Random(f"rare/{seed}")
    return " ".join("".join(rng.choice(RARE) for _ in range(rng.randint(1, 9))) for _ in range(RARE_WORDS))


def invented_words(seed: int = 0) -> str:
    """Random words, names and numbers, in which any two letters can be adjacent.

    Letters are independent of each other. Their frequencies differ between passages (weights drawn from an exponential
    distribution), so that overall they are equally frequent.
    """
    rng = random.Random(f"invented/{seed}")
    passages = []
    for _ in range(PASSAGES):
        weights = [rng.expovariate(1) for _ in string.ascii_lowercase]
        passages.append(" ".join(_invented(rng, weights) for _ in range(PASSAGE_WORDS)))
    return "\n".join(passages)


def _invented(rng: random.Random, weights: list[float]) -> str:
    kind = rng.random()
    word = "".join(rng.choices(string.ascii_lowercase, weights, k=rng.randint(1, 11)))
    if kind < 0.12:
        word = word.capitalize()
    elif kind < 0.15:
        word = word.upper()
    elif kind < 0.20:
        word = "".join(rng.choices(string.digits + ".,:/-", [2] * 10 + [1] * 5, k=rng.randint(1, 7)))
    elif kind < 0.22:
        word = "".join(rng.choices(string.ascii_letters + SIGNS, k=rng.randint(2, 8)))
    mark = rng.random()
    if mark < 0.1:
        return word + rng.choice(ENDS)
    return rng.choice(WRAPS) % word if mark < 0.13 else word


def _modules() -> list[Path]:
    return sorted(Path(sysconfig.get_paths()["stdlib"]).glob("*.py"))
