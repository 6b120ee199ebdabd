"""What can be asked of a real Slurm without running an evaluation."""

import json
import os
import re
import socket
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from freqq.errors import FreqqError, UserError
from freqq.slurm.script import Job, merge_script, shards_script
from freqq.slurm.submit import Submission, check_idle, sbatch, submit
from tests.cli.test_app import freqq
from tests.slurm.test_script import printable, sbatch_reads

HELD = ("--sbatch-arg", "--hold")


def script(run, **values):
    job = Job(**({"gpus": 2, "cpus_per_gpu": 1, "sbatch_args": ("--hold",)} | values))
    return shards_script(job, ["/bin/true"], run, run), merge_script(job, ["/bin/true"], run, run)


@given(printable)
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_sbatch_reads_what_was_meant(slurm, text):
    _, merge = script(slurm.folder, name=text)
    job = sbatch(merge.replace("#SBATCH --ntasks=1", "#SBATCH --ntasks=1\n#SBATCH --hold"), "--parsable")
    shown = subprocess.run(["squeue", "--noheader", f"--jobs={job}", "--format=%j"], capture_output=True, text=True)
    assert shown.stdout == f"{text}-merge\n"
    (line,) = (line for line in merge.split("\n") if line.startswith("#SBATCH --job-name"))
    assert sbatch_reads(line) == [f"--job-name={text}-merge"]


def test_variables_that_contradict_the_script_do_not_win(slurm, monkeypatch):
    monkeypatch.setenv("SBATCH_NO_REQUEUE", "1")
    monkeypatch.setenv("SBATCH_PARTITION", "high")
    monkeypatch.setenv("SBATCH_TIMELIMIT", "7")
    shards, _ = script(slurm.folder, partition="low")
    shown = slurm(f"scontrol --oneliner show job {sbatch(shards, '--parsable')}")
    assert " Partition=low " in shown
    assert " Requeue=1 " in shown
    assert " TimeLimit=00:07:00 " in shown  # the script says nothing of it


@pytest.mark.parametrize("layout", ["array", "node"])
def test_slurm_understands_every_option(slurm, layout):
    options = ("--partition", "low", "--time", "10:00", "--mem", "1G", "--layout", layout)
    slurm.submit("--gpus", "4", *options, *HELD, setup=("true 'a b'",))
    found = slurm.status()
    job = slurm(f"scontrol --oneliner show job {found['job']}")
    assert " TimeLimit=00:10:00 " in job
    assert ("mem=1G" if layout == "array" else "mem=4G") in job
    assert {s["state"] for s in found["shards"]} == {"PENDING"}
    assert {s["reason"] for s in found["shards"]} == {"JobHeldUser"}
    assert (found["merge"]["state"], found["merge"]["reason"]) == ("PENDING", "Dependency")
    saved = (slurm.run / "slurm" / "shards.sbatch").read_text()
    assert slurm(f"scontrol write batch_script {found['job']} -") == saved.strip()
    assert found["folder"] == str(slurm.folder)
    assert f"--gpus 4 --partition low --time 10:00 --mem 1G --layout {layout}" in found["command"]


@pytest.mark.parametrize("layout", ["array", "node"])
def test_an_engine_over_several_gpus_gets_them(slurm, layout):
    slurm.submit("--layout", layout, *HELD, evaluate=("--backend", "vllm", "--tensor-parallel", "4"))
    job = slurm(f"scontrol --oneliner show job {slurm.status()['job']}")
    assert re.search(r"gres/gpu[:=]4\b|gres:gpu:4\b", job), job
    assert " CPUs/Task=4 " in job


def test_a_run_that_is_in_the_queue_is_not_submitted_again(slurm):
    slurm.submit("--gpus", "2", *HELD)
    job = slurm.status()["job"]
    done = freqq("slurm-submit", "--gpus", "2", "--", "--out", str(slurm.run))
    assert done.exit_code == 2
    assert f"scancel {job}" in done.stderr


def test_an_element_that_is_cancelled_before_it_starts_never_ran(slurm):
    slurm.submit("--gpus", "3", *HELD)
    found = slurm.status()
    slurm(f"scancel {found['job']}_1")
    found = slurm.status()
    assert [s["state"] for s in found["shards"]] == ["PENDING", "NEVER RAN", "PENDING"]
    assert found["stuck"]


def test_if_the_merge_is_refused_the_shards_do_not_stay(slurm):
    shards, _ = script(slurm.run)
    _, merge = script(slurm.run, partition="nowhere")
    with pytest.raises(FreqqError, match="invalid partition"):
        submit(slurm.run, shards, merge, layout="array", count=2, command="", folder=slurm.folder)
    assert slurm("squeue --noheader") == ""
    assert list(slurm.folder.iterdir()) == []


def test_a_refused_submission_leaves_what_was_there_and_nothing_else(slurm):
    slurm.submit("--gpus", "2", *HELD)
    found = slurm.status()
    slurm(f"scancel {found['job']} {found['merge']['job']}")
    before = {file: file.read_bytes() for file in slurm.run.rglob("*") if file.is_file()}
    for out in (slurm.run, slurm.folder / "other" / "run"):
        done = freqq("slurm-submit", "--partition", "nowhere", "--", "--out", str(out))
        assert (done.exit_code, "invalid partition" in done.stderr) == (1, True)
    assert {file: file.read_bytes() for file in slurm.folder.rglob("*") if file.is_file()} == before
    assert not (slurm.folder / "other").exists()


def test_doctor_asks_the_controller(slurm, monkeypatch):
    def state():
        (found,) = (f for f in json.loads(freqq("doctor", "--json").stdout) if f["name"] == "Slurm")
        return found["state"], found["found"]

    assert state()[0] == "ok"
    assert "low*, high" in state()[1]
    conf = Path(os.environ["SLURM_CONF"]).read_text()
    (slurm.folder / "slurm.conf").write_text(re.sub(r"SlurmctldPort=\d+", "SlurmctldPort=1", conf))
    monkeypatch.setenv("SLURM_CONF", str(slurm.folder / "slurm.conf"))
    assert state()[0] == "missing"
    assert "sbatch, but " in state()[1]


def test_check_asks_slurm_and_submits_nothing(slurm):
    done = freqq("slurm-submit", "--gpus", "4", "--check", "--", "--out", str(slurm.run))
    assert done.exit_code == 0, done.output
    assert "tiny: in the package" in done.stdout
    assert re.search(r"shards: Job \d+ to start at .* in partition low", done.stdout)
    assert slurm("squeue --noheader") == ""
    assert list(slurm.folder.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "evaluate", "message"),
    [
        (["--partition", "nowhere"], [], "the shards: sbatch refuses: .*invalid partition"),
        (["--gpus", "5", "--layout", "node"], [], "configuration is not available"),
        ([], ["--model", "owner/never-fetched"], "hf download owner/never-fetched"),
    ],
)
def test_check_finds_what_would_go_wrong(slurm, monkeypatch, options, evaluate, message):
    monkeypatch.setenv("HF_HUB_CACHE", str(slurm.folder))
    done = freqq("slurm-submit", "--check", *options, "--", *evaluate, "--out", str(slurm.run))
    assert done.exit_code != 0
    assert re.search(message, done.stderr), done.stderr
    assert len(done.stderr.splitlines()) == 1


def begins(restart):
    return f"freqq: begins on n1, restart {restart}"


def forgotten(run):
    """A run whose jobs Slurm knows no more, with the logs of four shards."""
    folder = run / "slurm"
    folder.mkdir(parents=True)
    Submission("array", 4, "900001", "900002", "freqq slurm-submit", "/").write(run)
    logs = {
        0: [begins(0), "freqq: ended with 75", begins(1), "freqq: ended with 0"],
        1: [begins(0), "error: no such file", "freqq: ended with 2"],
        2: [begins(2), "answering"],
    }
    for i, lines in logs.items():
        (folder / f"900001_{i}.log").write_text("\n".join([*lines, ""]))
    return run


def test_what_slurm_has_forgotten_the_logs_tell(slurm):
    forgotten(slurm.run)
    found = slurm.status()
    assert found["problem"] == ""
    assert [s["state"] for s in found["shards"]] == ["COMPLETED", "FAILED", "STOPPED", "NEVER RAN"]
    assert [s["restarts"] for s in found["shards"]] == [1, 0, 2, 0]
    assert found["shards"][1]["error"] == "error: no such file"
    shown = freqq("slurm-status", str(slurm.run)).stdout
    assert "shard 1: error: no such file" in shown
    assert shown.endswith("cd / && freqq slurm-submit\n")


def test_if_slurm_does_not_answer_nothing_is_taken_for_dead(slurm, monkeypatch):
    forgotten(slurm.run)
    conf = Path(os.environ["SLURM_CONF"]).read_text()
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # and does not listen
        conf = re.sub(r"SlurmctldPort=\d+", f"SlurmctldPort={nobody.getsockname()[1]}\nMessageTimeout=2", conf)
        (slurm.folder / "slurm.conf").write_text(conf)
        monkeypatch.setenv("SLURM_CONF", str(slurm.folder / "slurm.conf"))
        found = slurm.status()
        with pytest.raises(FreqqError, match=r"cannot tell whether .* as job 900001 \(.*Unable to contact"):
            check_idle(slurm.run)
    assert "Unable to contact" in found["problem"]
    assert [s["state"] for s in found["shards"]] == ["COMPLETED", "FAILED", "UNKNOWN", "UNKNOWN"]


@pytest.mark.parametrize(
    "damage", [{"shards": 10**9}, {"shards": True}, {"job": "../x"}, {"layout": "x"}, {"command": None}, {"more": 1}]
)
def test_a_damaged_note_is_refused(tmp_path, damage):
    forgotten(tmp_path)
    file = tmp_path / "slurm" / "submission.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | damage))
    with pytest.raises(UserError, match=r"submission\.json"):
        Submission.read(tmp_path)
