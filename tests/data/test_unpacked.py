"""Packed files: the same samples, ids and revision, in a bounded memory."""

import gzip
import json
import subprocess
import sys

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from freqq.data import unpacked
from freqq.data.load import load
from freqq.data.unpacked import bare, opened
from freqq.errors import UserError
from tests.data.conftest import FILES

PACK = {".gz": lambda data: gzip.compress(data), ".zst": lambda data: zstandard.compress(data)}
packed_by = pytest.mark.parametrize("suffix", PACK)


def frames(data, *sizes):
    """Without the size of the content in the header, and in several frames, as `zstd` and `pzstd` write from a pipe."""
    packed, rest = b"", data
    for size in (*sizes, len(data)):
        one = zstandard.ZstdCompressor().compressobj()
        packed += one.compress(rest[:size]) + one.flush()
        rest = rest[size:]
    return packed


@packed_by
@pytest.mark.parametrize(
    "name", ["mrcr.jsonl", "chats.jsonl", "chat.json", "chat.txt", "conversations.json", "sharegpt.json",
             "processed_2needle_0-128k.jsonl"],
)  # fmt: skip
def test_a_packed_file_is_the_file(name, suffix, tmp_path):
    path = tmp_path / (name + suffix)
    path.write_bytes(PACK[suffix]((FILES / name).read_bytes()))
    plain, packed = load(FILES / name), load(path)
    assert list(packed.samples()) == list(plain.samples())
    assert (packed.format, packed.revision, packed.needles) == (plain.format, plain.revision, plain.needles)
    path = path.rename(tmp_path / bare(path).name)  # told by its content
    assert list(load(path).samples()) == list(plain.samples())


@packed_by
def test_a_folder_of_packed_files_is_the_folder(suffix, tmp_path):
    for folder, pack, more in (("plain", bytes, ""), ("packed", PACK[suffix], suffix)):
        for name in ("chats.jsonl", "chat.json"):
            (tmp_path / folder).mkdir(exist_ok=True)
            (tmp_path / folder / (name + more)).write_bytes(pack((FILES / name).read_bytes()))
    plain, packed = load(tmp_path / "plain"), load(tmp_path / "packed")
    assert list(packed.samples()) == list(plain.samples())
    assert packed.revision == plain.revision
    (tmp_path / "packed" / "chat.json").write_bytes((FILES / "chat.json").read_bytes())
    with pytest.raises(UserError, match=r"holds both chat.json and chat.json\."):
        load(tmp_path / "packed")


@settings(max_examples=50)
@given(st.binary(max_size=300_000), st.integers(0, 3000), st.integers(1, 70_000))
def test_what_was_packed_is_read_back(tmp_path_factory, data, cut, size):
    folder = tmp_path_factory.mktemp("packed")
    for i, packed in enumerate((gzip.compress(data[:cut]) + gzip.compress(data[cut:]), frames(data, cut))):
        path = folder / str(i)
        path.write_bytes(packed)
        with opened(path) as file:
            pieces = list(iter(lambda: file.read(size), b""))
        assert b"".join(pieces) == data
        assert all(len(piece) == size for piece in pieces[:-1])


@settings(max_examples=60)
@given(st.sampled_from(sorted(PACK)), st.floats(0, 1), st.integers(1, 255))
def test_damage_is_one_line(tmp_path_factory, suffix, place, change):
    whole = PACK[suffix]((FILES / "mrcr.jsonl").read_bytes())
    at = int(place * (len(whole) - 1))
    folder = tmp_path_factory.mktemp("damaged")
    (cut := folder / f"cut.jsonl{suffix}").write_bytes(whole[: max(4, at)])
    with pytest.raises(UserError, match=r"is not a whole (gzip|Zstandard) file") as found:
        load(cut)
    assert "\n" not in str(found.value)
    (other := folder / f"other.jsonl{suffix}").write_bytes(whole[:at] + bytes([whole[at] ^ change]) + whole[at + 1 :])
    try:
        list(load(other).samples())
        said = ""
    except UserError as error:
        said = str(error)
    assert "\n" not in said


def test_what_is_packed_by_itself_is_not_packed_again(tmp_path):
    parquet = (FILES / "mrcr" / "2needle" / "2needle_0.parquet").read_bytes()
    for name, data in (("a.parquet.gz", parquet), ("a.xlsx.gz", (FILES / "convbench.xlsx").read_bytes())):
        (tmp_path / name).write_bytes(gzip.compress(data))
        with pytest.raises(UserError, match="packed twice"):
            load(tmp_path / name)


def test_a_window_larger_than_that_of_zstd_is_refused(tmp_path):
    parameters = zstandard.ZstdCompressionParameters(window_log=28)
    one = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    (tmp_path / "a.json.zst").write_bytes(one.compress(b"[" + b" " * 2**20) + one.flush())
    with pytest.raises(UserError, match="Frame requires too much memory"):
        load(tmp_path / "a.json.zst")


def test_a_small_file_may_unpack_to_much_and_a_large_one_may_not(tmp_path, monkeypatch):
    chats = json.dumps({"messages": [{"role": "user", "content": "word " * 1000}]}) + "\n"
    path = tmp_path / "chats.jsonl.zst"
    path.write_bytes(zstandard.compress(chats.encode() * 100))
    assert len(list(load(path).samples())) == 100
    monkeypatch.setattr(unpacked, "FREE", 2**17)
    with pytest.raises(UserError, match=r"chats.jsonl.zst unpacks to over \d+,\d+ bytes from \d+, .* unpack it"):
        load(path)
    monkeypatch.setattr(unpacked, "MOST_EXPANSION", 10_000)
    assert len(list(load(path).samples())) == 100
    monkeypatch.setattr(unpacked, "MOST_UNPACKED", 2**18)
    with pytest.raises(UserError, match="unpacks to over 262,144 bytes"):
        load(path)


BOMBS = {
    "blank.jsonl": (b"[", b" " * 2**20),
    "one record.jsonl": (b'{"messages": "', b"x" * 2**20),
    "chats.jsonl": (b"", b'{"messages": [{"role": "user", "content": "a"}]}\n' * 20_000),
    "text.txt": (b"", b"a" * 2**20),
}


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits a process's memory")
def test_bombs_are_refused_in_a_bounded_memory(tmp_path):
    """For real: 1 GiB each, in a process that may take 600 MiB more than it has."""
    for name, (head, piece) in BOMBS.items():
        one = zstandard.ZstdCompressor(level=1).compressobj()
        with (tmp_path / f"{name}.zst").open("wb") as file:
            file.write(one.compress(head))
            for _ in range(2**30 // len(piece)):
                file.write(one.compress(piece))
            file.write(one.flush())
    code = """
import resource, sys
from pathlib import Path
from freqq.data.load import load
from freqq.errors import UserError
size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (size + 600 * 2**20, -1))
for path in sys.argv[1:]:
    try:
        list(load(path).samples())
    except UserError as error:
        print(error)
"""
    paths = [str(tmp_path / f"{name}.zst") for name in BOMBS]
    done = subprocess.run([sys.executable, "-c", code, *paths], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    said = done.stdout.splitlines()
    assert len(said) == len(BOMBS)
    for line, path in zip(said, paths, strict=True):
        assert line.startswith(path)
        assert "unpacks to over 268,435,456 bytes" in line or "it is longer than 67,108,864 characters" in line
