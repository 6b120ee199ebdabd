"""The sbatch texts, as text and as bash."""

import os
import shlex
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freqq.errors import UserError
from freqq.slurm.check import check_setup
from freqq.slurm.script import Job, engine_script, merge_script, shards_script

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
    return shards_script(job, evaluate, run, folder), merge_script(job, merge, run, folder)


@pytest.mark.parametrize("layout", ["array", "node"])
def test_the_text_is_the_golden_one(layout):
    shards, merge = scripts(replace(FULL, layout=layout))
    assert shards == (GOLDEN / f"{layout}.sbatch").read_text()
    assert merge == (GOLDEN / "merge.sbatch").read_text()


@pytest.mark.parametrize("layout", ["array", "node"])
def test_an_engine_over_several_gpus_has_its_golden_text(layout):
    options = ("--backend", "vllm", "--tensor-parallel", "4")
    shards, _ = scripts(replace(FULL, layout=layout, gpus=2, gpus_each=4), options=options)
    assert shards == (GOLDEN / f"vllm-{layout}.sbatch").read_text()


SERVE = ("/opt/env/bin/python", "-m", "freqq", "serve", "--engine", "vllm", "--model", "a b", "--tensor-parallel", "16",
         "--host", "127.0.0.1")  # fmt: skip


def engine_on_two_nodes(job=FULL, python="/opt/env/bin/python"):
    job = replace(job, gpus=2, gpus_each=8, nodes=2)
    evaluate = [python, "-m", "freqq", "eval", "--model", "a b", "--out", str(RUN), "--backend", "openai"]
    return engine_script(job, [python, *SERVE[1:]], evaluate, RUN, FOLDER)


def test_an_engine_over_several_nodes_has_its_golden_text():
    assert engine_on_two_nodes() == (GOLDEN / "vllm-nodes.sbatch").read_text()


def sbatch_reads(line):
    """What sbatch takes from a directive: it knows quotes, and backslashes within them. Compared with sbatch itself in
    test_with_slurm."""
    words, word, mark, escaped = [], None, "", False
    for character in line.removeprefix("#SBATCH"):
        if escaped:
            word, escaped = (word or "") + character, False
        elif character == "\\":
            escaped = True
        elif mark:
            word, mark = (word, "") if character == mark else (word + character, mark)
        elif character in "'\"":
            word, mark = word or "", character
        elif character.isspace():
            words, word = words + [word] * (word is not None), None
        elif character == "#":
            break
        else:
            word = (word or "") + character
    return words + [word] * (word is not None)


printable = st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=40).filter(str.isprintable)


@given(printable, printable, printable, printable, st.sampled_from(["array", "node"]))
def test_any_printable_values_arrive_as_they_are(name, partition, folder, argument, layout):
    run = Path("/runs") / folder.replace("/", "-").replace("\\", "-")
    job = Job(2, layout, name, partition=partition, sbatch_args=(f"--comment={argument}",))
    for text in scripts(job, run=run, folder=Path("/home") / folder, options=("--model", argument)):
        assert subprocess.run(["bash", "-n"], input=text, text=True, capture_output=True).stderr == ""
        read = [sbatch_reads(line) for line in text.split("\n") if line.startswith("#SBATCH")]
        assert all(len(words) == 1 for words in read)
        values = dict(words[0].removeprefix("--").partition("=")[::2] for words in read)
        assert values["job-name"].removesuffix("-merge") == name.removesuffix("-merge")
        assert values["partition"] == partition
        assert values["chdir"] == str(Path("/home") / folder)
        assert values["output"].replace("%%", "%").startswith(f"{run}/slurm/%")
        assert values.get("comment", argument) == argument


@given(st.text(st.sampled_from("ab '\"\\$(){}<|&;#`!\n"), min_size=1, max_size=8))
def test_a_setup_line_never_swallows_the_next_one(line):
    try:
        job = Job(1, setup=(line,))
        check_setup(job.setup)
    except UserError:
        return
    text, _ = scripts(job)
    before, setup, after = text.partition(f"\n{line}\nexport OMP_NUM_THREADS=")
    assert setup
    assert subprocess.run(["bash", "-n"], input=text, text=True, capture_output=True).stderr == ""
    # A line that cannot be read is seen as such only if nothing before it has taken it in.
    broken = f"{before}\n{line}\n)\nexport OMP_NUM_THREADS={after}"
    assert subprocess.run(["bash", "-n"], input=broken, text=True, capture_output=True).returncode != 0


@pytest.mark.parametrize("line", ["module load 'cuda", "if true", "cat <<END", "foo &&", "}", "a \\", "$("])
def test_half_a_command_as_setup_line_is_refused(line):
    with pytest.raises(UserError, match="--setup"):
        check_setup(Job(1, setup=(line,)).setup)


def test_a_setup_line_is_read_where_the_locale_is_unknown(monkeypatch):
    monkeypatch.setenv("LC_ALL", "xx_YY.UTF-8")  # as ssh passes on that of another machine
    check_setup(["module load cuda", "echo 'é'"])


@pytest.mark.parametrize("job", [Job(gpus=1), FULL, replace(FULL, layout="node")])
@pytest.mark.parametrize("options", [(), ("--set", "a=$(touch x); `id` 'q' \"d\" \\ & | *")])
def test_bash_accepts_the_text(job, options):
    over_nodes = [engine_on_two_nodes(job)] if job.layout == "array" else []
    for text in (*scripts(job, options=options), *over_nodes):
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
        {"layout": "nodes"},
        {"setup": ("a\nb",)},
        {"sbatch_args": ("--array=0-9",)},
        {"sbatch_args": ("-n4",)},
        {"sbatch_args": ("--output",)},
    ],
)
def test_what_would_break_out_of_its_line_is_refused(wrong):
    with pytest.raises(UserError):
        Job(**({"gpus": 1} | wrong))


def test_a_path_that_slurm_cannot_have_is_refused():
    with pytest.raises(UserError, match="line break"):
        scripts(FULL, run=Path("/data/a\nb"))
    with pytest.raises(UserError, match="backslash"):
        scripts(FULL, run=Path("/data/a\\b"))


SRUN = """#!/bin/bash
while [[ $1 == --* ]]; do
    [[ $1 == --ntasks=* ]] && count=${1#*=}
    shift
done
[[ $1 == bash && $4 == vllm ]] || exec "$@"
trap 'kill $(jobs -p); wait; exit 143' TERM
for ((task = 0; task < count; task++)); do SLURM_PROCID=$task "$@" & done
while wait -n; do :; done
exit 1
"""
"""As many processes of an engine as tasks, else one."""


def run_script(text, folder, status="0", restarts="0", engine="touch up-$SLURM_PROCID; exec /bin/sleep 600"):
    """Run a script as a batch job would, with a shell for the cluster's own two commands."""
    programs = folder / "bin"
    programs.mkdir()
    (programs / "srun").write_text(SRUN)
    (programs / "scontrol").write_text(f'#!/bin/sh\necho "$@" >> {folder}/scontrol.log\n')
    (programs / "sleep").write_text("#!/bin/sh\nexec /bin/sleep 0.05\n")
    (programs / "python").write_text(
        f'#!/bin/sh\ncd {folder}\ncase "$*" in\n'
        "-c*) test -e up-0 -a -e up-1;;\n"
        f'*" serve "*) echo "$@" > engine-$SLURM_PROCID; echo $$ >> engines; {engine};;\n'
        f'*) printf "%s\\n" "$@" > arguments; exit {status};;\nesac\n'
    )
    for program in programs.iterdir():
        program.chmod(0o755)
    environment = os.environ | {
        "PATH": f"{programs}:{os.environ['PATH']}", "SLURM_ARRAY_JOB_ID": "71", "SLURM_ARRAY_TASK_ID": "3",
        "SLURM_RESTART_COUNT": restarts, "SLURM_JOB_ID": "74", "SLURM_PROCID": "3", "SLURMD_NODENAME": "a1",
    }  # fmt: skip
    done = subprocess.run(["bash"], input=text, text=True, capture_output=True, env=environment, cwd=folder)
    log = folder / "scontrol.log"
    return done, log.read_text() if log.exists() else ""


REQUEUED = {"array": "requeue 71_3\n", "node": "requeue 74\n"}


@pytest.mark.parametrize("layout", REQUEUED)
@pytest.mark.parametrize(
    ("status", "restarts", "requeued"),
    [("0", "0", False), ("75", "0", True), ("138", "0", True), ("69", "0", True), ("75", "49", True),
     ("75", "50", False), ("1", "0", False)],
)  # fmt: skip
def test_only_a_stopped_job_is_queued_again_and_not_for_ever(tmp_path, layout, status, restarts, requeued):
    text, _ = scripts(Job(gpus=4, layout=layout), python="python")
    done, log = run_script(text, tmp_path, status, restarts)
    assert done.returncode == int(status), done.stderr
    assert log == (REQUEUED[layout] if requeued else "")
    assert done.stdout.endswith(f"freqq: ended with {status}\n")


@pytest.mark.parametrize("layout", REQUEUED)
def test_arguments_arrive_as_they_were_given(tmp_path, layout):
    options = ("--model", "a b", "--set", "x=$(touch broken); 'q' \"d\" *")
    text, _ = scripts(Job(gpus=4, layout=layout), python="python", options=options)
    run_script(text, tmp_path)
    arguments = (tmp_path / "arguments").read_text().splitlines()
    assert arguments == ["-m", "freqq", "eval", *options, "--out", str(RUN), "--shard", "3/4"]
    assert not (tmp_path / "broken").exists()


@pytest.mark.parametrize(("status", "requeued"), [("0", ""), ("75", REQUEUED["array"]), ("1", "")])
def test_an_engine_on_two_nodes_is_asked_when_it_answers_and_ends_with_the_evaluation(tmp_path, status, requeued):
    done, log = run_script(engine_on_two_nodes(Job(1), "python"), tmp_path, status)
    assert done.returncode == int(status), done.stderr
    assert log == requeued
    at = "--host 127.0.0.1 --port 10074 -- --nnodes 2 --master-addr a1 --master-port 20074"
    assert (tmp_path / "engine-0").read_text().endswith(f"{at} --node-rank 0\n")
    assert (tmp_path / "engine-1").read_text().endswith(f"{at} --headless --node-rank 1\n")
    arguments = (tmp_path / "arguments").read_text().splitlines()
    assert arguments[-4:] == ["--base-url", "http://127.0.0.1:10074/v1", "--shard", "3/2"]
    assert [pid for pid in (tmp_path / "engines").read_text().split() if Path(f"/proc/{pid}").exists()] == []


def test_an_engine_that_ends_before_it_answers_ends_the_job(tmp_path):
    done, log = run_script(engine_on_two_nodes(Job(1), "python"), tmp_path, engine="exit 1")
    assert done.returncode == 1
    assert "error: vLLM ended before it answered" in done.stdout
    assert log == ""
    assert not (tmp_path / "arguments").exists()


@pytest.mark.parametrize("argument", ["--nodes=1", "-N1", "--gres=gpu:1", "--ntasks-per-node=2"])
def test_what_an_engine_on_several_nodes_depends_on_is_refused(argument):
    assert Job(1, sbatch_args=(argument,)).nodes == 1
    with pytest.raises(UserError, match="depend on their own value"):
        Job(1, sbatch_args=(argument,), nodes=2)


def test_setup_lines_run_first_and_end_the_job_if_they_fail(tmp_path):
    text, _ = scripts(Job(gpus=1, setup=("false",)), python="python")
    done, _ = run_script(text, tmp_path)
    assert done.returncode != 0
    assert not (tmp_path / "arguments").exists()


def test_every_word_of_the_command_is_quoted():
    text, _ = scripts(FULL, options=("--model", "a b"))
    line = next(line for line in text.splitlines() if line.startswith("srun"))
    assert shlex.split(line)[5:10] == ["-m", "freqq", "eval", "--model", "a b"]
