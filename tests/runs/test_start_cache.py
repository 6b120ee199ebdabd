"""What is kept for the next start of a run: it changes no result, whatever happens to it, and is never out of date."""

import json
import os
from multiprocessing import get_context
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from freqq import cache
from freqq.data import bins
from freqq.data.bins import BINS
from freqq.data.load import load
from freqq.data.packed import SHORT, PackedTurns, packed
from freqq.data.sample import Turn
from freqq.errors import UserError
from freqq.glm import file_digest as digests
from freqq.glm.file_digest import file_digest
from freqq.runs import sources
from freqq.runs.plan import draw, share
from freqq.runs.settings import Settings
from freqq.runs.shard import Shard
from tests.bench.mrcr_files import write
from tests.data.test_o200k import BYTES

CHATS, ALL = 12, Shard()


@pytest.fixture(scope="module")
def hub(tmp_path_factory) -> Path:
    """Twelve chats of MRCR, each longer than what is held as it is."""
    folder = tmp_path_factory.mktemp("hub")
    write(folder, CHATS, 2 * SHORT)
    return folder


@pytest.fixture
def kept(monkeypatch, tmp_path) -> Path:
    """An empty cache, and tokens that can be counted."""
    monkeypatch.setenv(cache.FOLDER, str(tmp_path / "cache"))
    monkeypatch.setattr(bins, "encoding", lambda: BYTES)
    return tmp_path / "cache"


def plan(hub, part=ALL, **more):
    """The strata of a run of the files, and a shard's samples."""
    found = Settings(data=str(hub), needles=(2, 4, 8), **more)
    drawn = draw(found)
    return drawn.strata, found.source.read(share(drawn.entries, part))


def files(kept: Path) -> list[Path]:
    return sorted(kept.rglob("*.json"))


def test_shards_read_what_the_whole_run_reads_and_hold_no_other_texts(hub, kept):
    _, everything = plan(hub)
    parts = [plan(hub, Shard(i, 3))[1] for i in range(3)]
    assert sorted((s for part in parts for s in part), key=lambda s: s.id) == sorted(everything, key=lambda s: s.id)
    entries = draw(Settings(data=str(hub), needles=(2, 4, 8))).entries
    assert not any(e.bare.turns or e.bare.question or e.bare.answer for e in entries)
    assert {s.id: s for s in everything} == {s.id: s for n in (2, 4, 8) for s in load(hub).samples(n)}


def test_a_second_start_counts_no_tokens_and_takes_no_text_apart_but_its_own(hub, kept, monkeypatch):
    before = plan(hub, Shard(1, 3))
    read: list[str] = []
    monkeypatch.setattr("freqq.data.index.count", lambda *any: pytest.fail("it was counted again"))
    made = load.__globals__["mrcr_samples"].__globals__["mrcr"].sample_from_record
    monkeypatch.setattr("freqq.data.mrcr.sample_from_record", lambda *a, **k: read.append(a[1]) or made(*a, **k))
    assert plan(hub, Shard(1, 3)) == before
    assert sorted(read) == sorted(s.id for s in before[1])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], max_examples=15)
@given(st.data())
def test_a_cache_that_is_damaged_anywhere_changes_nothing_and_is_whole_again(hub, kept, data):
    before = plan(hub, Shard(0, 2))
    file = data.draw(st.sampled_from(files(kept)))
    whole = file.read_bytes()
    at = data.draw(st.integers(0, len(whole) - 1))
    damage = data.draw(st.sampled_from(("cut", "bit", "more", "gone", "folder", "empty list")))
    if damage == "cut":
        file.write_bytes(whole[:at])
    elif damage == "bit":
        file.write_bytes(whole[:at] + bytes([whole[at] ^ 1 << at % 8]) + whole[at + 1 :])
    elif damage == "more":
        file.write_bytes(whole + b"}")
    elif damage == "empty list":
        file.write_bytes(b"[]")
    else:
        file.unlink()
        if damage == "folder":
            file.mkdir()
    try:
        assert plan(hub, Shard(0, 2)) == before
    finally:
        if file.is_dir():  # nothing can be kept in its place
            file.rmdir()
            assert plan(hub, Shard(0, 2)) == before
    assert file.read_bytes() == whole


def test_data_of_the_same_size_and_time_are_other_data(kept, tmp_path):
    write(tmp_path / "hub", 6, SHORT)
    _, before = plan(tmp_path / "hub")
    for file in (tmp_path / "hub").rglob("*.parquet"):
        status = file.stat()
        write(tmp_path / "other", 6, SHORT, seed=1)
        other = (tmp_path / "other" / file.relative_to(tmp_path / "hub")).read_bytes()
        file.write_bytes(other)
        os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    sources._source.cache_clear()  # as a new process finds it
    _, after = plan(tmp_path / "hub")
    assert len(after) == len(before)
    assert {s.prefix for s in after}.isdisjoint({s.prefix for s in before})


def test_bins_are_chosen_alike_with_and_without_what_was_counted(hub, kept):
    """With a token a byte, all chats are in one bin, whose neighbours are empty."""
    _, everything = plan(hub)
    [bin] = {sample.bin for sample in everything}
    edge = bins.EDGES[BINS.index(bin)] // 1024
    for again in range(2):
        _, found = plan(hub, bins=(f"{edge // 2}k-{edge}k",))
        assert found == everything, again
    for folder in ("one", "two"):
        os.environ[cache.FOLDER] = str(kept / folder)
        for _ in range(2):
            with pytest.raises(UserError, match="has no sample"):
                plan(hub, bins=("0-8k",))
            assert {s.bin for s in plan(hub)[1]} == {bin}


def _start(hub: str, folder: str, index: int, answer) -> None:
    os.environ[cache.FOLDER] = folder
    bins.encoding = lambda: BYTES
    _, samples = plan(Path(hub), Shard(index, 3))
    answer.put((index, [(s.id, s.bin, s.bin_source, s.prefix) for s in samples]))


def test_shards_that_start_at_once_find_the_same_as_one_after_another(hub, kept):
    expected = {i: [(s.id, s.bin, s.bin_source, s.prefix) for s in plan(hub, Shard(i, 3))[1]] for i in range(3)}
    alone = {file.name: file.read_bytes() for file in files(kept)}
    context = get_context("spawn")
    answers = context.Queue()
    together = kept.with_name("together")
    processes = [context.Process(target=_start, args=(str(hub), str(together), i % 3, answers)) for i in range(6)]
    for process in processes:
        process.start()
    found = [answers.get() for _ in processes]
    for process in processes:
        process.join()
    assert all(samples == expected[index] for index, samples in found)
    assert {f.name: json.loads(f.read_bytes().split(b"\n")[1]) for f in files(together)} == {
        name: json.loads(content.split(b"\n")[1]) for name, content in alone.items()
    }


def test_a_cache_that_cannot_be_written_is_no_error(hub, kept, tmp_path, monkeypatch):
    expected = plan(hub)
    (tmp_path / "a file").write_text("")
    monkeypatch.setenv(cache.FOLDER, str(tmp_path / "a file"))
    assert plan(hub) == expected


@given(st.lists(st.builds(Turn, st.sampled_from(("user", "assistant", "")), st.text(max_size=40)), max_size=9))
def test_packed_turns_are_the_turns(turns):
    there = PackedTurns.of(turns)
    assert list(there) == turns
    assert len(there) == len(turns)
    assert there == tuple(turns)
    assert there[1:] == tuple(turns)[1:]
    assert set(there.alphabet) == set("".join(turn.text for turn in turns))
    long = [*turns, Turn("user", "x" * SHORT + "y")]
    assert isinstance(packed(long), PackedTurns)
    assert packed(turns) == turns


@pytest.fixture
def settled(kept, monkeypatch):
    """Files settle at once, and each that is read whole is noted."""
    read: list[Path] = []
    whole = digests._read
    monkeypatch.setattr(digests, "SETTLED_S", -1e9)
    monkeypatch.setattr(digests, "_read", lambda path: read.append(path) or whole(path))
    return read


def test_weights_are_read_once(settled, tmp_path):
    file = tmp_path / "model.safetensors"
    file.write_bytes(os.urandom(300_000))
    found = [file_digest(file, large=1) for _ in range(3)]
    assert len(settled) == 1
    assert set(found) == {digests._read(file)}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 299_999), st.booleans())
def test_weights_that_change_are_read_again_even_if_size_and_time_stay(settled, tmp_path, at, in_place):
    file = tmp_path / "model.safetensors"
    file.write_bytes(bytes(300_000))
    before, status = file_digest(file, large=1), file.stat()
    if in_place:
        with file.open("r+b") as stream:
            stream.seek(at)
            stream.write(b"\1")
    else:
        other = tmp_path / "other"
        other.write_bytes(bytes(at) + b"\1" + bytes(299_999 - at))
        other.replace(file)
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert file.stat().st_mtime_ns == status.st_mtime_ns
    assert file_digest(file, large=1) == digests._read(file) != before


def test_weights_that_changed_a_moment_ago_are_not_remembered(kept, tmp_path):
    file = tmp_path / "model.safetensors"
    file.write_bytes(os.urandom(10_000))
    file_digest(file, large=1)
    assert not files(kept)


def test_a_user_without_a_home_folder_is_told_what_to_set(monkeypatch):
    """As in a container that runs under a number that no file of users knows."""
    for name in (cache.FOLDER, "XDG_CACHE_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("os.getuid", lambda: 3_999_999_999)
    with pytest.raises(UserError, match="set FREQQ_CACHE"):
        cache.folder("data")
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert cache.folder("data") == Path("/somewhere/freqq/data")
