"""The memory of a training on a model of the real width is what was estimated before it began."""

import json
import os
import subprocess
import sys

import pytest

from tests.conftest import FULL, needs_tiny

MINUTES = pytest.mark.skipif(not FULL, reason="minutes: make test-full runs it")

MEASURE = """
import json, sys, time
from pathlib import Path
import torch
from accelerate import Accelerator
from freqq.adapt.loop import Training
from freqq.adapt.memory import estimate
from freqq.adapt.settings import Adaptation, Habits
from freqq.adapt.training_data import Example, Question, TrainingData
from freqq.glm.adapter import Adapter
from freqq.glm.adapter_card import AdapterCard
from freqq.glm.place import multiplies_bfloat16
from freqq.runs.settings import Settings
from tests.bench.bench_wide import chats
from tests.bench.wide_glm4v import wide_reader

def bytes_of(name):
    [line] = [line for line in open("/proc/self/status") if line.startswith(name)]
    return 1024 * int(line.split()[1])

folder, train, pages, batch, checkpointing = json.loads(sys.argv[1])
torch.set_num_threads(1)
[sample] = chats(1, pages)
pages = tuple(Settings(data="mini", look="glyph").rendering.pages(sample))[:pages]
example = Example(pages, (Question("Which?", "prefix " + "word " * 20, "prefix"),))
data = TrainingData(lambda i: example, lambda i: example, 1, "mini", "")
narrow = multiplies_bfloat16()  # else it takes minutes
accelerator = Accelerator(mixed_precision="bf16" if narrow else "no")
before = bytes_of("VmRSS")
settings = Adaptation("wide", None, "token-lowpass", ("mild",), train=train, rank=16, steps=2, batch=batch)
card = AdapterCard(settings.name, ("mild",), (), "wide", "wide", train, 16, "mini", "", 0)
reader = wide_reader(torch.bfloat16 if narrow else torch.float32)
adapter, habits = Adapter(reader, card), Habits(recompute=checkpointing)
training = Training(settings, habits, adapter, data, accelerator, Path(folder), time.monotonic, 0.0)
parts = estimate(training)
with open("/proc/self/clear_refs", "w") as file:
    file.write("5")  # the highest so far is that of now
for _ in range(1 if train == "lora" else 2):  # optimizers have their state, here a small one, behind the first step
    training._learn()
print(json.dumps([parts, bytes_of("VmHWM") - before]))
"""


@needs_tiny  # whose tokenizer the wide model has
@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
@pytest.mark.parametrize(
    ("train", "pages", "batch", "checkpointing"),
    [
        ("lora", 1, 1, False),
        pytest.param("lora", 4, 1, False, marks=MINUTES),
        pytest.param("lora", 2, 2, True, marks=MINUTES),
        pytest.param("merger", 1, 1, False, marks=MINUTES),
    ],
)
def test_a_training_takes_what_was_estimated(tmp_path, train, pages, batch, checkpointing):
    """What is freed goes back at once, see `tests/glm/test_long_prompts.py`."""
    environment = os.environ | {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_ARENA_MAX": "1"}
    asked = json.dumps([str(tmp_path), train, pages, batch, checkpointing])
    done = subprocess.run([sys.executable, "-c", MEASURE, asked], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    parts, peak = json.loads(done.stdout.splitlines()[-1])
    assert 0.85 < peak / sum(parts.values()) < 1.15, (parts, peak)
