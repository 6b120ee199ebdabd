"""The completion scripts in ``completions/``: ``python -m freqq.cli.completions bash``."""

import sys

from typer.completion import get_completion_script  # type: ignore[attr-defined]

SHELLS = ("bash", "zsh", "fish")

ZSH_REGISTERS = "compdef _freqq_completion freqq"
ZSH_COMPLETES = f"""if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
  _freqq_completion "$@"
else
  {ZSH_REGISTERS}
fi"""
"""A script that is `_freqq` in a folder of $fpath runs on the first Tab, which should complete too."""


def script(shell: str) -> str:
    """The script that makes a shell complete ``freqq``: Typer's, with another end for zsh."""
    text: str = get_completion_script(prog_name="freqq", complete_var="_FREQQ_COMPLETE", shell=shell)
    return text.replace(ZSH_REGISTERS, ZSH_COMPLETES).rstrip() + "\n"


if __name__ == "__main__":
    sys.stdout.write(script(sys.argv[1]))
