"""What reading one long prompt takes, and what `ModelSpec.prompt_bytes` predicts: the wide model on a CPU.

``python -m tests.bench.long_prompt PAGES [--piece TOKENS] [--dtype float32]``, in an environment with `FREEING`. Pages
are of 630 random tokens, as if the tower had seen Glyph pages; the model is `tests.bench.wide_glm4v`. Progress goes to
standard error; standard output gets one line of JSON.
"""

import argparse
import json
import sys
from collections.abc import Mapping
from time import perf_counter, process_time
from types import MappingProxyType
from typing import Any

import torch

from freqq.glm.load import find
from freqq.glm.memory_saving import MemorySaving
from freqq.glm.spec import ModelSpec
from tests.bench.wide_glm4v import CHANNELS, wide_config, wide_reader

FREEING: Mapping[str, str] = MappingProxyType({"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_ARENA_MAX": "1"})
"""Environment variables by which glibc gives back at once what is freed. By default it keeps up to 100 MB, another
amount at every start."""


def bytes_of(name: str) -> int:
    """A line of Linux's account of this process's memory, such as ``VmHWM``."""
    with open("/proc/self/status") as file:
        [line] = [line for line in file if line.startswith(name)]
    return 1024 * int(line.split()[1])


def operations(layers: torch.nn.Module, tokens: int) -> float:
    """Of the layers for the first tokens of a prompt: two a parameter and token, and attention, whose pieces compute a
    score for every token before them."""
    return 2.0 * tokens * sum(p.numel() for p in layers.parameters()) + 2.0 * CHANNELS * tokens**2


def measure(pages: int, piece: int | None, dtype: str) -> dict[str, Any]:
    """Read a prompt of so many pages, `piece` tokens at a time; None: all at once."""
    numbers = getattr(torch, dtype)
    reader = wide_reader(numbers)
    language, read, start = reader.model.model.language_model, 0, perf_counter()

    def report(module: torch.nn.Module, args: Any, given: dict[str, Any]) -> None:
        nonlocal read
        done, seconds = operations(language.layers, read) / 1e12, perf_counter() - start
        print(f"{read:,} tokens, {done:.1f} TFLOP, {seconds:.0f} s", file=sys.stderr, flush=True)
        read += given["inputs_embeds"].shape[1]

    language.register_forward_pre_hook(report, with_kwargs=True)
    before = bytes_of("VmRSS")
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")  # the highest so far is that of now
    grids = [torch.randn(30, 21, CHANNELS, dtype=numbers) for _ in range(pages)]
    start, used = perf_counter(), process_time()
    [answer] = reader.answer_many(["What?"], [grids], 1, saving=MemorySaving(piece))
    seconds, used, peak = perf_counter() - start, process_time() - used, bytes_of("VmHWM") - before
    spec = ModelSpec(find("tiny"), wide_config(), None, None)
    predicted = spec.prompt_bytes(answer.prompt_tokens, answer.vision_tokens, piece, dtype)
    return {
        "pages": pages,
        "tokens": answer.prompt_tokens,
        "piece": piece,
        "predicted_bytes": predicted,
        "measured_bytes": peak,
        "measured_of_predicted": round(peak / predicted, 3),
        "tera_operations": round(operations(language.layers, answer.prompt_tokens) / 1e12, 2),
        "seconds": round(seconds, 1),
        "processor_seconds": round(used, 1),
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("pages", type=int)
    parser.add_argument("--piece", type=int)
    parser.add_argument("--dtype", choices=["bfloat16", "float32"], default="bfloat16")
    print(json.dumps(measure(**vars(parser.parse_args()))), flush=True)
