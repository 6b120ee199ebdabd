"""Kill a run of two workers again and again, go on each time, and see that nothing is lost, doubled or changed.

``python -m tests.runs.killing KILLS [SEED]`` does it with the embedded model and prints what was killed when; a test
does it with fewer kills and a small random model.
"""

import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import pyarrow.parquet as pq

from freqq.runs.schema import SCHEMA
from freqq.runs.verify import verify

CHANGING = {"started_at", "peak_memory_bytes", "decode_ms_per_token", "shard"}
KEPT = [name for name in SCHEMA.names if name not in CHANGING and not name.endswith("_ms")]
"""All columns but times, a process's peak of memory, and the shard that a row was done in."""


def table(run: Path) -> list[dict[str, object]]:
    return pq.read_table(run / "results.parquet", columns=KEPT).to_pylist()


def workers_of(pid: int) -> list[int]:
    """The processes in which a run's replicas live (Linux)."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return [int(c) for c in children if b"shard_process" in Path(f"/proc/{c}/cmdline").read_bytes()]
    except (FileNotFoundError, ProcessLookupError):
        return []


def rows_on_disk(run: Path) -> int:
    return sum(pq.read_metadata(part).num_rows for part in (run / "parts").glob("*.parquet"))


def kill_often(
    options: Sequence[str],
    run: Path,
    kills: int,
    chance: random.Random,
    longest_s: float,
    say: Callable[[str], None],
) -> None:
    """Run ``freqq eval`` with two workers to its end, in spite of so many kills at random moments."""
    command = [sys.executable, "-m", "freqq", "eval", *options, "--workers", "2", "--out", str(run)]
    done = 0
    while True:
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        before, patient = rows_on_disk(run), chance.random() < 0.85
        while done < kills and process.poll() is None:
            # Now and then while it loads, mostly while it works.
            while patient and rows_on_disk(run) == before and process.poll() is None:
                time.sleep(0.2)
            time.sleep(chance.uniform(0, longest_s))
            victims = {"parent": [process.pid], "worker": workers_of(process.pid)[:1]}
            victims["all"] = victims["parent"] + workers_of(process.pid)
            name = chance.choice(["worker", "worker", "parent", "all"])
            if process.poll() is not None or not victims[name]:
                continue
            for victim in victims[name]:
                with suppress(ProcessLookupError):
                    os.kill(victim, signal.SIGKILL)
            done += 1
            say(f"kill {done}: {name}, {rows_on_disk(run)} rows on the disk")
        stderr = process.communicate()[1]
        if process.returncode == 0:
            return
        if process.returncode != -signal.SIGKILL and "all workers died" not in stderr:
            raise AssertionError(f"exit code {process.returncode}: {stderr}")


def main(kills: int, seed: int) -> None:
    options = "--needle 2 --needle 4 --limit 250".split()
    with tempfile.TemporaryDirectory() as folder:
        killed, whole = Path(folder) / "killed", Path(folder) / "whole"
        kill_often(options, killed, kills, random.Random(seed), 3, lambda text: print(text, flush=True))
        for finding in verify(killed):
            print("ok " if finding.passed else "BAD", finding.text)
        subprocess.run([sys.executable, "-m", "freqq", "eval", *options, "--out", str(whole)], check=True)
        print("the same table:", table(killed) == table(whole), f"({len(table(whole))} rows, {len(KEPT)} columns)")


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0)
