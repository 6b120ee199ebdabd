"""Prompts that are read in pieces: the same answers, in less memory."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from freqq.errors import UserError
from freqq.glm import memory_saving
from freqq.glm.memory_saving import NO_SAVING, MemorySaving, fallbacks
from freqq.glm.reader import Reader
from freqq.glm.sequence import as_compressed
from freqq.tokens import compressor
from tests.bench.long_prompt import FREEING
from tests.glm.conftest import TEXT, save_model
from tests.glm.test_compressed import generated, inputs_of, new_ids
from tests.glm.test_reader import PAGES, QUESTION, pruned


@pytest.mark.parametrize("chunk", [1, 7, 64])
def test_pieces_of_any_size_give_the_whole_prompt_s_answer(reader: Reader, chunk: int) -> None:
    """A padded batch of pages that are whole, pruned and smaller, whose positions are then fractions."""
    wide, high = reader.see(PAGES)
    samples = [
        [compressor("token-lowpass")(keep=0.4).compress(wide), pruned(high, 0.5)],
        [as_compressed(high)],
        [],
        [pruned(wide, 0.3), as_compressed(high)],
    ]
    questions = ["short", QUESTION, "no page at all", QUESTION + " Answer in full."]
    inputs = inputs_of(reader, samples, questions)
    whole = generated(reader, inputs, 6, do_sample=False, output_logits=True)
    inputs = inputs_of(reader, samples, questions)
    pieces = generated(reader, inputs, 6, do_sample=False, output_logits=True, prefill_chunk_size=chunk)
    assert new_ids(pieces, inputs) == new_ids(whole, inputs)
    torch.testing.assert_close(torch.cat(pieces.logits), torch.cat(whole.logits), atol=1e-4, rtol=0)
    for one, other in zip(pieces.past_key_values.layers, whole.past_key_values.layers, strict=True):
        assert one.keys.shape == other.keys.shape


def test_a_reader_reads_in_pieces_if_asked_to(small: Reader) -> None:
    lengths: list[int] = []
    hook = small.model.model.language_model.layers[0].register_forward_pre_hook(
        lambda module, given: lengths.append(given[0].shape[1])
    )
    grids = [small.see(PAGES)]
    whole = small.answer_many([QUESTION], grids, 4)[0]
    prompt, lengths[:] = lengths[0], []
    pieces = small.answer_many([QUESTION], grids, 4, saving=MemorySaving(20))[0]
    hook.remove()
    assert (pieces.text, pieces.kv_bytes, pieces.prompt_tokens) == (whole.text, whole.kv_bytes, whole.prompt_tokens)
    assert max(lengths) == 20
    assert sum(lengths) == prompt + pieces.new_tokens - 1


def test_the_fallbacks_take_less_and_less() -> None:
    assert fallbacks(None, False) == (MemorySaving(1024),)
    assert fallbacks(None, True) == (MemorySaving(1024), MemorySaving(128, True))
    assert fallbacks(300, True) == (MemorySaving(300), MemorySaving(128, True))
    assert fallbacks(50, True) == (MemorySaving(50), MemorySaving(50, True))
    assert MemorySaving() == NO_SAVING


def test_an_older_transformers_reads_in_one_piece_or_says_why_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory_saving, "version", lambda name: "5.22.1")
    assert fallbacks(None, True) == ()
    assert MemorySaving(None, True).offload
    with pytest.raises(UserError, match=r"needs transformers 5\.23, and 5\.22\.1 is installed"):
        MemorySaving(1024)


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits a process's memory")
def test_where_memory_runs_out_pieces_fit(tmp_path: Path) -> None:
    """For real: a process that may take 120 MiB more than it has, and a model of wide layers, whose activations are
    128 KiB a token: a prompt of 500 tokens needs more at once, a piece of 128 does not. What is freed goes back at
    once, or what the allocator keeps would decide."""
    wide = TEXT | {"intermediate_size": 32768, "max_position_embeddings": 2048}
    folder = save_model("glm4v", tmp_path / "wide", text=wide)
    code = """
import resource, sys
from functools import partial
from pathlib import Path
from freqq.glm.load import load_reader
from freqq.glm.memory_saving import NO_SAVING, fallbacks
from freqq.runs.failures import stage
from tests.glm.conftest import noise_page
reader = load_reader(sys.argv[1], device="cpu")
grids = reader.see([noise_page(560, 560, 0)])
answer = lambda saving, batch: [a.text for a in reader.answer_many(batch, [grids] * len(batch), 3, saving=saving)]
question = "x" * 90
[whole] = answer(NO_SAVING, [question])
size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (size + 120 * 2**20, -1))
for offload in (False, True):
    ways = [partial(answer, saving) for saving in fallbacks(None, offload)]
    [outcome] = stage(partial(answer, NO_SAVING), [question], ways)
    print("equal" if outcome == whole else outcome)
"""
    command = [sys.executable, "-c", code, str(folder)]
    done = subprocess.run(command, env=os.environ | FREEING, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    failed, offloaded = done.stdout.splitlines()
    assert failed.startswith("out of memory on 1 prompts of up to 49")
    assert offloaded == "equal"
