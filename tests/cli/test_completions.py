"""Completion in the real shells: the scripts of completions/ are sourced, and Tab is pressed in a terminal."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import freqq
from freqq.cli.completions import SHELLS, script
from freqq.cli.options import codec_names, method_names
from freqq.glm.families import short_names
from freqq.levels import LEVELS
from tests import programs
from tests.terminal import Terminal, plain_environment

ROOT = Path(freqq.__file__).parents[1]
COMPLETIONS = ROOT / "completions"

CASES = {
    "freqq eval --method ": tuple(method_names()),
    "freqq eval --method token-l": ("token-lowpass",),
    "freqq eval --level mild,agg": ("mild,aggressive",),
    "freqq eval --level ": (*LEVELS, "all"),
    "freqq eval --model ": tuple(short_names()),
    "freqq eval --task niah_multik": ("niah_multikey_1", "niah_multikey_2", "niah_multikey_3"),
    "freqq eval --lev": ("--level",),
    "freqq eval --max-": ("--max-new-tokens", "--max-batch-tokens"),
    "freqq compress-image --codec ": (*codec_names(), "all"),
    "freqq compress-tokens --level ": LEVELS,
    "freqq visualize spec": ("spectrum",),
    "freqq methods image-g": ("image-gray4", "image-gray2"),
}
"""What is typed before Tab, and what is offered."""


@pytest.fixture(params=SHELLS)
def shell(request) -> str:
    programs.require("shells", request.param)
    return request.param


@pytest.fixture(scope="module")
def environment(tmp_path_factory) -> dict[str, str]:
    """As after an installation: the command is on the path. The home is an empty one."""
    home = tmp_path_factory.mktemp("home")
    (home / "bin").mkdir()
    command = home / "bin" / "freqq"
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m freqq "$@"\n')
    command.chmod(0o755)
    path = f"{command.parent}:{os.environ['PATH']}"
    return plain_environment(
        TERM="xterm", HOME=str(home), ZDOTDIR=str(home), XDG_CONFIG_HOME=str(home / ".config"), PATH=path,
        PYTHONPATH=str(ROOT), PS1="> ", XDG_DATA_HOME=str(home / ".local"),
    )  # fmt: skip


@pytest.mark.parametrize("name", SHELLS)
def test_the_scripts_are_current(name):
    assert (COMPLETIONS / f"freqq.{name}").read_text() == script(name)


def test_the_shell_accepts_its_script(shell):
    done = subprocess.run([shell, "-n", str(COMPLETIONS / f"freqq.{shell}")], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def by_bash(environment, folder) -> dict[str, list[str]]:
    code = [f"source {COMPLETIONS}/freqq.bash", "complete -p freqq | grep -q -- '-F _freqq_completion freqq' || exit 3"]
    for typed in CASES:
        words = typed.split() + ([""] if typed.endswith(" ") else [])
        quoted = " ".join(f"'{word}'" for word in words)
        code.append(f"COMP_WORDS=({quoted}) COMP_CWORD={len(words) - 1}; _freqq_completion freqq")
        code.append("printf '%s\\t' \"${COMPREPLY[@]}\"; echo")
    command = ["bash", "--norc", "-c", "\n".join(code)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert (done.returncode, done.stderr) == (0, "")
    return dict(zip(CASES, (line.split() for line in done.stdout.splitlines()), strict=True))


def by_fish(environment, folder) -> dict[str, list[str]]:
    code = [f"source {COMPLETIONS}/freqq.fish"]
    for typed in CASES:
        code.append(f"complete -C '{typed}'; echo END")
    command = ["fish", "--no-config", "-c", "\n".join(code)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert (done.returncode, done.stderr) == (0, "")
    answers = [[line.split("\t")[0] for line in part.splitlines()] for part in done.stdout.split("END\n")[:-1]]
    return dict(zip(CASES, answers, strict=True))


ZSH_SETUP = r"""
autoload -Uz compinit && compinit -u -D
source {folder}/freqq.zsh
# All that completion functions add goes through compadd, which says into an array what would match.
compadd() {{
    local -a found
    builtin compadd -A found "$@"
    print -rn -- "$found " >> {file}
    builtin compadd "$@"
}}
"""


def by_zsh(environment, folder) -> dict[str, list[str]]:
    (folder / "setup").write_text(ZSH_SETUP.format(folder=COMPLETIONS, file=folder / "found"))
    terminal = Terminal(["zsh", "-f", "-i"], environment, cwd=str(folder))
    try:
        terminal.type(f". {folder}/setup; print 'READ''Y'\r")
        terminal.until(b"READY\r\n")
        for i, typed in enumerate(CASES):
            # Then the line is made a comment of sorts, and zsh gets to it once it has answered Tab.
            terminal.type(f"{typed}\t\x01: \x05\rprint >> {folder}/found; print 'DO''NE' {i}\r")
            terminal.until(f"DONE {i}\r\n".encode())
    finally:
        terminal.close()
    answers = [sorted(set(line.split())) for line in (folder / "found").read_text().splitlines()]
    return dict(zip(CASES, answers, strict=True))


def test_tab_offers(shell, environment, tmp_path):
    offered = {"bash": by_bash, "fish": by_fish, "zsh": by_zsh}[shell](environment, tmp_path)
    assert {typed: sorted(names) for typed, names in offered.items()} == {k: sorted(v) for k, v in CASES.items()}


def test_tab_in_a_terminal_after_installation(shell, environment, tmp_path):
    """`freqq --install-completion` tells the shell by itself, and a new shell then completes."""
    home = tmp_path / "home"
    home.mkdir()
    own = environment | {
        "HOME": str(home), "ZDOTDIR": str(home), "XDG_CONFIG_HOME": str(home / ".config"), "XDG_DATA_HOME": str(home),
        "SHELL": str(shutil.which(shell)),
    }  # fmt: skip
    # Two commands, so that the shell stays the parent of freqq, which is how freqq tells it.
    code = "freqq --install-completion; echo installed"
    done = subprocess.run([shell, "-c", code], capture_output=True, text=True, env=own)
    assert done.returncode == 0, done.stderr
    assert f"{shell} completion installed in {home}" in done.stdout.replace("\n", "")
    start = ["-i"] if shell != "bash" else ["--rcfile", str(home / ".bashrc"), "-i"]
    terminal = Terminal([shell, *start], own | {"PS1": "> "}, cwd=str(tmp_path))
    try:
        if shell == "fish":
            terminal.until(b"\x1b")
        terminal.type("echo REA''DY\r")
        terminal.until(b"READY")
        # Of Typer's own script, zsh's first Tab only loads it.
        terminal.type("freqq compress-tokens --method token-lowp" + ("\t\t" if shell == "zsh" else "\t"))
        terminal.until(b"ass")
    finally:
        terminal.close()


def test_completing_imports_nothing_heavy(environment):
    heavy = "torch transformers numpy scipy datasets pyarrow matplotlib PIL accelerate safetensors pandas rich".split()
    code = f"""
import atexit, sys
atexit.register(lambda: print("heavy:", sorted(set({heavy!r}) & set(sys.modules))))
from freqq.cli.app import main
main()
"""
    asked = {"_FREQQ_COMPLETE": "complete_bash", "COMP_WORDS": "freqq eval --method token-l", "COMP_CWORD": "3"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment | asked)
    assert done.stdout == "token-lowpass\nheavy: []\n", done.stderr
