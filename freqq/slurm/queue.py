"""States of jobs: of recent ones from squeue, of older ones from sacct where a cluster has accounting."""

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass

COLUMNS = {"JobArrayID": 40, "State": 24, "RestartCnt": 12, "NodeList": 60, "Reason": 80}
"""Columns of squeue and their widths; none of them is text that a user chose, which could look like another column."""

ENDED = frozenset(
    "COMPLETED CANCELLED FAILED TIMEOUT NODE_FAIL PREEMPTED BOOT_FAIL DEADLINE OUT_OF_MEMORY REVOKED".split()
)
"""States in which a job stays."""

TIMEOUT_S = 60
"""Timeout of Slurm's programs, which themselves try for so long to reach a controller."""


@dataclass(frozen=True)
class State:
    """A job's state, in Slurm's own words (``RUNNING``); `reason` says why it waits or why it ended.

    `source` is the program that said it.
    """

    name: str
    reason: str = ""
    node: str = ""
    restarts: int = 0
    source: str = "squeue"

    @property
    def live(self) -> bool:
        """Whether it is queued or running."""
        return self.source != "log" and self.name not in ENDED


def element(job: str, index: int) -> str:
    """Slurm's id of an array's task."""
    return f"{job}_{index}"


def states(ids: Sequence[str]) -> tuple[dict[str, State], str]:
    """The states of jobs and of arrays' tasks, by id; and why Slurm could not be asked, if it could not.

    Missing are those that Slurm has forgotten, and tasks that were cancelled before they ever started.
    """
    columns = ",".join(f"{name}:{width}" for name, width in COLUMNS.items())
    arguments = ["--array", "--states=all", "--noheader", f"--jobs={_jobs(ids)}", f"--Format={columns}"]
    text, problem = _ask("squeue", *arguments)
    found = parse_squeue(text)
    if "Invalid job id" in problem:
        problem = ""  # It answers so if it has forgotten every one of them.
    if missing := [i for i in ids if i not in found]:
        arguments = ["--allocations", "--noheader", "--parsable2", f"--jobs={_jobs(missing)}"]
        text, _ = _ask("sacct", *arguments, "--format=JobID,State,NodeList")
        found = parse_sacct(text) | found
    return found, problem


def _jobs(ids: Sequence[str]) -> str:
    return ",".join(dict.fromkeys(i.partition("_")[0] for i in ids))


def parse_squeue(text: str) -> dict[str, State]:
    """States from squeue's columns, as `COLUMNS` orders them."""
    found = {}
    for line in text.splitlines():
        values, start = [], 0
        for width in COLUMNS.values():
            values.append(line[start : start + width].strip())
            start += width
        job, name, restarts, node, reason = values
        if job:
            restarted = int(restarts) if restarts.isdecimal() else 0
            found[job] = State(name, "" if reason == "None" else reason, node, restarted)
    return found


def parse_sacct(text: str) -> dict[str, State]:
    """States from sacct's ``JobID|State|NodeList``, in which a state may be followed by who did it."""
    found = {}
    for line in text.splitlines():
        job, name, node, *_ = [*line.split("|"), "", ""]
        if job and name:
            word, _, reason = name.partition(" ")
            found[job] = State(word, reason, "" if node == "None assigned" else node, source="sacct")
    return found


def _ask(*command: str) -> tuple[str, str]:
    """What a program prints, and why it failed if it did."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=TIMEOUT_S)
    except subprocess.TimeoutExpired:
        return "", f"{command[0]} does not answer"
    except OSError as error:
        return "", f"{command[0]}: {error.strerror}"
    return done.stdout, "" if done.returncode == 0 else (done.stderr.strip() or f"{command[0]} failed")
