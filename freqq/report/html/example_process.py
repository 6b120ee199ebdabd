"""Examples made by a process of its own: loading torch and a model takes as long as all the rest of a report."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from freqq.errors import FreqqError
from freqq.report.html.choose import Chosen, choose
from freqq.report.html.differences import Piece
from freqq.report.html.examples import Answered, Example, Picture, examples


class ExampleProcess:
    """A process that loads what it may need, is told the runs, and makes their examples; as a context, it ends with it.

    In a process that has torch already it does nothing, and the examples are made when they are wanted.
    """

    def __init__(self) -> None:
        self._child: subprocess.Popen[str] | None = None
        self._pairs: list[tuple[Path, Path]] = []
        if "transformers" not in sys.modules:
            # It looks for modules where this process does, and not first in whatever folder the user is in.
            self._child = subprocess.Popen(
                [sys.executable, "-P", "-m", __name__],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                encoding="utf-8",
                env=os.environ | {"PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path)},
            )

    def __enter__(self) -> "ExampleProcess":
        return self

    def __exit__(self, *_: object) -> None:
        if self._child is not None:
            self._child.kill()
            self._child.communicate()

    def ask(self, pairs: Sequence[tuple[Path, Path]]) -> None:
        """Say of which runs examples are wanted, each with the run that has its baseline."""
        self._pairs = list(pairs)
        if self._child is not None and self._child.stdin is not None:
            with suppress(BrokenPipeError):  # of a process that ended; `examples` says why
                self._child.stdin.write(json.dumps([[str(path) for path in pair] for pair in pairs]) + "\n")
                self._child.stdin.flush()

    def examples(self) -> list[Example]:
        """The examples of those runs.

        Raises
        ------
        FreqqError
            If the process failed.
        """
        if self._child is None:
            return examples(choose(self._pairs))
        text, errors = self._child.communicate()
        if self._child.returncode:
            said = errors.strip().splitlines()[-1:] or [f"exit status {self._child.returncode}"]
            raise FreqqError(f"the examples could not be made: {said[0]}")
        return [_example(one) for one in json.loads(text)]


def _example(found: Mapping[str, Any]) -> Example:
    chosen = found["chosen"]
    return Example(
        **{
            **found,
            "chosen": Chosen(**{**chosen, "run": Path(chosen["run"]), "baseline": Path(chosen["baseline"])}),
            "expected": _pieces(found["expected"]),
            "answers": tuple(Answered(**{**a, "pieces": _pieces(a["pieces"])}) for a in found["answers"]),
            "before": found["before"] and Picture(**found["before"]),
            "after": found["after"] and Picture(**found["after"]),
        }
    )


def _pieces(found: Sequence[Mapping[str, Any]]) -> tuple[Piece, ...]:
    return tuple(Piece(**piece) for piece in found)


def main() -> None:
    """Pairs of directories from standard input, examples to standard output."""
    import freqq.glm.load
    import freqq.runs.plan  # noqa: F401 (both in advance)

    pairs = [(Path(run), Path(base)) for run, base in json.loads(sys.stdin.readline())]
    json.dump([asdict(e) for e in examples(choose(pairs))], sys.stdout, default=str)


if __name__ == "__main__":
    main()
