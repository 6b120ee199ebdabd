"""How long ``freqq --help`` and completion take, beside the same of a Typer app with one empty command.

    python tests/bench/bench_startup.py [ROUNDS]

starts all of them in turn, so that a busy machine is busy for all, and prints medians and ratios.
"""

import os
import resource
import statistics
import subprocess
import sys
from time import perf_counter

import pytest

EMPTY = """
import typer

app = typer.Typer(name="empty")


@app.callback()
def options() -> None:
    \"\"\"Options of every command.\"\"\"


@app.command()
def nothing(method: str = "") -> None:
    \"\"\"Do nothing.\"\"\"


app(prog_name="empty")
"""
FREQQ = "from freqq.cli.app import main; main()"
ROUNDS = 15
GOAL = 1.3

Subject = tuple[str, list[str], dict[str, str]]


def completing(program: str, words: str) -> dict[str, str]:
    """The environment by which bash asks for completions."""
    count = len(words.split()) - (not words.endswith(" "))
    return {f"_{program.upper()}_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(count)}


PAIRS: dict[str, tuple[Subject, Subject]] = {
    "--help": (("empty --help", ["--help"], {}), ("freqq --help", ["--help"], {})),
    "a command's --help": (
        ("empty nothing --help", ["nothing", "--help"], {}),
        ("freqq eval --help", ["eval", "--help"], {}),
    ),
    "completing a command": (
        ("empty n<TAB>", [], completing("empty", "empty n")),
        ("freqq e<TAB>", [], completing("freqq", "freqq e")),
    ),
    "completing a value": (
        ("empty nothing --method <TAB>", [], completing("empty", "empty nothing --method ")),
        ("freqq eval --method <TAB>", [], completing("freqq", "freqq eval --method ")),
    ),
}


def start(subject: Subject) -> tuple[float, float]:
    """Run it once: seconds by the clock and of the processor."""
    name, arguments, environment = subject
    code = EMPTY if name.startswith("empty") else FREQQ
    before, begin = resource.getrusage(resource.RUSAGE_CHILDREN), perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], env=os.environ | environment, capture_output=True, text=True
    )
    clock, after = perf_counter() - begin, resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode == 0, done.stderr
    return clock, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def measure(pair: tuple[Subject, Subject], rounds: int) -> dict[str, tuple[float, float]]:
    """Median seconds, by the clock and of the processor, of each of two that are started in turn."""
    times: dict[str, list[tuple[float, float]]] = {subject[0]: [] for subject in pair}
    for _ in range(rounds):
        for subject in pair:
            times[subject[0]].append(start(subject))
    return {name: tuple(map(statistics.median, zip(*found, strict=True))) for name, found in times.items()}


def ratio(pair: tuple[Subject, Subject], rounds: int) -> tuple[str, float, float]:
    """What was measured as a line, and how many times as long freqq takes by either clock."""
    (empty, (wall, cpu)), (ours, (our_wall, our_cpu)) = measure(pair, rounds).items()
    line = (
        f"{ours}: {our_wall * 1e3:.0f} ms ({our_cpu * 1e3:.0f} ms of processor), {empty}: {wall * 1e3:.0f} "
        f"({cpu * 1e3:.0f}); ratio {our_wall / wall:.2f} ({our_cpu / cpu:.2f}), goal {GOAL}"
    )
    return line, our_wall / wall, our_cpu / cpu


@pytest.mark.parametrize("what", PAIRS)
def test_startup(benchmark, what):
    measured = benchmark.enabled
    ours = PAIRS[what][1]
    benchmark.pedantic(start, args=(ours,), rounds=3 if measured else 1, iterations=1)
    line, _, _ = ratio(PAIRS[what], ROUNDS if measured else 1)
    benchmark.extra_info["against an empty Typer app"] = line
    print(line)


if __name__ == "__main__":
    for pair in PAIRS.values():
        print(ratio(pair, int(sys.argv[1]) if sys.argv[1:] else ROUNDS)[0])
