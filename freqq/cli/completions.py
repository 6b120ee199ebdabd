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
"""As `_freqq` in a folder of $fpath, a script is run by the first Tab, which is to complete, too."""


def script(shell: str) -> str:
    """The script that makes a shell complete ``freqq``, as Typer writes it, save for the end of zsh's."""
    text: str = get_completion_script(prog_name="freqq", complete_var="_FREQQ_COMPLETE", shell=shell)
    return text.replace(ZSH_REGISTERS, ZSH_COMPLETES).rstrip() + "\n"


if __name__ == "__main__":
    sys.stdout.write(script(sys.argv[1]))
