"""Folders with bad files, and files that hold no chats."""

import gzip
import json
import shutil
import sqlite3

import openpyxl
import pyarrow as pa
import pytest
from pyarrow import feather

from freqq.data.load import load
from freqq.errors import UserError
from tests.data.conftest import FILES

MESSAGE = {"role": "user", "content": "a"}


def chats(path, count=1):
    path.write_text("".join(json.dumps({"messages": [MESSAGE]}) + "\n" for _ in range(count)))


@pytest.fixture
def folder(tmp_path):
    """Two good files between three bad ones."""
    chats(tmp_path / "b.jsonl", 2)
    chats(tmp_path / "d.jsonl", 3)
    (tmp_path / "a.json").write_text('[{"role": "user"')
    (tmp_path / "c.json").write_text("")
    (tmp_path / "e.jsonl.gz").write_bytes(gzip.compress(b"{}\n" * 1000)[:-9])
    return tmp_path


def test_a_bad_file_is_named_with_the_way_on(folder):
    with pytest.raises(UserError, match=r"a\.json, line 1: .*; to continue without this one of 5 files: --skip-bad"):
        load(folder)
    with pytest.raises(UserError) as found:
        load(folder / "a.json", skip_bad=True)  # a single file is not left out
    assert "--skip-bad" not in str(found.value)


def test_without_the_bad_files_it_is_the_folder_that_never_had_them(folder, tmp_path):
    data = load(folder, skip_bad=True)
    assert [s.id for s in data.samples()] == ["b.jsonl-0", "b.jsonl-1", "d.jsonl-0", "d.jsonl-1", "d.jsonl-2"]
    assert [file.file for file in data.skipped] == ["a.json", "c.json", "e.jsonl.gz"]
    assert all(str(folder / file.file) in file.reason and "\n" not in file.reason for file in data.skipped)
    for file in data.skipped:
        (folder / file.file).unlink()
    clean = load(folder)
    assert (clean.revision, clean.skipped) == (data.revision, ())
    assert list(clean.samples()) == list(data.samples())


def test_what_is_read_late_is_bad_as_well(tmp_path):
    """Parquet's texts and workbooks are not read before they are drawn, unless it has to be known which are whole."""
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        shutil.copy(FILES / "mrcr" / "2needle" / "2needle_0.parquet", tmp_path / name / "a.parquet")
    data = bytearray((tmp_path / "two" / "a.parquet").read_bytes())
    data[4:400] = bytes(396)
    (tmp_path / "two" / "a.parquet").write_bytes(data)
    found = load(tmp_path, skip_bad=True)
    assert [file.file for file in found.skipped] == ["two/a.parquet"]
    assert len(list(found.samples())) == 2


def test_of_several_formats_that_of_most_files_stays(tmp_path):
    for name in "abc":
        chats(tmp_path / f"{name}.jsonl")
    shutil.copy(FILES / "sharegpt.json", tmp_path)
    with pytest.raises(UserError, match=r"a.jsonl is chat, sharegpt.json is sharegpt; .*the chat files only: --skip"):
        load(tmp_path)
    found = load(tmp_path, skip_bad=True)
    assert (found.format, [s.file for s in found.skipped]) == ("chat", ["sharegpt.json"])
    assert found.skipped[0].reason.endswith("sharegpt.json is sharegpt, not chat")


def test_a_folder_of_nothing_but_bad_files(tmp_path):
    for name in "ab":
        (tmp_path / f"{name}.json").write_text("{")
    with pytest.raises(UserError, match=r"none of the 2 files of .* can be read: .*a.json, line 1"):
        load(tmp_path, skip_bad=True)


def test_texts_are_data_where_there_is_nothing_else(tmp_path):
    (tmp_path / "one.txt").write_text("hello")
    (tmp_path / "two.txt.gz").write_bytes(gzip.compress(b"hello again"))
    assert [s.id for s in load(tmp_path).samples()] == ["one.txt-0", "two.txt-0"]
    chats(tmp_path / "chats.jsonl")
    assert [s.id for s in load(tmp_path).samples()] == ["chats.jsonl-0"]


def sqlite(path):
    with sqlite3.connect(path) as base:
        base.execute("create table chats (text)")


def workbook(path):
    book = openpyxl.Workbook()
    book.active.append(["text", "label"])
    book.save(path)


def archive(path):
    shutil.make_archive(str(path).removesuffix(".zip"), "zip", FILES / "mrcr")


def tar(path):
    shutil.make_archive(str(path).removesuffix(".tar.gz"), "gztar", FILES / "mrcr")


@pytest.mark.parametrize(
    ("name", "write", "message"),
    [
        ("a.csv", lambda p: p.write_text("role,content\nuser,hi\n"), "has the name of a table"),
        ("a.tsv", lambda p: p.write_text("role\tcontent\n"), "has the name of a table"),
        ("a.csv.gz", lambda p: p.write_bytes(gzip.compress(b"role,content\nuser,hi\n")), "has the name of a table"),
        ("a.db", sqlite, "is an SQLite database"),
        ("a.jsonl", sqlite, "is an SQLite database"),
        ("a.xls", lambda p: p.write_bytes(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(512)), "is a file of an old Off"),
        ("a.feather", lambda p: feather.write_feather(pa.table({"a": [1]}), p), "is a table of Arrow"),
        ("a.xlsx", workbook, "sheet 'Sheet' has no column 'instruction_1'"),
    ],
)
def test_a_table_is_refused_with_the_formats_that_are_known(name, write, message, tmp_path):
    write(tmp_path / name)
    with pytest.raises(UserError, match=f"{message}.* data are chats, as RULER.*ShareGPT.*ConvBench") as found:
        list(load(tmp_path / name).samples())
    assert "\n" not in str(found.value)
    assert name in str(found.value)


@pytest.mark.parametrize(("name", "write"), [("a.zip", archive), ("a.tar.gz", tar)])
def test_an_archive_is_to_be_unpacked(name, write, tmp_path):
    write(tmp_path / name)
    with pytest.raises(UserError, match=f"{name} is a (zip|tar) archive.*: unpack it"):
        load(tmp_path / name)


@pytest.mark.parametrize("name", ["a", "a.txt", "a.json", "a.jsonl", "a.md", "a.parquet", "a.xlsx", "a.jsonl.gz"])
@pytest.mark.parametrize("content", [b"", b" \n\n", b"\xef\xbb\xbf"])
def test_an_empty_file_is_empty_whatever_it_is_called(name, content, tmp_path):
    (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    with pytest.raises(UserError, match=f"{name} is empty"):
        load(tmp_path / name)
