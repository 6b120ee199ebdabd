"""A job's state and last error, from its log."""

import re
from pathlib import Path

from freqq.slurm.queue import State
from freqq.slurm.script import BEGINS, ENDED

TAIL = 64 * 1024
"""Bytes read from the end of a log, which may be full of warnings."""

LONGEST_LINE = 300

ERROR = re.compile(r"error|exception|not found|no such|cannot|denied|fatal|killed|cancelled", re.IGNORECASE)
ECHO = re.compile(r"srun: |slurmstepd[^:]*: error: \*\*\* .* DUE TO (JOB REQUEUE|PREEMPTION)")
"""Slurm's lines about how a process ended or was requeued, which are not errors of a run."""


def read(path: Path) -> str:
    """The end of a log; empty if there is none."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - TAIL))
            return file.read(TAIL).decode(errors="replace")
    except OSError:
        return ""


def attempt(text: str) -> list[str]:
    """The lines of the last attempt, including the mark at its beginning."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    begins = [i for i, line in enumerate(lines) if line.startswith(BEGINS)]
    return lines[begins[-1] :] if begins else lines


def restarts(text: str) -> int:
    """How often the job was requeued before its last attempt."""
    found = re.search(rf"^{BEGINS}.*restart (\d{{1,9}})$", "\n".join(attempt(text)), re.MULTILINE)
    return int(found[1]) if found else 0


def state(text: str) -> State:
    """The state of a job that Slurm no longer knows, from its log."""
    lines = attempt(text)
    ended = [line.removeprefix(ENDED).strip() for line in lines if line.startswith(ENDED)]
    if not ended:
        return State("STOPPED" if lines else "NEVER RAN", restarts=restarts(text), source="log")
    reason = "" if ended[-1] == "0" else f"exit code {ended[-1]}"
    return State("FAILED" if reason else "COMPLETED", reason, restarts=restarts(text), source="log")


def last_error(text: str) -> str | None:
    """The last line of the last attempt that looks like an error."""
    lines = [line for line in attempt(text) if not line.startswith((BEGINS, ENDED)) and not ECHO.match(line)]
    found = next((line for line in reversed(lines) if ERROR.search(line)), None)
    return found if found is None else _short(found)


def last_words(text: str) -> str | None:
    """The last error, or else the last line, or else the exit code."""
    lines = [line for line in attempt(text) if not line.startswith((BEGINS, ENDED))]
    return last_error(text) or (_short(lines[-1]) if lines else state(text).reason or None)


def _short(line: str) -> str:
    printable = "".join(c if c.isprintable() else " " for c in line)
    return printable if len(printable) <= LONGEST_LINE else printable[:LONGEST_LINE] + "..."
