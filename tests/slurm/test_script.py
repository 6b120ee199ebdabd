"""The sbatch texts, as text and as bash."""

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from freqq.errors import UserError
from freqq.slurm.script import Job, merge_script, shard_script

FULL = Job(
    gpus=4,
    name="night run",
    partition="gpu",
    account="lab",
    qos="low",
    time="04:00:00",
    mem="64G",
    constraint="a100&ib",
    cpus_per_gpu=6,
    setup=("module load cuda", 'export HF_HOME="$SCRATCH/hf"'),
    sbatch_args=("--nodelist=a1,a2",),
)
RUN, FOLDER = Path("/data/50% runs/a"), Path("/home/me")
GOLDEN = Path(__file__).parent / "golden"


def scripts(job, python="/opt/env/bin/python", run=RUN, folder=FOLDER, options=("--limit", "8")):
    evaluate = [python, "-m", "freqq", "eval", *options, "--out", str(run)]
    merge = [python, "-m", "freqq", "runs", "merge", str(run)]
    return shard_script(job, evaluate, run, folder), merge_script(job, merge, run, folder)


@pytest.mark.parametrize("index", [0, 1], ids=["shards", "merge"])
def test_the_text_is_the_golden_one(index):
    golden = GOLDEN / f"{('shards', 'merge')[index]}.sbatch"
    assert scripts(FULL)[index] == golden.read_text()


@pytest.mark.parametrize("job", [Job(gpus=1), FULL])
@pytest.mark.parametrize("options", [(), ("--set", "a=$(touch x); `id` 'q' \"d\" \\ & | *")])
def test_bash_accepts_the_text(job, options):
    for text in scripts(job, options=options):
        assert subprocess.run(["bash", "-n"], input=text, text=True, capture_output=True).stderr == ""


@pytest.mark.parametrize(
    "wrong",
    [
        {"partition": "gpu\n#SBATCH --uid=0"},
        {"account": "lab\r\nrm -rf /"},
        {"name": "a\nb"},
        {"name": ""},
        {"sbatch_args": ("--x\ny",)},
        {"sbatch_args": ("nodelist=a1",)},
        {"gpus": 0},
        {"cpus_per_gpu": 0},
    ],
)
def test_what_would_break_out_of_its_line_is_refused(wrong):
    with pytest.raises(UserError):
        Job(**({"gpus": 1} | wrong))


def test_a_path_with_a_line_break_is_refused():
    with pytest.raises(UserError, match="line break"):
        scripts(FULL, run=Path("/data/a\nb"))


def run_script(text, folder, status="0", restarts="0"):
    """Run a script as a batch job would, with a shell for the cluster's own two commands."""
    programs = folder / "bin"
    programs.mkdir()
    (programs / "srun").write_text('#!/bin/sh\nwhile [ "${1#--}" != "$1" ]; do shift; done\nexec "$@"\n')
    (programs / "scontrol").write_text(f'#!/bin/sh\necho "$@" >> {folder}/scontrol.log\n')
    (programs / "python").write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" > {folder}/arguments\nexit {status}\n')
    for program in programs.iterdir():
        program.chmod(0o755)
    environment = os.environ | {
        "PATH": f"{programs}:{os.environ['PATH']}", "SLURM_ARRAY_JOB_ID": "71", "SLURM_ARRAY_TASK_ID": "3",
        "SLURM_RESTART_COUNT": restarts,
    }  # fmt: skip
    done = subprocess.run(["bash"], input=text, text=True, capture_output=True, env=environment, cwd=folder)
    log = folder / "scontrol.log"
    return done, log.read_text() if log.exists() else ""


@pytest.mark.parametrize(
    ("status", "restarts", "requeued"),
    [("0", "0", ""), ("75", "0", "requeue 71_3\n"), ("75", "49", "requeue 71_3\n"), ("75", "50", ""), ("1", "0", "")],
)
def test_only_a_stopped_task_is_queued_again_and_not_for_ever(tmp_path, status, restarts, requeued):
    text, _ = scripts(Job(gpus=4), python="python")
    done, log = run_script(text, tmp_path, status, restarts)
    assert done.returncode == int(status), done.stderr
    assert log == requeued


def test_arguments_arrive_as_they_were_given(tmp_path):
    options = ("--model", "a b", "--set", "x=$(touch broken); 'q' \"d\" *")
    text, _ = scripts(Job(gpus=4), python="python", options=options)
    run_script(text, tmp_path)
    arguments = (tmp_path / "arguments").read_text().splitlines()
    assert arguments == ["-m", "freqq", "eval", *options, "--out", str(RUN), "--shard", "3/4"]
    assert not (tmp_path / "broken").exists()


def test_setup_lines_run_first_and_end_the_job_if_they_fail(tmp_path):
    text, _ = scripts(Job(gpus=1, setup=("false",)), python="python")
    done, _ = run_script(text, tmp_path)
    assert done.returncode != 0
    assert not (tmp_path / "arguments").exists()


@pytest.mark.slow
def test_shards_and_merge_really_run(random_model, tmp_path):
    run = tmp_path / "the run"
    options = ("--model", random_model, "--limit", "3", "--max-new-tokens", "4")
    shards, merge = scripts(Job(gpus=2), python=sys.executable, run=run, folder=tmp_path, options=options)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "srun").write_text('#!/bin/sh\nwhile [ "${1#--}" != "$1" ]; do shift; done\nexec "$@"\n')
    (tmp_path / "bin" / "srun").chmod(0o755)
    for index in (0, 1):
        environment = os.environ | {
            "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}", "SLURM_ARRAY_TASK_ID": str(index),
            "SLURM_ARRAY_JOB_ID": "7",
        }  # fmt: skip
        done = subprocess.run(["bash"], input=shards, text=True, capture_output=True, env=environment)
        assert done.returncode == 0, done.stderr
    done = subprocess.run(["bash"], input=merge, text=True, capture_output=True)
    assert done.returncode == 0, done.stderr
    assert (run / "results.parquet").is_file()
    assert "baseline" in done.stdout


def test_every_word_of_the_command_is_quoted():
    text, _ = scripts(FULL, options=("--model", "a b"))
    line = next(line for line in text.splitlines() if line.startswith("srun"))
    assert shlex.split(line)[4:9] == ["-m", "freqq", "eval", "--model", "a b"]
