"""Methods and tasks of installed packages: listed, completed, run; and what is said of those that cannot be."""

import ast
import json
import os
import shutil
import subprocess
import sys
import textwrap
import warnings
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from PIL import Image

import freqq
from freqq.data.tasks.transcribe import TRANSCRIBE
from freqq.errors import UserError
from freqq.image.base import ImageCodec
from freqq.registry import PluginWarning, Registry
from tests.cli.test_app import freqq as command
from tests.conftest import needs_tiny

ROOT = Path(freqq.__file__).parents[1]
EXAMPLE = ROOT / "examples" / "new_method.py"


def package(folder: Path, name: str, group: str, points: dict[str, str], **modules: str) -> None:
    """Put a package into a folder as pip leaves it: its modules, and what its .dist-info says."""
    for module, text in modules.items():
        (folder / f"{module}.py").write_text(text)
    info = folder / f"{name}-1.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.2\n")
    (info / "entry_points.txt").write_text(f"[{group}]\n" + "".join(f"{k} = {v}\n" for k, v in points.items()))


GOOD = """
from dataclasses import dataclass
from freqq.image.standard import Png

@dataclass(frozen=True)
class Same(Png):
    '''A PNG by another name.'''
"""


@pytest.fixture
def codecs(tmp_path, monkeypatch):
    """The codecs as they are where one package is good and another is not."""
    points = {
        "image-broken": "plug_broken:Codec", "image-missing": "plug_good:Missing", "other": "plug_good:Same",
        "image-path": "pathlib:Path", "image-png": "plug_good:Same",
    }  # fmt: skip
    package(tmp_path, "bad-ones", "freqq.codecs", points, plug_broken="import plug_that_is_not_installed")
    package(tmp_path, "good-one", "freqq.codecs", {"image-same": "plug_good:Same"}, plug_good=GOOD)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield Registry("freqq.codecs", freqq.CODECS.kind, freqq.CODECS.own, "image-")
    for name in ("plug_good", "plug_broken"):
        sys.modules.pop(name, None)


def test_a_name_is_known_before_anything_is_imported(codecs):
    assert {"image-same", "image-broken", "image", "image-png"} <= set(codecs)
    assert "image-same" in codecs
    assert not {"plug_good", "plug_broken"} & set(sys.modules)
    assert issubclass(codecs["image-same"], ImageCodec)
    assert (codecs.package("image-same"), codecs.package("image"), codecs.package("no")) == ("good-one 1.2", None, None)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (
            "image-broken",
            r"image-broken of the package bad-ones 1.2 .* cannot be imported \(ModuleNotFoundError: No mod",
        ),
        ("image-missing", r"bad-ones 1.2 .* cannot be imported \(AttributeError: .*no attribute 'Missing'"),
        ("image-path", r"bad-ones 1.2 .*: pathlib:Path is no subclass of ImageCodec"),
        ("other", r"bad-ones 1.2 .*: the names of freqq.codecs begin with image-"),
    ],
)
def test_what_cannot_be_used_names_its_package_when_it_is_asked_for(codecs, name, said):
    with pytest.raises(UserError, match=said):
        _ = codecs[name]


def test_what_cannot_be_used_is_left_out_of_the_rest_with_a_line_each(codecs):
    with pytest.warns(PluginWarning) as told:
        found = codecs.usable()
    assert sorted(str(one.message).split()[0] for one in told) == [
        "image-broken",
        "image-missing",
        "image-path",
        "other",
    ]
    assert set(found) == {*codecs.own, "image-same"}
    assert found["image-png"] is freqq.CODECS["image-png"]  # freqq's own names are not to be had


def test_a_program_may_add_and_take_away(codecs):
    codecs["image-mine"] = codecs["image"]
    assert codecs["image-mine"] is codecs["image-dct"]
    assert list(codecs).count("image-mine") == 1
    del codecs["image-mine"]
    assert "image-mine" not in codecs


def test_methods_lists_the_others_and_says_what_is_wrong_once(codecs, monkeypatch):
    monkeypatch.setattr(freqq.CODECS, "plugins", codecs.plugins)
    monkeypatch.setattr(freqq.CODECS, "_loaded", {})
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        done = command("methods", "--json")
    assert done.exit_code == 0, done.output
    assert {"image-same", "image-vq", "token"} <= {card["name"] for card in json.loads(done.stdout)}
    assert [line.split()[:2] for line in done.stderr.splitlines()] == [
        ["note:", "image-broken"], ["note:", "image-missing"], ["note:", "image-path"], ["note:", "other"],
    ]  # fmt: skip


def test_a_task_of_a_package(tmp_path, monkeypatch):
    text = "from dataclasses import replace\nfrom freqq.data.tasks.transcribe import TRANSCRIBE\n"
    text += "TASK = replace(TRANSCRIBE, name='copy', summary='As transcribe.')\n"
    package(tmp_path, "copying", "freqq.tasks", {"copy": "plug_task:TASK"}, plug_task=text)
    monkeypatch.syspath_prepend(str(tmp_path))
    tasks = Registry("freqq.tasks", freqq.TASKS.kind, freqq.TASKS.own, instances=True)
    assert tasks["copy"].grade is TRANSCRIBE.grade
    assert list(tasks) == [*freqq.TASKS.own, "copy"]


@pytest.mark.parametrize(
    ("table", "name", "said"),
    [("TASKS", "copy", "instance of Task"), ("CODECS", "image-copy", "subclass of ImageCodec")],
)
def test_a_class_is_no_task_and_an_instance_no_codec(tmp_path, monkeypatch, table, name, said):
    text = "from freqq.data.tasks.base import Task as TASKS\nfrom freqq.image.standard import Png\nCODECS = Png()\n"
    table_of = getattr(freqq, table)
    package(tmp_path, "confused", table_of.group, {name: f"plug_confused:{table}"}, plug_confused=text)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "plug_confused", raising=False)
    confused = Registry(table_of.group, table_of.kind, table_of.own, instances=table_of.instances)
    with pytest.raises(UserError, match=f"is no {said}"):
        _ = confused[name]


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> dict[str, str]:
    """The environment in which the example is an installed package: pip builds it by its own guide."""
    source, site = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("site")
    shutil.copy(EXAMPLE, source)
    guide = str(ast.get_docstring(ast.parse(EXAMPLE.read_text("utf-8"))))
    start = guide.index("    [build-system]")
    (source / "pyproject.toml").write_text(textwrap.dedent(guide[start : guide.index("\nfreqq decompress")]))
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    done = subprocess.run([*pip, "--target", str(site), str(source)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{site}"}


def run(installed, *arguments, **more):
    done = subprocess.run(
        [sys.executable, "-m", "freqq", *arguments], capture_output=True, text=True, env=installed | more
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_an_installed_method_is_listed_completed_and_encodes(installed, tmp_path):
    assert run(installed, "methods", "token-contrast").startswith("token-contrast\nKeep the tokens that differ most")
    assert {"image-runs", "token-contrast"} <= {m["name"] for m in json.loads(run(installed, "methods", "--json"))}
    asked = {"_FREQQ_COMPLETE": "complete_bash", "COMP_WORDS": "freqq eval --method image-ru", "COMP_CWORD": "3"}
    assert run(installed, **asked).split() == ["image-runs"]
    Image.new("L", (60, 40), 255).save(tmp_path / "page.png")
    out = ("--codec", "runs,png", "--level", "all", "--out", str(tmp_path / "out"), "--json")
    rows = json.loads(run(installed, "compress-image", str(tmp_path / "page.png"), *out))
    assert [row["codec"] for row in rows].count("runs") == 4


@needs_tiny
@pytest.mark.slow
def test_an_installed_method_answers_in_workers_as_in_one_process(installed, tmp_path):
    """Its package's version is part of what names a row: another version may answer otherwise."""
    line = "eval --method token-contrast,image-runs --level mild --limit 2 --max-new-tokens 4".split()
    found = []
    for name, workers in (("one", ()), ("two", ("--workers", "2"))):
        run(installed, *line, *workers, "--out", str(tmp_path / name))
        columns = ["sample_id", "method", "config_hash", "response", "error"]
        found.append(pq.read_table(tmp_path / name / "results.parquet", columns=columns).to_pylist())
    assert found[0] == found[1]
    assert [row["error"] for row in found[0]] == [None] * 6
    assert {row["method"] for row in found[0]} == {"baseline", "token-contrast", "image-runs"}
