"""``freqq eval`` and ``freqq runs merge``."""

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from huggingface_hub import constants

from freqq.data.pythontext import reference
from freqq.image import codebooks
from freqq.runs.directory import RunDirectory
from tests.cli.test_app import freqq
from tests.conftest import needs_tiny

QUICK = ("--limit", "3", "--max-new-tokens", "4")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--needle", "3"], "2, 4, 8"),
        (["--method", "tokn"], "did you mean 'token'"),
        (["--level", "ultramild"], "did you mean 'ultra_mild'"),
        (["--data", "mimi"], "did you mean 'mini'"),
        (["--model", "tinny"], "did you mean 'tiny'"),
        (["--model", "./no/such/folder"], "no folder"),
        (["--set", "keep"], "NAME=VALUE"),
        (["--set", "kep=1", "--method", "image"], "did you mean 'keep'"),
        (["--keep", "0.3", "--set", "keep=0.4", "--method", "image"], "twice"),
        (["--keep", "0.3"], "unknown parameter"),
        (["--bits", "8,4"], "bits"),
        (["--limit", "0"], "--limit 0"),
        (["--batch-size", "0"], "--batch-size 0"),
        (["--shard", "2/2"], "INDEX/COUNT"),
        (["--workers", "0"], "--workers 0"),
        (["--gpus", "99"], "--gpus 99"),
        (["--workers", "2", "--device-map", "auto"], "exclude each other"),
        (["--device-map", "balanced"], "auto is the only one"),
        (["--max-batch-tokens", "0"], "--max-batch-tokens 0"),
        (["--prefill-chunk", "0"], "--prefill-chunk 0"),
        (["--attention", "flash"], "unknown attention"),
        (["--quantization", "int4"], "did you mean 'int8'"),
        (["--generation", "beam"], "unknown generation"),
        (["--protocol", "glyf"], "unknown protocol 'glyf': did you mean 'glyph'"),
        (["--protocol", "glyph", "--generation", "glyph"], "give one of them"),
        (["--out", "/dev/null/run"], "cannot write"),
        (["--no-baseline", "--level", "baseline"], "nothing to run"),
    ],
)
def test_wrong_input_is_one_line_and_writes_nothing(arguments, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = freqq("eval", *arguments)
    assert done.exit_code == 2
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    assert message in done.stderr
    assert done.stdout == ""
    assert list(tmp_path.iterdir()) == []


def test_a_model_of_another_family_is_refused_with_those_that_work(tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text('{"model_type": "chatglm", "architectures": ["ChatGLMModel"]}')
    done = freqq("eval", "--model", str(tmp_path / "model"), "--out", str(tmp_path / "run"))
    assert done.exit_code == 2
    assert "glm-4.1v-9b" in done.stderr
    assert not (tmp_path / "run").exists()


def test_no_network_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    done = freqq("eval", "--model", "glyph", "--out", str(tmp_path / "run"))
    assert done.exit_code == 2
    assert "cannot reach the hub" in done.stderr
    assert done.stderr.strip().count("\n") == 0
    assert not (tmp_path / "run").exists()


def test_a_run_shows_tables_and_leaves_its_files(random_model, tmp_path):
    out = tmp_path / "run"
    done = freqq("eval", "--model", random_model, *QUICK, "--needle", "2", "--needle", "4", "--out", str(out))
    assert done.exit_code == 0, done.output
    assert "baseline" in done.stdout
    assert "ultra_mild" in done.stdout
    assert str(out) in done.stdout
    assert {p.name for p in out.iterdir() if p.name[0] != "."} == {
        "run.json",
        "parts",
        "results.parquet",
        "summary.json",
    }
    assert pq.read_metadata(out / "results.parquet").num_rows == 3 * 2 * 2


def test_json_is_the_summary_and_nothing_else(random_model, tmp_path):
    out = tmp_path / "run"
    done = freqq("eval", "--model", random_model, *QUICK, "--method", "image", "--json", "--out", str(out))
    assert json.loads(done.stdout) == json.loads((out / "summary.json").read_text())
    assert [g["method"] for g in json.loads(done.stdout)["groups"]] == ["baseline", "image"]


def test_without_out_the_run_goes_under_runs(random_model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert freqq("eval", "--model", random_model, *QUICK, "--level", "baseline").exit_code == 0
    (run,) = Path("runs").iterdir()
    assert run.name.startswith("mini-2needle_random_model")
    assert (run / "summary.json").is_file()


def test_other_settings_in_the_same_folder_are_refused(random_model, tmp_path):
    out = str(tmp_path / "run")
    assert freqq("eval", "--model", random_model, *QUICK, "--level", "baseline", "--out", out).exit_code == 0
    done = freqq("eval", "--model", random_model, *QUICK, "--level", "baseline", "--seed", "1", "--out", out)
    assert done.exit_code == 2
    assert "a run with seed = 0, not 1" in done.stderr


def test_shards_are_merged(random_model, tmp_path):
    out = str(tmp_path / "run")
    for shard in ("0/2", "1/2"):
        done = freqq("eval", "--model", random_model, *QUICK, "--shard", shard, "--out", out)
        assert done.exit_code == 0, done.output
        assert "freqq runs merge" in done.stderr
    merged = freqq("runs", "merge", out, "--json")
    assert [g["n"] for g in json.loads(merged.stdout)["groups"]] == [3, 3]


def test_merging_what_is_no_run_is_one_line(tmp_path):
    done = freqq("runs", "merge", str(tmp_path))
    assert done.exit_code == 2
    assert "not a run directory" in done.stderr


@pytest.mark.parametrize(("name", "content"), [("a.png", b"text"), ("a.bin", b"\x89\xff")])
def test_what_is_no_text_is_no_chat(name, content, tmp_path):
    (tmp_path / name).write_bytes(content)
    done = freqq("eval", "--data", str(tmp_path / name), "--out", str(tmp_path / "run"))
    assert done.exit_code == 2
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_a_font_that_is_none_is_refused_before_the_run(chats, tmp_path):
    done = freqq("eval", "--data", chats, "--font", chats, "--out", str(tmp_path / "run"))
    assert done.exit_code == 2
    assert "TrueType" in done.stderr
    assert not (tmp_path / "run").exists()


@pytest.fixture
def chats(tmp_path):
    """Two chats of unlike length in a file."""
    file = tmp_path / "chats.jsonl"
    lines = [json.dumps({"messages": [{"role": "user", "content": "hello " * n}]}) for n in (2, 30)]
    file.write_text("\n".join(lines))
    return str(file)


def test_without_a_limit_an_answer_may_fill_the_models_context(chats, random_model, tmp_path):
    command = ("eval", "--data", chats, "--dpi", "36", "--model", random_model, "--level", "baseline", "--json")
    done = freqq(*command, "--out", str(tmp_path / "run"))
    assert done.exit_code == 0, done.output
    [group] = json.loads(done.stdout)["groups"]
    assert (group["n"], group["n_failed"]) == (2, 0)
    done = freqq(*command, "--max-new-tokens", "8192", "--out", str(tmp_path / "limited"))
    assert done.exit_code == 2
    assert "smaller --max-new-tokens" in done.stderr
    assert not (tmp_path / "limited").exists()


@needs_tiny
def test_the_embedded_model_says_that_it_reads_no_other_pages(chats, tmp_path):
    quick = ("--limit", "1", "--level", "baseline", "--max-new-tokens", "2", "--json")
    done = freqq("eval", "--data", chats, *quick, "--out", str(tmp_path / "run"))
    assert "mini's and nothing else" in done.stderr
    assert json.loads(done.stdout)["groups"][0]["n"] == 1
    done = freqq("eval", *quick, "--out", str(tmp_path / "mini"))
    assert "mini" not in done.stderr


@needs_tiny
@pytest.mark.slow
def test_the_main_job_reads(tmp_path):
    """The embedded model answers most questions, and the mildest compression costs next to nothing."""
    command = "eval --method token --needle 2 --level ultra_mild --limit 40 --json --out".split()
    done = freqq(*command, str(tmp_path / "run"))
    assert done.exit_code == 0, done.output
    plain, mild = json.loads(done.stdout)["groups"]
    assert plain["n_failed"] == mild["n_failed"] == 0
    assert plain["score"]["mean"] > 0.8
    assert abs(mild["difference"]["mean"]) < 0.05


@pytest.mark.slow
def test_a_codebook_for_another_font_is_learned_before_the_workers_start(random_model, tmp_path, monkeypatch):
    """What is learned from is short here: all of it takes a minute."""
    prose = " ".join(reference().split())
    monkeypatch.setenv("FREQQ_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(codebooks, "training_texts", lambda: iter([prose[:30_000]]))
    (tmp_path / "chats.jsonl").write_text(
        "\n".join(json.dumps({"messages": [{"role": "user", "content": prose[a : a + 900]}]}) for a in (0, 900))
    )
    run, font = str(tmp_path / "run"), ("--font", "DejaVuSerif")
    done = freqq(
        "eval", "--data", str(tmp_path / "chats.jsonl"), *font, "--method", "image-vq", "--level", "ultra_mild",
        "--level", "mild", "--model", random_model, "--workers", "2", "--max-new-tokens", "2", "--out", run,
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    assert done.stderr.count("learning a codebook for image-vq") == 1
    rows = RunDirectory(Path(run)).read()
    for row in rows:
        assert row.error is None
        assert row.image_bytes < row.image_bytes_raw / 4 or row.method == "baseline"
    assert freqq("runs", "verify", run).exit_code == 0
    # Without it, these would be other rows.
    monkeypatch.setenv("FREQQ_CACHE", str(tmp_path / "empty"))
    assert freqq("runs", "verify", run).exit_code == 1
