"""The command as a whole: quick help, clear errors, current completions."""

import re
import subprocess
import sys

import pytest
import typer
from typer.testing import CliRunner, Result

import freqq as package
from freqq import __version__
from freqq.cli.app import COMMANDS as COMMANDS_BY_NAME
from freqq.cli.app import app, built
from freqq.cli.command import Guarded
from freqq.errors import FreqqError, Interrupted, UserError
from freqq.names import unknown
from tests.runs.faulty_device import BREAKING, out_of_memory

HEAVY = (
    "torch transformers numpy scipy datasets pyarrow matplotlib PIL accelerate safetensors pandas tokenizers peft "
    "httpx jinja2"
)


def freqq(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments), prog_name="freqq")


def python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


COMMANDS = (
    "eval compress-image visualize slurm-submit train serve adapt report compare leaderboard doctor methods".split()
)


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help_imports_nothing_heavy(command):
    code = f"""
import sys
from freqq.cli.app import main
sys.argv = ["freqq", *{command!r}.split(), "--help"]
try:
    main()
except SystemExit as end:
    assert end.code == 0
print("heavy:", sorted(set({HEAVY!r}.split()) & set(sys.modules)))
"""
    assert python(code).endswith("heavy: []\n")


def test_options_are_checked_before_torch_is_imported():
    wrong = (
        "eval --method tokn",
        "eval --method token-lowpas+quantize",
        "eval --method token --method token",
        "eval --level mld",
        "eval --dtype float31",
        "eval --needle 3",
        "eval --shard 2/2",
        "adapt --out made --steps 1 --method tokn",
        "adapt --out made --steps 1 --level mld",
        "adapt --out made --steps 1 --dtype float31",
        "adapt --out made",
    )
    code = f"""
import sys
from freqq.cli.app import main
for line in {wrong!r}:
    sys.argv = ["freqq", *line.split()]
    try:
        main()
    except SystemExit as end:
        assert end.code == 2, line
    assert "torch" not in sys.modules, line
"""
    python(code)


def every_command(command=None, path=()):
    """All commands and groups with their options, by the words that call them."""
    for name, below in command.commands.items() if command else ((name, built(name)) for name in COMMANDS_BY_NAME):
        yield " ".join((*path, name)), below
        if hasattr(below, "commands"):
            yield from every_command(below, (*path, name))


def test_every_help_is_whole_paragraphs_and_every_value_has_a_name():
    found = dict(every_command())
    assert {"eval", "codebook train", "runs verify"} <= set(found)
    for words, command in found.items():
        shown = freqq(*words.split(), "--help").stdout
        assert not re.search(r"<\w+( \w+)?>|\.\.\.\S*\.\.\.", shown), words
        assert not re.search(r"[^\n]\n[^\n]", command.help), words


def test_no_bracket_of_a_help_text_is_swallowed():
    shown = " ".join(freqq("eval", "--help").stdout.replace("│", " ").split())
    assert "extra quantization" in shown


def test_help_names_the_exit_code_of_every_error_in_one_line():
    (line,) = [line for line in freqq("--help").stdout.splitlines() if "Exit codes" in line]
    assert re.findall(r"\d+", line) == ["0", *map(str, sorted({e.exit_code for e in errors_of(FreqqError)}))]


def errors_of(kind):
    return [kind, *(one for below in kind.__subclasses__() for one in errors_of(below))]


def test_help_names_every_command():
    shown = freqq("--help").stdout
    for command in (
        "compress-image",
        "decompress",
        "info",
        "compress-tokens",
        "eval",
        "visualize",
        "slurm-submit",
        "runs",
        "train",
    ):
        assert command in shown


def test_importing_the_package_costs_nothing_and_its_names_work():
    code = (
        f"import sys, freqq; assert not set({HEAVY!r}.split()) & set(sys.modules); print(freqq.grade('ab', 'ab', 'a'))"
    )
    assert "score=1.0" in python(code)
    assert all(getattr(package, name) is not None for name in package.__all__)
    with pytest.raises(AttributeError, match="nothing_such"):
        _ = package.nothing_such


def test_the_version_is_shown():
    assert freqq("--version").stdout == f"freqq {__version__}\n"


def test_it_runs_as_a_module():
    done = subprocess.run([sys.executable, "-m", "freqq", "--version"], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, f"freqq {__version__}\n")


@pytest.mark.parametrize(
    ("error", "code"),
    [(UserError("give\n  a [b]file[/b]"), 2), (FreqqError("it broke"), 1), (Interrupted("later"), 75),
     (KeyboardInterrupt(), 75), (PermissionError(13, "Permission denied", "x"), 1),
     (BREAKING["cudnn"](), 69), (out_of_memory(), 1), (MemoryError(), 1)],
)  # fmt: skip
def test_an_error_is_one_line_and_a_code(error, code):
    failing = typer.Typer(cls=Guarded, pretty_exceptions_enable=False)

    @failing.command()
    def fail() -> None:
        raise error

    @failing.callback()
    def options(debug: bool = False) -> None: ...

    done = CliRunner().invoke(failing, ["fail"])
    assert done.exit_code == code
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    assert "Traceback" not in done.stderr
    shown = CliRunner().invoke(failing, ["--debug", "fail"])
    assert shown.exit_code == code
    assert "Traceback" in shown.stderr


@pytest.mark.parametrize("error", [ZeroDivisionError(), RuntimeError("shapes do not match")])
def test_a_bug_is_not_dressed_up_as_the_users_error(error):
    failing = typer.Typer(cls=Guarded, pretty_exceptions_enable=False)

    @failing.command()
    def fail() -> None:
        raise error

    @failing.callback()
    def options(debug: bool = False) -> None: ...

    assert isinstance(CliRunner().invoke(failing, ["fail"]).exception, type(error))


@pytest.mark.parametrize(("name", "meant"), [("extrem", "extreme"), ("MILD", "mild"), ("agressive", "aggressive")])
def test_the_nearest_name_is_suggested(name, meant):
    message = str(unknown("level", name, ["mild", "aggressive", "extreme"]))
    assert f"did you mean {meant!r}?" in message
    assert "known: mild, aggressive, extreme" in message


def test_nothing_is_suggested_if_nothing_is_near():
    assert "did you mean" not in str(unknown("level", "zzz", ["mild", "extreme"]))
