"""A disk that is really full: named, and nothing is lost."""

import os
import shutil
import subprocess
import sys

import pytest

from freqq.runs.parts import part_files
from freqq.runs.run import run
from freqq.runs.settings import Settings
from tests.runs.killing import rows_on_disk, table

SMALL = "mount -t tmpfs -o size=96k tmpfs {disk} || exit 99"


def in_own_mounts(script: str) -> subprocess.CompletedProcess[str]:
    """Run a shell script that may mount, in a namespace of its own."""
    command = ["unshare", *(["-m"] if os.geteuid() == 0 else ["-rm"]), "sh", "-c", script]
    return subprocess.run(command, capture_output=True, text=True)


def can_mount() -> bool:
    if shutil.which("unshare") is None:
        return False
    return in_own_mounts("mount -t tmpfs tmpfs /mnt").returncode == 0


@pytest.mark.slow
@pytest.mark.skipif(not can_mount(), reason="needs to mount a small file system")
@pytest.mark.parametrize("workers", ["", "--workers 2"])
def test_a_full_disk_is_named_and_what_was_written_stays(random_model, tmp_path, workers):
    disk, saved = tmp_path / "disk", tmp_path / "saved"
    disk.mkdir()
    settings = Settings(model=random_model, limit=60, levels=("mild",), max_new_tokens=4)
    options = f"--model {random_model} --limit 60 --level mild --max-new-tokens 4"
    full = f"{sys.executable} -m freqq eval {options} {workers} --out {disk}/run"
    done = in_own_mounts(f"{SMALL.format(disk=disk)}; {full}; code=$?; cp -r {disk}/run {saved}; exit $code")
    assert done.returncode == 1, done.stderr
    message = done.stderr.strip().splitlines()[-1]
    assert f"cannot write to {disk}/run/parts: the disk is full" in message
    assert "run the same command again" in message
    assert 0 < rows_on_disk(saved) < 120
    assert not list((saved / "parts").glob(".*.tmp"))
    before = {part.name: part.read_bytes() for part in part_files(saved)}
    run(settings, saved)
    assert before.items() <= {part.name: part.read_bytes() for part in part_files(saved)}.items()
    assert table(saved) == table(run(settings, tmp_path / "whole"))
