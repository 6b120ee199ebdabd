"""States of jobs: from squeue, and for older jobs from sacct if the cluster has accounting."""

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass

COLUMNS = {"JobArrayID": 40, "State": 24, "RestartCnt": 12, "NodeList": 60, "Reason": 80}
"""Columns of squeue and their widths; none of them holds user-defined text."""

ENDED = frozenset(
    "COMPLETED CANCELLED FAILED TIMEOUT NODE_FAIL PREEMPTED BOOT_FAIL DEADLINE OUT_OF_MEMORY REVOKED".split()
)
"""Final states."""

TIMEOUT_S = 60
"""Timeout of Slurm's programs; they try this long themselves to reach a controller."""


@dataclass(frozen=True)
class State:
    """A job's state in Slurm's terms (``RUNNING``), why it waits or ended, and the program that reported it."""

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
    """The states of jobs and array tasks by id, and why Slurm could not be queried (empty if it could).

    Jobs that Slurm has forgotten, and tasks cancelled before they started, are missing.
    """
    columns = ",".join(f"{name}:{width}" for name, width in COLUMNS.items())
    arguments = ["--array", "--states=all", "--noheader", f"--jobs={_jobs(ids)}", f"--Format={columns}"]
    text, problem = _ask("squeue", *arguments)
    found = parse_squeue(text)
    if "Invalid job id" in problem:
        problem = ""  # the answer if it has forgotten all of them
    if missing := [i for i in ids if i not in found]:
        arguments = ["--allocations", "--noheader", "--parsable2", f"--jobs={_jobs(missing)}"]
        text, _ = _ask("sacct", *arguments, "--format=JobID,State,NodeList")
        found = parse_sacct(text) | found
    return found, problem


def _jobs(ids: Sequence[str]) -> str:
    return ",".join(dict.fromkeys(i.partition("_")[0] for i in ids))


def parse_squeue(text: str) -> dict[str, State]:
    """States from squeue's output with the columns `COLUMNS`."""
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
    """States from sacct's ``JobID|State|NodeList``; a state may be followed by who caused it."""
    found = {}
    for line in text.splitlines():
        job, name, node, *_ = [*line.split("|"), "", ""]
        if job and name:
            word, _, reason = name.partition(" ")
            found[job] = State(word, reason, "" if node == "None assigned" else node, source="sacct")
    return found


def _ask(*command: str) -> tuple[str, str]:
    """A program's output, and why it failed (empty if it did not)."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=TIMEOUT_S)
    except subprocess.TimeoutExpired:
        return "", f"{command[0]} does not answer"
    except OSError as error:
        return "", f"{command[0]}: {error.strerror}"
    return done.stdout, "" if done.returncode == 0 else (done.stderr.strip() or f"{command[0]} failed")
