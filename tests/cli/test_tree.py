"""What holds for every command, found by walking the whole tree of them."""

import ast
import importlib
import inspect
import json
import re
import subprocess
import sys
from functools import cache

import pytest
from typer.testing import CliRunner

from freqq.cli.app import COMMANDS as LISTED
from freqq.cli.app import app, built
from freqq.cli.printing import print_json
from tests.command_lines import commands, lines, parse
from tests.terminal import Terminal, plain_environment

COMMANDS = dict(commands())
PRINTERS = ("freqq.cli.printing", "rich.table", "freqq.report.tables")
COLOUR = re.compile(rb"\x1b\[(?:\d+;)*(?:3[0-7]|4[0-7]|9[0-7]|38|48)(?:;\d+)*m")


def freqq(*arguments):
    return CliRunner().invoke(app, list(arguments), prog_name="freqq")


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_help_has_examples_that_the_command_takes(path):
    text = inspect.getdoc(COMMANDS[path].callback)
    examples = [
        " ".join(found.split()).replace(", then ", " && ")
        for found in re.findall(r"Example: (.+?)(?=\n\n|\nExample: |\Z)", text, re.DOTALL)
    ]
    assert examples
    assert text.count("Example") == len(examples)
    for example in examples:
        found = [parse(words).command_path for words in lines(example)]
        assert found[0] == f"freqq {' '.join(path)}"
    shown = " ".join(freqq(*path, "--help").stdout.replace("│", " ").split())
    assert f"Example: freqq {' '.join(path)}" in shown


@pytest.mark.parametrize("name", LISTED)
def test_a_command_is_listed_by_what_its_own_help_begins_with(name):
    assert " ".join(built(name).help.split("\n\n")[0].split()) == LISTED[name]


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_help_explains_every_option_and_argument(path):
    assert [p.name for p in COMMANDS[path].params if not p.help] == []


@cache
def functions(module):
    tree = ast.parse(inspect.getsource(importlib.import_module(module)))
    return {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}


def prints_a_table(module, name, seen=frozenset()):
    """Whether a function of the command line imports what prints tables, or calls one of the command line that does."""
    if (module, name) in seen or name not in functions(module):
        return False
    seen, called = seen | {(module, name)}, set()
    for node in ast.walk(functions(module)[name]):
        if isinstance(node, ast.ImportFrom):
            if node.module in PRINTERS:
                return True
            if node.module.startswith("freqq.cli."):
                called |= {(node.module, alias.name) for alias in node.names}
        elif isinstance(node, ast.Name):
            called.add((module, node.id))
    return any(prints_a_table(*one, seen) for one in called)


def test_every_command_that_prints_a_table_prints_json_as_well():
    with_tables = {p for p, c in COMMANDS.items() if prints_a_table(c.callback.__module__, c.callback.__name__)}
    with_json = {path for path, command in COMMANDS.items() if any("--json" in p.opts for p in command.params)}
    assert with_tables - with_json == set()
    assert {
        ("eval",),
        ("render",),
        ("runs", "list"),
        ("runs", "merge"),
        ("methods",),
        ("codebook", "list"),
    } <= with_tables
    assert ("decompress",) not in with_tables


def test_json_has_no_number_that_json_does_not_have(capsys):
    print_json({"psnr": [float("inf"), 1.5], "cer": float("nan"), "n": 3, "text": "Infinity"})
    assert json.loads(capsys.readouterr().out) == {"psnr": [None, 1.5], "cer": None, "n": 3, "text": "Infinity"}


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("evl", "eval"),
        ("visualize spectrm x.png", "spectrum"),
        ("runs lst", "list"),
        ("eval --methd token", "--method"),
        ("render mini --limt 1", "--limit"),
        ("eval --method imgae", "image"),
        ("eval --method token-lowpas", "token-lowpass"),
        ("eval --method token-lowpas+quantize", "token-lowpass"),
        ("eval --method token-lowpass+quantise", "quantize"),
        ("eval --level extrem", "extreme"),
        ("eval --model glyf", "glyph"),
        ("eval --data mcrr", "mrcr"),
        ("eval --task transcrib", "transcribe"),
        ("eval --generation gredy", "greedy"),
        ("eval --dtype float23", "float32"),
        ("eval --method token-prune --set kep=0.3", "keep"),
        ("compress-image pages --codec dtc", "dct"),
        ("compress-image pages --level agressive", "aggressive"),
        ("compress-tokens pages --method lowpas", "lowpass"),
        ("data info mni", "mini"),
        ("render mni", "mini"),
        ("slurm-submit --layout aray", "array"),
        ("methods token-prun", "token-prune"),
    ],
)
def test_a_typing_error_is_answered_with_what_was_meant(typed, meant):
    done = freqq(*typed.split())
    assert done.exit_code == 2
    said = " ".join(done.stderr.replace("│", " ").split())
    suggested = re.search(r"[Dd]id you mean '([^']+)'|Possible options: ([^)]+)\)", said)
    assert suggested is not None, said
    assert meant in re.split(r", ", suggested[1] or suggested[2])[:3] or suggested[1].endswith(f"-{meant}")


def valued_options(path):
    return [p for p in COMMANDS[path].params if p.param_type_name == "option" and not p.is_flag]


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_no_option_given_twice_is_silently_dropped(path):
    for one in valued_options(path):
        if one.multiple:
            context = COMMANDS[path].make_context(path[-1], [], resilient_parsing=True)
            given, _, _ = COMMANDS[path].make_parser(context).parse_args([one.opts[0], "a", one.opts[0], "b"])
            assert given[one.name] == ["a", "b"]
        else:
            done = freqq(*path, one.opts[0], "1", *(f"{name}=2" for name in one.opts))
            assert done.exit_code == 2
            assert f"'{one.opts[0]}' is given {1 + len(one.opts)} times" in " ".join(done.stderr.split())


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_lists_can_be_written_with_commas_or_as_repeated_options(path):
    assert [one.name for one in valued_options(path) if ",..." in one.metavar and not one.multiple] == []


def test_options_handed_on_to_eval_are_given_once_too():
    done = freqq("slurm-submit", "--gpus", "2", "--", "--task", "mrcr", "--task", "ruler")
    assert done.exit_code == 2
    assert "'--task' is given 2 times" in " ".join(done.stderr.split())


def command(*arguments):
    return [sys.executable, "-m", "freqq", *arguments]


@pytest.mark.parametrize("arguments", [["evl"], ["eval", "--level", "extrem"], ["--help"]])
def test_colours_are_for_terminals_that_want_them(arguments):
    coloured = Terminal(command(*arguments), plain_environment(TERM="xterm-256color")).finish()[1]
    plain = Terminal(command(*arguments), plain_environment(TERM="xterm-256color", NO_COLOR="1")).finish()[1]
    assert COLOUR.search(coloured)
    assert not COLOUR.search(plain)
    assert b"\x1b[" not in freqq(*arguments).output.encode()


BARS = {
    "rendering": ["render", "mini", "--limit", "4", "--out", "pages"],
    "reading": ["data", "info", "mini", "--limit", "4"],
    "checking": ["compress-image", "page.png", "--workers", "1", "--out", "out"],
}


@pytest.mark.parametrize("what", BARS)
def test_progress_is_shown_in_a_terminal_and_nowhere_else(what, tmp_path):
    page = tmp_path / "page.png"
    assert freqq("render", "mini", "--limit", "1", "--out", str(tmp_path / "one")).exit_code == 0
    page.write_bytes((tmp_path / "one" / "page-0001.png").read_bytes())
    terminal = Terminal(command(*BARS[what]), plain_environment(TERM="xterm"), only="stderr", cwd=str(tmp_path))
    piped = terminal.process.stdout.read().decode()
    status, seen = terminal.finish()
    assert status == 0, seen
    assert what.encode() in seen
    assert "━" in seen.decode()
    assert what not in piped
    assert "\x1b" not in piped
    terminal = Terminal(command(*BARS[what]), plain_environment(TERM="xterm"), only="stdout", cwd=str(tmp_path))
    status, seen = terminal.process.stderr.read(), terminal.finish()[1]
    assert status == b""
    assert what.encode() not in seen


def test_the_json_of_commands_that_write_files_is_what_they_wrote(tmp_path, monkeypatch, random_model):
    monkeypatch.chdir(tmp_path)
    pages = json.loads(freqq("render", "mini", "--limit", "1", "--out", "pages", "--json").stdout)
    assert [page["file"] for page in pages] == [f"page-{n:04}.png" for n in range(1, len(pages) + 1)]
    assert all((tmp_path / "pages" / page["file"]).stat().st_size == page["png_bytes"] for page in pages)
    first = "pages/page-0001.png"
    found = json.loads(freqq("compress-image", first, "--codec", "png", "--level", "all", "--json").stdout)
    assert [(row["codec"], row["level"], row["psnr"]) for row in found] == [
        ("baseline", "baseline", None), ("png", "ultra_mild", None),
    ]  # fmt: skip
    assert (tmp_path / "compressed" / found[0]["file"]).stat().st_size == found[0]["stream_bytes"]
    found = json.loads(freqq("compress-tokens", first, "--model", random_model, "--out", "t", "--json").stdout)
    assert [(tmp_path / "t" / row["file"]).stat().st_size for row in found] == [found[0]["stream_bytes"]]
    found = json.loads(freqq("codebook", "list", "--json").stdout)
    assert {"id", "of", "patterns", "bytes"} == set(found[0])
    assert all(book["bytes"] > book["patterns"] > 0 for book in found)


def test_a_bar_goes_on_when_there_are_no_more_things():
    code = """
import time
from freqq.cli.progress import counted_then
with counted_then(3, "rendering", "learning") as count:
    assert list(count(range(3))) == [0, 1, 2]
    time.sleep(0.3)  # the bar is drawn ten times a second
"""
    status, seen = Terminal([sys.executable, "-c", code], plain_environment(TERM="xterm")).finish()
    assert (status, b"learning" in seen) == (0, True)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_work_that_cannot_be_counted_says_what_it_is_in_a_terminal_alone():
    code = "import time; from freqq.cli.progress import busy\nwith busy('checking every row'): time.sleep(0.3)"
    status, seen = Terminal([sys.executable, "-c", code], plain_environment(TERM="xterm")).finish()
    assert (status, b"checking every row" in seen) == (0, True)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
