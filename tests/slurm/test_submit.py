"""``freqq slurm-submit``."""

import shlex
import subprocess
import sys

import pytest
import typer

from freqq.cli.serve import serve
from freqq.cli.slurm_submit import parse_eval
from freqq.errors import FreqqError
from freqq.slurm.submit import submit
from tests.cli.test_app import freqq


def test_a_dry_run_prints_both_scripts_and_writes_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = freqq(
        "slurm-submit", "--gpus", "4", "--partition", "gpu", "--dry-run", "--", "--needle", "2", "--limit", "9"
    )
    assert done.exit_code == 0, done.output
    assert "#SBATCH --array=0-3" in done.stdout
    assert "#SBATCH --gres=gpu:1" in done.stdout
    assert "#SBATCH --partition=gpu" in done.stdout
    assert f"{sys.executable} -m freqq eval --needle 2 --limit 9 --out {tmp_path}/runs/mini-2needle_tiny" in done.stdout
    assert '--shard "${SLURM_ARRAY_TASK_ID}/4"' in done.stdout
    assert f"{sys.executable} -m freqq runs merge {tmp_path}/runs/mini-2needle_tiny" in done.stdout
    assert "--dependency=afterok:JOB" in done.stdout
    assert subprocess.run(["bash", "-n"], input=done.stdout, text=True, capture_output=True).stderr == ""
    assert list(tmp_path.iterdir()) == []


def test_an_engine_over_several_gpus_gets_them(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    engine = ("--backend", "vllm", "--tensor-parallel", "2", "--data-parallel", "2")
    done = freqq("slurm-submit", "--gpus", "3", "--cpus-per-gpu", "6", "--dry-run", "--", *engine)
    assert done.exit_code == 0, done.output
    assert {"#SBATCH --array=0-2", "#SBATCH --gres=gpu:4", "#SBATCH --cpus-per-task=24"} <= set(
        done.stdout.splitlines()
    )


def test_an_engine_over_two_nodes_is_started_by_freqq_serve_and_asked_by_freqq_eval(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    options = ("--backend=vllm", "--model", "my model", "--revision", "v1", "--tensor-parallel", "16", "--out", "run")
    done = freqq("slurm-submit", "--nodes-per-engine", "2", "--dry-run", "--", *options)
    assert done.exit_code == 0, done.output
    assert {"#SBATCH --nodes=2", "#SBATCH --gres=gpu:8", "#SBATCH --cpus-per-task=64"} <= set(done.stdout.splitlines())
    assert list(tmp_path.iterdir()) == []

    words = shlex.split(done.stdout.replace("$port", "10001").replace("$((port + 10000))", "20001"), comments=True)
    served = words[words.index("serve") + 1 : words.index("20001") + 1]
    single = typer.Typer()
    single.command()(serve)
    with typer.main.get_command(single).make_context("serve", served) as context:
        found = context.params
    assert (found["engine"], found["model"], found["revision"], found["tensor_parallel"]) == (
        "vllm",
        "my model",
        "v1",
        16,
    )
    assert found["arguments"][:2] == ["--nnodes", "2"]

    asked = parse_eval(words[words.index("eval") + 1 : words.index("--shard")])
    asked.machine().check_backend("openai")
    assert (asked.backend, asked.base_url, asked.model) == ("openai", "http://127.0.0.1:10001/v1", "my model")


def test_without_sbatch_it_says_so_and_writes_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    done = freqq("slurm-submit", "--gpus", "2")
    assert done.exit_code == 2
    assert "no sbatch" in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--partition", "a\nb"], "--partition"),
        (["--job-name", ""], "--job-name"),
        (["--gpus", "0"], "--gpus 0"),
        (["--layout", "nodes"], "node"),
        (["--setup", "echo 'a"], "--setup"),
        (["--sbatch-arg", "--array=0-9"], "--array"),
        (["--", "--shard", "0/2"], "leave --shard out after --: each process is given its own"),
        (["--", "--gpus=4"], "leave --gpus out after --: each process is given one"),
        (["--", "--workers", "2"], "leave --workers out after --: each process has a GPU for itself"),
        (["--layout", "node", "--", "--device-map=auto"], "leave --device-map out after --: each process sees one GPU"),
        (["--", "--batch-size", "0"], "--batch-size 0"),
        (["--", "--tensor-parallel", "2"], "--tensor-parallel is for --backend vllm"),
        (["--nodes-per-engine", "0"], "--nodes-per-engine 0"),
        (["--nodes-per-engine", "2"], "give --backend vllm after --"),
        (["--nodes-per-engine", "2", "--", "--backend=vllm", "--tensor-parallel=3"], "--tensor-parallel 3"),
        (["--nodes-per-engine", "2", "--", "--backend=vllm", "--data-parallel=2"], "--data-parallel 2"),
        (
            ["--nodes-per-engine", "2", "--layout", "node", "--", "--backend=vllm", "--tensor-parallel=2"],
            "--layout node is one node",
        ),
        (["--", "--data", "\udcff"], "UTF-8"),
        (["--", "--level", "mld"], "mild"),
        (["--", "--method", "tokn"], "token"),
        (["--", "--needle", "3"], "2, 4, 8"),
        (["--", "--nedle", "2"], "No such option"),
    ],
)
def test_wrong_input_is_refused_before_anything_is_submitted(arguments, message):
    done = freqq("slurm-submit", "--dry-run", *arguments)
    assert done.exit_code == 2
    assert message in done.stderr
    assert done.stderr.count("\n") == 1 or "Usage" in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize("failure", [KeyboardInterrupt, FreqqError("sbatch refuses")])
def test_a_job_without_a_merge_does_not_stay_in_the_queue(failure, tmp_path, monkeypatch):
    answers, cancelled = iter(["7"]), []

    def sbatch(*arguments):
        if (job := next(answers, None)) is None:
            raise failure
        return job

    monkeypatch.setattr("freqq.slurm.submit.sbatch", sbatch)
    monkeypatch.setattr("freqq.slurm.submit.need", lambda program: None)
    monkeypatch.setattr("subprocess.run", lambda command, **options: cancelled.append(command))
    with pytest.raises((KeyboardInterrupt, FreqqError)):
        submit(tmp_path / "run", "shards", "merge", layout="array", count=1, command="", folder=tmp_path)
    assert cancelled == [["scancel", "7"]]
    assert list(tmp_path.iterdir()) == []


def test_another_runs_folder_is_refused(tmp_path):
    (tmp_path / "thesis.tex").write_text("x")
    done = freqq("slurm-submit", "--", "--out", str(tmp_path))
    assert done.exit_code == 2
    assert "choose an empty or new folder" in done.stderr
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.tex"]
