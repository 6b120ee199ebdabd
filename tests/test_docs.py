"""What the README and the guides say: their commands, outputs, tables, Python and links.

Every freqq command is parsed by the real tree of commands, options and names. Those that can run here also run, in the
order in which they stand, in a folder with a few inputs; `hindrance` says why the others cannot. In a console block a
command is followed by its output, which has to be what the command prints; `...` stands for any number of lines.
"""

import contextlib
import doctest
import json
import re
import runpy
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from typer._click.exceptions import MissingParameter
from typer.testing import CliRunner

from freqq.cli.app import app
from freqq.cli.slurm_submit import without
from freqq.data.load import GENERATED
from freqq.runs.schema import SCHEMA
from tests.command_lines import ROOT as TREE
from tests.command_lines import lines, parse
from tests.conftest import needs_tiny

ROOT = Path(__file__).parents[1]
DOCUMENTS = [
    ROOT / "README.md",
    *sorted((ROOT / "examples").glob("*.md")),
    ROOT / "freqq" / "glm" / "tiny" / "README.md",
    ROOT / "freqq" / "glm" / "small" / "README.md",
]
NAMES = [str(path.relative_to(ROOT)) for path in DOCUMENTS]
INPUTS = ROOT / "tests" / "data" / "files"

FENCE = re.compile(r"^```(\w*) ?(\S*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"(?<!`)`([^`]+)`(?!`)")
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")

HOURS = ("train", "codebook train")
CLUSTER = ("slurm-submit", "slurm-status")
OF_NAMES = ("methods", "slurm-submit")
"""Commands whose arguments name no file."""

READ_OPTIONS = ("data", "config", "font", "text", "tokens_from", "adapter")
"""Options that name what is read: a file, a folder, or a set of samples."""

LEAST = {
    "README.md": 8,
    "examples/data.md": 12,
    "examples/formats.md": 7,
    "examples/adapting.md": 2,
    "examples/evaluating.md": 3,
    "examples/results.md": 3,
    "examples/compressing.md": 7,
}
"""How many commands of a document run at least: the rules above are not to let all of them through."""

README_LINES = 250
TABLES = runpy.run_path(str(ROOT / "examples" / "tables.py"))

OF_OTHERS = (
    ".",
    "accelerate",
    "cd",
    "curl",
    "docker",
    "export",
    "git",
    "hf",
    "kill",
    "module",
    "pip",
    "srun",
    "ssh",
    "tail",
    "vllm",
)
"""Programs that are not ours to test."""


COLUMNS = "96"
"""The width of the terminal that outputs are shown of."""


class Block(NamedTuple):
    """A fenced block: its language, the file that it is the content of (if it names one), and its text."""

    language: str
    file: str
    text: str


def blocks(document: Path) -> list[Block]:
    return [Block(*found) for found in FENCE.findall(document.read_text())]


def prose(document: Path) -> str:
    return FENCE.sub("", document.read_text())


def shell_commands(document: Path) -> Iterator[list[str]]:
    for block in blocks(document):
        if block.language in ("sh", "bash"):
            yield from lines(block.text)
        elif block.language == "console":
            yield from (words for words, _ in sessions(block.text))


def sessions(text: str) -> list[tuple[list[str], str]]:
    """The commands of a console block, each with the output that follows it."""
    found = []
    for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
        command, _, output = part.partition("\n")
        found.append((next(lines(command)), output))
    return found


def inline_commands(document: Path) -> list[list[str]]:
    """Commands within sentences, such as `freqq eval --gpus 4`; the bare name of a command is not one to run."""
    spans = [" ".join(span.split()) for span in INLINE.findall(prose(document)) if span.startswith("freqq ")]
    return [words for span in spans for words in lines(span)]


def is_a_name(words: list[str]) -> bool:
    """Whether these words only name a command or a group of them."""
    found: Any = TREE
    for word in words[1:]:
        found = getattr(found, "commands", {}).get(word)
        if found is None:
            return False
    return True


@pytest.mark.parametrize("name", NAMES)
def test_every_command_is_one_that_there_is(name):
    for words in shell_commands(ROOT / name):
        parse(words)
    for words in inline_commands(ROOT / name):
        if not is_a_name(words):
            with contextlib.suppress(MissingParameter):  # in a sentence, the files may be left out
                parse(words)


def test_there_are_commands_to_hold_against_the_tree():
    assert sum(len(list(shell_commands(path))) + len(inline_commands(path)) for path in DOCUMENTS) > 60
    with pytest.raises(Exception, match="No such option: --levle"):
        parse("freqq eval --levle mild".split())
    with pytest.raises(Exception, match="unknown method 'token-lowpas'"):
        parse("freqq eval --method token-lowpas".split())


@pytest.mark.parametrize("name", NAMES)
def test_every_other_program_is_ours_or_known(name):
    tested = "".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py") if path != Path(__file__))
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for block in blocks(ROOT / name):
        if block.language not in ("sh", "bash"):
            continue
        for line in block.text.replace("\\\n", " ").splitlines():
            words = [w for w in line.split("#")[0].split() if not re.fullmatch(r"[A-Z_]+=\S*", w)]
            if not words or words[0] in ("freqq", *OF_OTHERS):
                continue
            if words[0] == "make":
                assert {w for w in words[1:] if "=" not in w} <= targets
                continue
            script = words[1] if words[0] in ("python", "bash", "sh") else words[0]
            if not script.startswith("-"):
                assert (ROOT / script).is_file(), line
                assert Path(script).name in tested or Path(script).name.startswith("slurm"), f"{script} is not tested"


def hindrance(context: Any, folder: Path) -> str | None:
    """Why a command cannot be run here, if so."""
    name, given = context.command_path.removeprefix("freqq "), context.params
    if name in HOURS:
        return "it trains for minutes or hours"
    if name in CLUSTER and not given.get("dry_run"):
        return "it needs a cluster"
    if name == "serve" or given.get("base_url"):
        return "it needs a server"
    if given.get("model") not in (None, "tiny"):
        return "it needs a model of the hub, or of one's own"
    if given.get("gpus") or given.get("device_map"):
        return "it needs GPUs"
    if given.get("ocr") and shutil.which("tesseract") is None:
        return "it needs tesseract"
    arguments = [p.name for p in context.command.params if p.param_type_name == "argument"]
    for parameter in READ_OPTIONS if name in OF_NAMES else (*arguments, *READ_OPTIONS):
        value = given.get(parameter)
        for one in value if isinstance(value, list) else [value] if value is not None else []:
            if str(one) == "mrcr":
                return "it needs the hub"
            if str(one) not in GENERATED and not (folder / one).exists():
                return f"it needs a file of one's own ({one})"
    return None


def small(words: list[str]) -> list[str]:
    """The same command on one sample or two."""
    if words[1] == "eval":
        few = ["--limit", "1", "--max-new-tokens", "2"]
        return [*without(words[1:], *few[::2]), *few]
    if words[1] == "adapt":
        at = words.index("--minutes")
        return [*words[1:at], *words[at + 2 :], "--steps", "2", "--batch-size", "1", "--questions", "2"]
    if words[1] == "render" and "mini" in words and "--limit" not in words:
        return [*words[1:], "--limit", "2"]
    if words[1] == "compress-image" and "all" in words:
        return [*words[1:], "--codec", "vq,png", "--level", "mild", "--workers", "1"]
    return words[1:]


def prints(documented: str, printed: str) -> bool:
    """Whether an output is the documented one: empty lines and the ends of lines do not count."""
    shown = "".join(f"{line.rstrip()}\n" for line in printed.splitlines() if line.strip())
    return doctest.OutputChecker().check_output(documented, shown, doctest.ELLIPSIS)


def test_an_output_is_compared():
    assert prints("a\n...\nd\n", "a  \n\nb\nc\nd\n")
    assert not prints("a\n...\ne\n", "a\nb\nc\nd\n")
    assert not prints("a 1\n", "a 2\n")


def prepare(folder: Path) -> None:
    """The inputs that the README and the guides take for granted."""
    for name in ("chat.json", "chats.jsonl"):
        shutil.copy(INPUTS / name, folder)


@needs_tiny
@pytest.mark.slow
@pytest.mark.parametrize(("name", "least"), [(n, LEAST.get(n, 0)) for n in NAMES])
def test_the_commands_and_the_python_run(name, least, tmp_path, monkeypatch):
    """Files that blocks are the content of are written, commands and Python are run, in the order of the document."""
    prepare(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("COLUMNS", COLUMNS)
    ran = 0
    for block in blocks(ROOT / name):
        if block.file:
            (tmp_path / block.file).write_text(block.text)
        elif block.language == "python":
            exec(compile(block.text, f"{name}, a block of Python", "exec"), {"__name__": "__main__"})
        elif block.language in ("sh", "bash"):
            for words in lines(block.text):
                if hindrance(parse(words), tmp_path) is None:
                    done = CliRunner().invoke(app, small(words), prog_name="freqq")
                    assert done.exit_code == 0, (words, done.output, done.exception)
                    ran += 1
        elif block.language == "console":
            for words, output in sessions(block.text):
                done = CliRunner().invoke(app, words[1:], prog_name="freqq")
                assert done.exit_code == 0, (words, done.output, done.exception)
                assert prints(output, done.stdout), f"{words} prints\n{done.stdout}"
                ran += 1
    assert ran >= least


def anchors(document: Path) -> set[str]:
    """The anchors that GitHub makes of a document's headings."""
    headings = re.findall(r"^#{1,6} (.+)$", prose(document), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("name", NAMES)
def test_every_link_leads_somewhere(name):
    document = ROOT / name
    for target in LINK.findall(INLINE.sub("", prose(document))):
        if target.startswith(("https://", "http://", "mailto:")):
            continue
        path, _, anchor = target.partition("#")
        there = (document.parent / path).resolve() if path else document
        assert there.exists(), f"{name}: {target} is not there"
        assert there.is_relative_to(ROOT)
        if anchor:
            assert anchor in anchors(there), f"{name}: {target} has no such heading"


@pytest.mark.parametrize("name", NAMES)
def test_every_file_of_the_project_that_is_named_is_there(name):
    for span in INLINE.findall(prose(ROOT / name)):
        if re.fullmatch(r"(freqq|examples|tests|completions)/[\w./-]+", span):
            assert (ROOT / span).exists(), span


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text().splitlines()) <= README_LINES


@pytest.mark.parametrize("name", NAMES)
def test_excerpts_are_what_the_results_hold(name):
    text = (ROOT / name).read_text()
    assert TABLES["renewed"](text) == text


def test_the_long_tables_are_excerpts():
    found = {name: TABLES["EXCERPT"].findall((ROOT / name).read_text()) for name in NAMES}
    assert {file for file, _ in found["examples/results.md"]} == set(TABLES["TABLES"]) - {"reader.csv"}
    assert [file for file, _ in found["freqq/glm/small/README.md"]] == ["reader.csv"]
    assert len(found["README.md"]) == 1
    written = {path.name for path in (ROOT / "examples" / "results").glob("*.csv")}
    assert written == set(TABLES["TABLES"])


def test_an_excerpt_of_something_else_is_noticed():
    text = (ROOT / "README.md").read_text()
    changed = text.replace("-.141 [", "-.140 [")
    assert changed != text
    assert TABLES["renewed"](changed) == text
    with pytest.raises(KeyError, match="no column 'speed'"):
        TABLES["renewed"]("<!-- results/methods.csv -->\n| method, level | speed |\n|---|---|\n| baseline | 1 |\n")


def test_the_cards_show_what_the_results_hold():
    assert TABLES["card_tables"]() == json.loads(TABLES["MEASURED"].read_text("utf-8"))


def test_the_guide_to_formats_has_every_column():
    rows = re.findall(r"^\| `(\w+)` \| ([^|]+) \|", (ROOT / "examples" / "formats.md").read_text(), re.MULTILINE)
    expected = []
    for field in SCHEMA:
        kind = "timestamp, UTC" if field.name == "started_at" else str(field.type)
        expected.append((field.name, kind + (", null" if field.nullable else "")))
    assert rows == expected
