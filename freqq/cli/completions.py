"""The completion scripts in ``completions/``: ``python -m freqq.cli.completions bash``."""

import sys

from typer.completion import get_completion_script  # type: ignore[attr-defined]

SHELLS = ("bash", "zsh", "fish")


def script(shell: str) -> str:
    """The script that makes a shell complete ``freqq``, as Typer writes it."""
    text: str = get_completion_script(prog_name="freqq", complete_var="_FREQQ_COMPLETE", shell=shell)
    return text.rstrip() + "\n"


if __name__ == "__main__":
    sys.stdout.write(script(sys.argv[1]))
