"""Text that every Python brings along, to train codebooks on: prose, docstrings, code, and rare characters."""

import ast
import random
import re
import sysconfig
from collections.abc import Iterator
from pathlib import Path

SHORTEST = 80
"""Docstrings under this many characters are left out: they say little, and often the same."""

MODULES = 60
"""Modules whose whole source is taken."""

RARE = "".join(chr(c) for c in (*range(33, 127), *range(161, 383))) + "–—‘’“”„†‡•…‰‹›€™−≈≠≤≥←↑→↓"
RARE_WORDS = 12_000


def python_texts() -> Iterator[str]:
    """The language reference, the standard library's docstrings, some of its modules, and made-up words.

    The same for the same release of Python. About 3 million characters, a third of it code.
    """
    yield reference()
    yield docstrings()
    yield source()
    yield rare_words()


def reference() -> str:
    """What ``help("topics")`` shows: some 400,000 characters of English prose."""
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
    """The first modules by name."""
    return "\n".join(path.read_text(encoding="utf-8", errors="replace") for path in _modules()[:MODULES])


def rare_words(seed: int = 0) -> str:
    """Words of characters that prose seldom has: accents, typographic marks, arrows, any two beside each other."""
    rng = random.Random(f"rare/{seed}")
    return " ".join("".join(rng.choice(RARE) for _ in range(rng.randint(1, 9))) for _ in range(RARE_WORDS))


def _modules() -> list[Path]:
    return sorted(Path(sysconfig.get_paths()["stdlib"]).glob("*.py"))
