"""``freqq serve``, and ``freqq eval`` through it."""

import json
import signal
import socket
import subprocess
import sys
import time
from dataclasses import asdict
from importlib.util import find_spec

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from freqq.bench.turns import Turn
from tests.cli.test_app import freqq
from tests.conftest import needs_tiny

NOWHERE = "http://127.0.0.1:1/v1"


def is_open(port: int) -> bool:
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0


def last_answer(process: subprocess.Popen[str], port: int) -> bytes:
    """What is answered to a request of which a part had come when the signal came."""
    body = json.dumps({"model": "tiny", "messages": [{"role": "user", "content": "Who?"}], "max_tokens": 2}).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\nExpect: 100-continue"
    with socket.create_connection(("127.0.0.1", port), timeout=600) as sock:
        sock.sendall(head.encode() + b"\r\n\r\n")
        assert b"100 Continue" in sock.recv(1000)
        process.send_signal(signal.SIGTERM)
        while is_open(port):
            time.sleep(0.01)
        sock.sendall(body)
        return sock.recv(1000)


@needs_tiny
@pytest.mark.slow
def test_a_model_is_served_until_a_signal_comes(tmp_path):
    command = [sys.executable, "-m", "freqq", "serve", "--port", "0"]
    with subprocess.Popen(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        try:
            said = process.stdout.readline()
            assert said.startswith("tiny answers at http://127.0.0.1:"), process.stderr.read()
            url = said.split()[3].rstrip(";")
            arguments = f"--limit 2 --method token --level mild --out {tmp_path / 'run'} --json".split()
            done = freqq("eval", "--backend", "openai", "--base-url", url, *arguments)
            assert done.exit_code == 0, done.stderr
            local = freqq("eval", *arguments[:-2], str(tmp_path / "local"), "--json")
            assert '"exact"' in done.stdout
            marks = [line for line in done.stdout.splitlines() if '"mean"' in line or '"exact"' in line]
            assert marks == [line for line in local.stdout.splitlines() if '"mean"' in line or '"exact"' in line]
            assert last_answer(process, int(url.split(":")[2].removesuffix("/v1"))).startswith(b"HTTP/1.1 200")
        finally:
            process.send_signal(signal.SIGTERM)
        assert process.wait() == 0
        assert process.stderr.read() == ""


@pytest.mark.parametrize("port", ["-1", "65536", "70000"])
def test_a_port_that_does_not_exist_is_refused(port):
    # Of a larger number, getaddrinfo would take the last 16 bits.
    done = freqq("serve", "--model", "tinny", "--port", port)
    assert done.exit_code == 2
    assert "should be" in done.stderr


def test_an_address_that_is_taken_is_one_line():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = freqq("serve", "--port", str(taken.getsockname()[1]))
    assert done.exit_code == 1
    assert done.stderr.startswith("error: cannot listen on 127.0.0.1 port")
    assert done.stderr.count("\n") == 1


@pytest.mark.skipif(find_spec("vllm") is not None, reason="vLLM is installed here")
@pytest.mark.parametrize("arguments", [["serve", "--engine", "vllm"], ["eval", "--backend", "vllm"], ["bench"]])
def test_without_vllm_is_one_line_that_says_what_to_install(arguments, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = freqq(*arguments)
    assert done.exit_code == 2
    assert done.stderr.startswith("error: vLLM is not installed here: pip install")
    assert done.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["serve", "--model", "tinny", "--port", "0"], "did you mean 'tiny'"),
        (["serve", "--engine", "vlm"], "did you mean 'vllm'"),
        (["serve", "--method", "token-prune"], "--method is for --engine vllm"),
        (["serve", "--tensor-parallel", "2"], "--tensor-parallel is for --engine vllm"),
        (["serve", "--engine", "vllm", "--level", "mild"], "--level mild needs --method"),
        (["serve", "--", "--max-model-len", "9"], "--max-model-len: what follows -- is for --engine vllm"),
        (["serve", "--engine", "vllm", "--method", "token-prun"], "did you mean 'token-prune'"),
        (["serve", "--engine", "vllm", "--method", "token-prune", "--level", "midl"], "did you mean 'mild'"),
        (["serve", "--engine", "vllm", "--model", "tinny"], "did you mean 'tiny'"),
        (["bench", "--served-model", "m"], "--served-model names a model of a running server"),
        (["bench", "--base-url", NOWHERE, "--revision", "v1"], "--revision is for an engine that is started"),
        (["bench", "--base-url", NOWHERE, "--dtype", "float16"], "--dtype is for an engine that is started"),
        (["bench", "--base-url", NOWHERE, "--tensor-parallel", "2"], "--tensor-parallel is for an engine"),
        (["bench", "--out", "."], "--out . is a folder: give a file name"),
        (["bench", "--method", "token-prun"], "did you mean 'token-prune'"),
        (["eval", "--tensor-parallel", "2"], "--tensor-parallel is for --backend vllm"),
        (["eval", "--backend", "vllm", "--workers", "2"], "--workers is for --backend local"),
        (["eval", "--backend", "vllm", "--quantization", "int8"], "--quantization is for the local backend"),
        (["eval", "--backend", "vllm", "--base-url", "http://127.0.0.1:1/v1"], "--base-url is for"),
        (["eval", "--backend", "openai"], "needs --base-url"),
        (["eval", "--backend", "openai", "--base-url", NOWHERE, "--offload"], "--offload is for --backend local"),
        (["eval", "--backend", "openai", "--base-url", NOWHERE, "--prefill-chunk", "9"], "is for --backend local"),
        (["eval", "--backend", "openai", "--base-url", NOWHERE, "--data-parallel", "2"], "is for --backend vllm"),
        (["eval", "--backend", "opnai"], "did you mean 'openai'"),
        (["eval", "--base-url", "http://127.0.0.1:1/v1"], "--base-url is for"),
        (["eval", "--concurrency", "2"], "give its --base-url"),
        (["eval", "--timeout", "2"], "--timeout is for a server"),
        (["eval", "--backend", "openai", "--base-url", "http://u:p@host/v1"], "a key belongs in"),
        (["eval", "--backend", "openai", "--base-url", "http://host/v1", "--workers", "2"], "--workers is for"),
    ],
)
def test_wrong_input_is_one_line_and_writes_nothing(arguments, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = freqq(*arguments)
    assert done.exit_code == 2
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    assert message in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", ["serve --engine vllm", "bench"])
@pytest.mark.parametrize("method", ["token-vq", "token-prune+vq"])
def test_a_method_without_a_codebook_is_refused_before_an_engine_is_started(
    command, method, random_model, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    done = freqq(*command.split(), "--model", random_model, "--method", method)
    assert done.exit_code == 2
    assert done.stderr.count("\n") == 1
    assert "no codebook fits these tokens of 64 channels" in done.stderr
    assert "run 'freqq codebook train --tokens --model MODEL' and set FREQQ_CODEBOOKS" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_score_is_drawn_against_throughput(tmp_path):
    arms = {("baseline", "baseline"): 2.0, ("token-prune", "mild"): 3.0}
    turns = [
        asdict(Turn(method, level, repeat, 4, 1.0, speed, 9.0, 0.5, 0.9, 1 / speed, 0.01, 0.2, 0.0))
        for repeat in range(2)
        for (method, level), speed in arms.items()
    ]
    rows = [{"method": m, "level": level, "score": 0.5, "error": None} for m, level in arms for _ in range(3)]
    (tmp_path / "run").mkdir()
    pq.write_table(pa.Table.from_pylist(turns), tmp_path / "bench.parquet")
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "run" / "results.parquet")

    def draw(run: str, out: str):
        return freqq("visualize", "throughput", *(str(tmp_path / name) for name in ("bench.parquet", run)),
                     "--out", str(tmp_path / out))  # fmt: skip

    assert draw("run", "figure.svg").exit_code == 0
    assert "<svg" in (tmp_path / "figure.svg").read_text()
    old = [row | {"method": row["method"].replace("baseline", "none")} for row in rows]
    (tmp_path / "old").mkdir()
    pq.write_table(pa.Table.from_pylist(old), tmp_path / "old" / "results.parquet")
    assert draw("old", "old.svg").exit_code == 0
    kept = [row | {"params": '{"keep": 0.25}' if row["method"] == "token-prune" else "{}"} for row in rows]
    (tmp_path / "quarter").mkdir()
    pq.write_table(pa.Table.from_pylist(kept), tmp_path / "quarter" / "results.parquet")
    refused = draw("quarter", "other.svg")
    assert (refused.exit_code, refused.stderr.count("\n")) == (2, 1)
    assert "the run's token-prune (mild) is not the one that was benched (it has keep 0.25, not 0.5)" in refused.stderr
    refused = draw("nowhere", "other.svg")
    assert (refused.exit_code, refused.stderr.count("\n")) == (2, 1)
    assert not (tmp_path / "other.svg").exists()
