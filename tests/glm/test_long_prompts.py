"""A long prompt's memory: it grows with the tokens, never with their square, and is what was foretold."""

import json
import os
import subprocess
import sys
from itertools import combinations

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from freqq.glm.load import find
from freqq.glm.memory_saving import MemorySaving
from freqq.glm.reader import Reader
from freqq.glm.spec import ModelSpec
from freqq.tokens.prune import Prune
from tests.bench.wide_glm4v import wide_config
from tests.conftest import needs_tiny

PAGES, SIDE = 4, 10
"""Small models have 512 positions."""


class Shapes(TorchDispatchMode):
    """Notes the shape of every tensor that is made."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: set[tuple[int, ...]] = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        made = func(*args, **(kwargs or {}))
        self.seen |= {tuple(leaf.shape) for leaf in tree_leaves(made) if isinstance(leaf, torch.Tensor)}
        return made


def squares(shapes: set[tuple[int, ...]], tokens: int) -> list[tuple[int, ...]]:
    """The shapes with two sides of at least about the prompt's length; no other number of a small model is so large."""
    return [shape for shape in shapes if any(min(pair) > 0.8 * tokens for pair in combinations(shape, 2))]


def grids(reader: Reader) -> list[torch.Tensor]:
    channels = reader.family.channels(reader.model.config)
    return [torch.randn(SIDE, SIDE, channels, generator=torch.Generator().manual_seed(i)) for i in range(PAGES)]


@pytest.mark.parametrize("pruned", [False, True])
@pytest.mark.parametrize("piece", [None, 32])
def test_nothing_is_as_large_as_the_square_of_a_prompt(reader, piece, pruned):
    pages = [Prune(keep=0.75).compress(grid) if pruned else grid for grid in grids(reader)]
    with Shapes() as shapes:
        [answer] = reader.answer_many(["What?"], [pages], 2, saving=MemorySaving(piece))
    assert answer.prompt_tokens > PAGES * SIDE**2 * (0.7 if pruned else 1)
    assert not squares(shapes.seen, answer.prompt_tokens)


def test_nor_is_anything_for_prompts_of_unequal_length_in_pieces(reader):
    pages = grids(reader)
    with Shapes() as shapes:
        answers = reader.answer_many(["What?", "Why?"], [pages, pages[:3]], 2, saving=MemorySaving(32))
    assert not squares(shapes.seen, max(answer.prompt_tokens for answer in answers))


MEASURE = """
import json, sys, torch
from freqq.glm.memory_saving import MemorySaving
from tests.bench.wide_glm4v import CHANNELS, wide_reader

def bytes_of(name):
    [line] = [line for line in open("/proc/self/status") if line.startswith(name)]
    return 1024 * int(line.split()[1])

reader = wide_reader(torch.bfloat16)
for pages, piece in json.loads(sys.argv[1]):
    before = bytes_of("VmRSS")
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")  # the highest so far is that of now
    grids = [torch.randn(30, 21, CHANNELS, dtype=torch.bfloat16) for _ in range(pages)]
    [answer] = reader.answer_many(["What?"], [grids], 1, saving=MemorySaving(piece))
    print(json.dumps([answer.prompt_tokens, answer.vision_tokens, piece, bytes_of("VmHWM") - before]), flush=True)
    del grids
"""


@pytest.fixture(scope="module")
def measured() -> dict[tuple[int, int | None], tuple[int, int, int]]:
    """Tokens, vision tokens and bytes of prompts of (pages, piece), each read by a process that did nothing before.

    What such a process frees goes back at once: glibc otherwise keeps up to 100 MB, another amount at every start.
    """
    found = {}
    environment = os.environ | {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_ARENA_MAX": "1"}
    for case in ((2, None), (4, None), (4, 512), (8, 512)):
        command = [sys.executable, "-c", MEASURE, json.dumps([case])]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        tokens, vision, _, peak = json.loads(done.stdout.splitlines()[-1])
        found[case] = tokens, vision, peak
    return found


@needs_tiny  # whose tokenizer the wide model has
@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
def test_a_prompt_takes_what_was_foretold(measured):
    spec = ModelSpec(find("tiny"), wide_config(), None, None)
    for (_, piece), (tokens, vision, peak) in measured.items():
        foretold = spec.prompt_bytes(tokens, vision, piece, "bfloat16")
        assert 0.85 < peak / foretold < 1.15, (tokens, piece, peak, foretold)
