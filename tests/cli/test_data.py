"""``freqq data`` and the commands that read data: formats, chats, and files that are left out."""

import json
import shutil

import pytest

from tests.cli.test_app import freqq
from tests.data.conftest import FILES

pytestmark = pytest.mark.usefixtures("_no_download")


@pytest.fixture
def _no_download(monkeypatch):
    monkeypatch.setattr("freqq.data.bins.encoding", lambda: None)


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "chats"
    path.mkdir()
    shutil.copy(FILES / "sharegpt.jsonl", path)
    (path / "bad.json").write_text('{"conversations": [')
    return path


@pytest.mark.parametrize(
    ("name", "format", "chats", "needles"),
    [
        ("conversations.json", "chatgpt", 3, [0]),
        ("sharegpt.json", "sharegpt", 2, [0]),
        ("mrcr.jsonl.zst", "mrcr", 6, [2, 4]),
    ],
)
def test_info_tells_format_needles_and_chats(name, format, chats, needles):
    found = json.loads(freqq("data", "info", str(FILES / name), "--json").stdout)
    assert (found["format"], found["chats"], found["needles"], found["skipped"]) == (format, chats, needles, [])
    shown = freqq("data", "info", str(FILES / name)).stdout
    assert f"{chats} chats; context length by estimate" in shown


@pytest.mark.parametrize(
    "command",
    [("data", "info"), ("render", "--out", "pages"), ("visualize", "lengths", "--out", "lengths.png")],
    ids=" ".join,
)
def test_a_bad_file_ends_a_command_unless_it_is_to_be_skipped(command, folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    first, rest = command[: 1 if command[0] == "render" else 2], command[1 if command[0] == "render" else 2 :]
    refused = freqq(*first, str(folder), *rest)
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert "bad.json, line 1" in refused.stderr
    assert "--skip-bad" in refused.stderr
    done = freqq(*first, str(folder), *rest, "--skip-bad")
    assert done.exit_code == 0, done.output
    assert done.stderr.splitlines()[-1].startswith(f"note: skipped {folder}/bad.json, line 1: ")


def test_a_table_is_refused_in_one_line(tmp_path):
    (tmp_path / "chats.csv").write_text("role,content\nuser,hi\n")
    done = freqq("eval", "--data", str(tmp_path / "chats.csv"))
    assert (done.exit_code, done.stderr.count("\n")) == (2, 1)
    assert "has the name of a table; data are chats, as " in done.stderr
