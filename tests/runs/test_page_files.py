"""Page files that chats refer to: those that changed since the run began are refused, before a model is loaded."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from freqq.data.sample import Sample
from freqq.errors import BrokenDevice, UserError
from freqq.glm.load import load_reader
from freqq.runs import page_files, shard_process
from freqq.runs.page_files import check_page_files
from freqq.runs.run import run
from freqq.runs.settings import Settings
from freqq.runs.shard import Shard
from tests.runs.faulty_device import BREAKING, FaultyDevice
from tests.runs.killing import table

OLD = 1e9


def draw(path: Path, shade: int) -> None:
    Image.fromarray(np.full((56, 56), shade, np.uint8)).save(path)


def aged(path: Path, content: bytes, mtime: float = OLD) -> Path:
    """A file whose time of change is set, which changes no content."""
    path.write_bytes(content)
    os.utime(path, (mtime, mtime))
    return path


@pytest.fixture
def samples(tmp_path):
    return [
        Sample(f"s-{i}", images=tuple(aged(tmp_path / f"{i}-{n}.png", b"page") for n in range(2))) for i in range(4)
    ]


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "run" / "parts").mkdir(parents=True)
    return tmp_path / "run"


def test_a_changed_page_is_refused_by_any_shard_whatever_its_size_and_time(folder, samples):
    for shard in (Shard(0, 2), Shard(1, 2)):
        check_page_files(folder, samples[shard.index :: 2], shard)
    check_page_files(folder, samples, Shard())
    aged(samples[3].images[1], b"Page")
    for own in (samples, samples[3:]):
        with pytest.raises(UserError, match=r"page files of s-3 changed since .* Restore them"):
            check_page_files(folder, own, Shard(1, 3))
    check_page_files(folder, samples[:3], Shard(1, 3))
    aged(samples[3].images[1], b"page", OLD + 1)  # restored
    check_page_files(folder, samples, Shard(1, 3))


def test_files_that_settled_are_read_once(folder, samples, monkeypatch):
    """These were made just now, which the time that nobody can set (ctime) says."""
    read, digest = [], page_files._digest
    monkeypatch.setattr(page_files, "_digest", lambda files: read.append(files) or digest(files))
    check_page_files(folder, samples, Shard())
    check_page_files(folder, samples, Shard())
    assert len(read) == 2 * len(samples)
    monkeypatch.setattr(page_files, "SETTLED_S", -60.0)
    check_page_files(folder, samples, Shard())
    check_page_files(folder, samples, Shard())
    assert len(read) == 3 * len(samples)
    aged(samples[2].images[0], b"Page")
    with pytest.raises(UserError, match="s-2"):
        check_page_files(folder, samples, Shard())
    assert len(read) == 3 * len(samples) + 1


def test_samples_without_page_files_leave_nothing(folder):
    check_page_files(folder, [Sample("s-0")], Shard())
    assert [path.name for path in folder.iterdir()] == ["parts"]


def test_a_run_whose_pages_changed_is_not_continued(random_model, tmp_path, monkeypatch):
    reader = load_reader(random_model, device="cpu")
    monkeypatch.setattr(shard_process, "load", lambda weights, placement: reader)
    records = []
    for i in range(4):
        draw(tmp_path / f"{i}.png", 40 * i)
        records.append(
            {
                "unique_id": f"2needle_0k_8k-{i}", "question": "What?", "answer": "abc That", "context": "",
                "random_string_to_prepend": "abc", "image_paths": [f"{i}.png"],
            }
        )  # fmt: skip
    (tmp_path / "data.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    settings = Settings(
        model=random_model, data=str(tmp_path / "data.jsonl"), methods=("token-lowpass",), levels=("mild",),
        max_new_tokens=2,
    )  # fmt: skip
    machine = shard_process.Machine(batch_size=1)
    device = FaultyDevice({("vision", 3): BREAKING["ecc"]})
    with device.under(reader.model), pytest.raises(BrokenDevice):
        run(settings, tmp_path / "run", machine=machine)
    content = (tmp_path / "3.png").read_bytes()
    draw(tmp_path / "3.png", 7)
    loads = []
    with monkeypatch.context() as patch:
        patch.setattr(shard_process, "load", lambda *given: loads.append(given))
        with pytest.raises(UserError, match=r"page files of 2needle_0k_8k-3 changed"):
            run(settings, tmp_path / "run", machine=machine)
    assert not loads
    (tmp_path / "3.png").write_bytes(content)
    assert [row["error"] for row in table(run(settings, tmp_path / "run", machine=machine))] == [None] * 8


def test_the_page_of_a_sample_that_failed_may_be_repaired(folder, samples, monkeypatch):
    check_page_files(folder, samples, Shard())
    aged(samples[1].images[0], b"Page")
    rows = {("s-0", "h"): True, ("s-1", "h"): False}
    monkeypatch.setattr(
        page_files,
        "answered",
        lambda run, retry_failed=False: {k for k, good in rows.items() if good or not retry_failed},
    )
    check_page_files(folder, samples, Shard())
    rows["s-1", "h"] = True
    check_page_files(folder, samples, Shard(0, 2))
    samples[1].images[0].unlink()
    with pytest.raises(UserError, match="s-1"):
        check_page_files(folder, samples, Shard())
