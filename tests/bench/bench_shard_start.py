"""How long a shard takes until its first sample is in hand, and its largest memory, with 2,400 chats of 400 kB each.

    python tests/bench/bench_shard_start.py FOLDER [CHATS] [CHARACTERS]

makes the files unless they are there, and starts shard 3/4 of a run of them twice, each time as a new process: with an
empty cache, and with what the first start left. Whether tokens are counted or estimated depends on whether tiktoken
finds its file of o200k, as it does for a user.
"""

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.bench.mrcr_files import write
from tests.glm.conftest import TEXT, save_model

CODE = """
import os, resource, sys, time
began = time.perf_counter()
from freqq.runs.evaluate import BatchEvaluator
from freqq.runs.options import EvalOptions
from freqq.runs.run import run

def begin(evaluator, samples, todo):
    seconds, peak = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(f"{seconds:.1f} {time.process_time():.1f} {peak * 1024}", flush=True)
    os._exit(0)

BatchEvaluator.prepare = begin
data, model, out = sys.argv[1:]
options = EvalOptions(model=model, data=data, needle="2,4,8", limit=2400, method="token-prune", out=out, shard="3/4")
run(options.settings(), options.folder(), machine=options.machine(), shard=options.part())
"""
POSITIONS = 262_144
"""Of the random model: the prompts of 400 kB have to fit."""


def start(data: Path, model: Path, out: Path, cache: Path) -> tuple[float, float, int]:
    """Seconds by the clock and of the processor, and the bytes of the largest resident set."""
    environment = os.environ | {"FREQQ_CACHE": str(cache), "PYTHONPATH": os.getcwd()}
    command = [sys.executable, "-c", CODE, str(data), str(model), str(out)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    seconds, processor, peak = re.findall(r"[\d.]+", done.stdout.splitlines()[-1])
    return float(seconds), float(processor), int(peak)


def measure(data: Path, chats: int, characters: int) -> list[str]:
    """A line for each start."""
    if not data.is_dir():
        write(data, chats, characters)
    lines = []
    with tempfile.TemporaryDirectory() as folder:
        model = save_model("glm4v", Path(folder) / "model", text=TEXT | {"max_position_embeddings": POSITIONS})
        for kind in ("empty cache", "filled cache"):
            seconds, processor, peak = start(data, model, Path(folder) / "run", Path(folder) / "cache")
            lines.append(
                f"shard 3/4 of {chats:,} chats of {characters / 1e3:.0f} kB, {kind}: "
                f"first sample after {seconds:.1f} s ({processor:.1f} s of processor), peak {peak / 1e9:.2f} GB; "
                "goal 20 s, 1 GB"
            )
    return lines


def test_shard_start(benchmark, tmp_path):
    chats, characters = (2400, 400_000) if benchmark.enabled else (12, 30_000)
    lines = benchmark.pedantic(measure, args=(tmp_path / "hub", chats, characters), rounds=1)
    benchmark.extra_info["starts"] = lines
    print(*lines, sep="\n")


if __name__ == "__main__":
    chats, characters = map(int, sys.argv[2:] or (2400, 400_000))
    print(*measure(Path(sys.argv[1]), chats, characters), sep="\n")
