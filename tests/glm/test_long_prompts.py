"""A long prompt's memory: it grows with the tokens, never with their square, and is what was predicted."""

import json
import os
import subprocess
import sys
from itertools import combinations

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from freqq.glm import sdpa
from freqq.glm.memory_saving import MemorySaving
from freqq.glm.place import multiplies_bfloat16
from freqq.glm.reader import Reader
from freqq.glm.sequence import as_compressed
from freqq.tokens.prune import Prune
from tests.bench.long_prompt import FREEING
from tests.conftest import FULL, needs_tiny
from tests.glm.test_compressed import generated, inputs_of

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


@pytest.mark.parametrize("piece", [None, 32])
def test_nor_is_anything_for_prompts_of_unequal_length(reader, piece, monkeypatch):
    monkeypatch.setattr(sdpa, "ROWS", 192)
    pages = grids(reader)
    with Shapes() as shapes:
        answers = reader.answer_many(["What?", "Why?"], [pages, pages[:3]], 2, saving=MemorySaving(piece))
    assert not squares(shapes.seen, max(answer.prompt_tokens for answer in answers))


def test_they_give_what_transformers_own_attention_gives(reader, monkeypatch):
    monkeypatch.setattr(sdpa, "ROWS", 192)
    pages = grids(reader)
    samples = [[as_compressed(page) for page in some] for some in (pages[:3], pages, [])]
    asked = ["What?", "Why?", "no page at all"]

    def logits():
        inputs = inputs_of(reader, samples, asked)
        return torch.stack(generated(reader, inputs, 3, do_sample=False, output_logits=True).logits)

    found = logits()
    reader.model.set_attn_implementation("sdpa")
    try:
        assert torch.equal(found, logits())
    finally:
        reader.model.set_attn_implementation(sdpa.NAME)


@needs_tiny  # whose tokenizer the wide model has
@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
@pytest.mark.parametrize(("pages", "piece"), [(2, None), (3, 512), *([(4, None), (8, 512)] if FULL else [])])
def test_a_prompt_takes_what_was_predicted(pages, piece):
    """Each is read by a process that did nothing before, whose freed memory goes back at once."""
    command = [sys.executable, "-m", "tests.bench.long_prompt", str(pages)]
    command += [] if piece is None else ["--piece", str(piece)]
    command += [] if multiplies_bfloat16() else ["--dtype", "float32"]  # which takes a fifth of the time
    done = subprocess.run(command, env=os.environ | FREEING, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["tokens"] > 630 * pages
    assert 0.85 < found["measured_bytes"] / found["predicted_bytes"] < 1.15, found
