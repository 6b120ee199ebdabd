"""Runs whose answers come from a server: the same as those of the local backend, and as hard to harm."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from functools import partial

import pytest

from freqq.data.dataset import DataSet
from freqq.data.mini import mini
from freqq.errors import FreqqError, Interrupted, UserError
from freqq.runs import sources
from freqq.runs.directory import RunDirectory
from freqq.runs.machine import Machine
from freqq.runs.parts import answered
from freqq.runs.run import run
from freqq.runs.settings import Settings
from freqq.runs.verify import verify
from freqq.serve.endpoint import Endpoint
from freqq.serve.plugin import NO_METHOD
from tests.runs.faulty_device import BREAKING, FaultyDevice
from tests.serve.faulty import Fault, Server, WithPlugin

METHODS = ("token", "image-jpeg", "token-lowpass+int8", "token-pool")
MEASURED = "page_hash pages density image_bytes_raw image_bytes vision_tokens_full params".split()
SAID = "graded outcome score exact prefix_ok first_char_ok response truncated error prompt_tokens new_tokens".split()


@pytest.fixture(scope="module")
def settings(random_model: str) -> Settings:
    return Settings(
        model=random_model, needles=(2,), limit=5, methods=METHODS, levels=("extreme",), max_new_tokens=6,
        overrides=(("positions", "compact"),), backend="openai",
    )  # fmt: skip


@pytest.fixture(scope="module")
def local(settings, tmp_path_factory):
    """The same run, by the local backend."""
    return rows(run(replace(settings, backend="local"), tmp_path_factory.mktemp("local") / "run"))


def by(server: Server, **values) -> Machine:
    patient = {"timeout_s": 20.0, "retries": 2, "first_wait_s": 0.01}
    return Machine(endpoint=Endpoint(server.url, **patient | values))


def rows(path) -> dict:
    return {(r.sample_id, r.method): r for r in RunDirectory(path).read()}


def responses(path) -> dict:
    return {key: r.response for key, r in rows(path).items()}


def assert_alike(found, expected):
    assert found.keys() == expected.keys()
    for key, row in found.items():
        for name in MEASURED + SAID:
            assert getattr(row, name) == getattr(expected[key], name), (key, name)


def test_answers_are_those_of_the_local_runner(server, settings, local, tmp_path):
    path = run(settings, tmp_path / "run", machine=by(server, concurrency=4))
    found = rows(path)
    assert_alike(found, local)
    assert not any(r.error for r in found.values())
    assert len({r.response for r in found.values()}) > 5  # the model is no constant
    assert server.faulty.most_at_once > 1
    for (_, method), row in found.items():
        assert (row.vision_tokens is not None) == method.startswith("token")
        assert row.kv_bytes is row.prefill_ms is row.peak_memory_bytes is None
        assert (row.model, row.dtype) == (settings.model, "unknown")
    assert all(finding.passed for finding in verify(path))


def test_a_broken_device_of_the_server_is_no_row(served_reader, settings, local, tmp_path):
    server, device = Server(served_reader), FaultyDevice({("prefill", 4): BREAKING["ecc"]})
    with device.under(served_reader.model), pytest.raises(Interrupted, match="does not answer any more"):
        run(settings, tmp_path / "run", machine=by(server, concurrency=2))
    server.stop()
    assert answered(tmp_path / "run") == answered(tmp_path / "run", retry_failed=True)
    server = Server(served_reader)
    try:
        assert_alike(rows(run(settings, tmp_path / "run", machine=by(server))), local)
    finally:
        server.stop()


def test_glyphs_protocol_is_sent(server, settings, tmp_path):
    sampled = replace(settings, methods=("token",), overrides=(), protocol="glyph", limit=3)
    found = rows(run(sampled, tmp_path / "run", machine=by(server)))
    assert_alike(found, rows(run(replace(sampled, backend="local"), tmp_path / "local")))
    greedy = rows(run(replace(sampled, protocol="official"), tmp_path / "greedy", machine=by(server)))
    assert {k: r.response for k, r in found.items()} != {k: r.response for k, r in greedy.items()}


def test_without_token_methods_no_model_is_needed_here(server, settings, local, tmp_path):
    images = replace(settings, model="no/such/model", methods=("image-jpeg",), overrides=())
    found = rows(run(images, tmp_path / "run", machine=by(server)))
    for key, row in found.items():
        assert row.response == local[key].response
        assert row.vision_tokens_full is None
        assert row.device == "server"


@pytest.mark.parametrize("methods", [("image-jpeg", "token-prune"), ("image-jpeg",)])
def test_a_servers_default_method_is_turned_off_for_every_arm_without_a_token_method(
    served_reader, settings, local, tmp_path, methods
):
    """Else the baseline would be compressed."""
    plugins: list[WithPlugin] = []
    server = Server(served_reader, lambda app: plugins.append(WithPlugin(app)) or plugins[0])
    try:
        found = rows(run(replace(settings, methods=methods, overrides=()), tmp_path / "run", machine=by(server)))
    finally:
        server.stop()
    assert plugins[0].asked.count({"method": NO_METHOD}) == 1
    asked = [method["method"] for method in plugins[0].asked if method["method"] != NO_METHOD]
    assert asked.count("none") == 1 + 2 * settings.limit
    assert asked.count("token-prune") == (settings.limit + 1 if "token-prune" in methods else 0)
    plain = {key: row for key, row in found.items() if key[1] != "token-prune"}
    assert {key: row.response for key, row in plain.items()} == {key: local[key].response for key in plain}


def test_a_server_that_repeats_what_it_does_not_know_has_no_plug_in(served_reader, settings, local, tmp_path):
    server = Server(served_reader, partial(WithPlugin, strict=True))
    try:
        found = rows(
            run(replace(settings, methods=("image-jpeg",), overrides=()), tmp_path / "run", machine=by(server))
        )
    finally:
        server.stop()
    assert {key: row.response for key, row in found.items()} == {key: local[key].response for key in found}


def test_a_server_without_the_plug_in_is_asked_for_no_method(server, settings, tmp_path):
    images = replace(settings, methods=("image-jpeg",), overrides=())
    run(images, tmp_path / "run", machine=by(server))
    assert len(server.faulty.keys) == 1 + 1 + 2 * settings.limit  # the list of models, and one look for the plug-in


def test_faults_do_not_show(server, settings, local, tmp_path):
    server.faulty.faults += [
        Fault(429, {"retry-after": "0.1"}), Fault(500), Fault(cut=True), Fault(stall_s=60.0), Fault(503), Fault(429),
    ]  # fmt: skip
    assert_alike(rows(run(settings, tmp_path / "run", machine=by(server, timeout_s=4.0, retries=6))), local)
    assert not server.faulty.faults


def test_running_again_asks_for_nothing(server, settings, tmp_path):
    path = run(settings, tmp_path / "run", machine=by(server))
    before = {p: p.read_bytes() for p in (path / "parts").iterdir()}
    server.faulty.after, server.faulty.always = 0, Fault(500)
    # Neither where the server is nor how it is asked is a part of the settings.
    other = Machine(endpoint=Endpoint(server.url.replace("127.0.0.1", "localhost"), concurrency=1))
    run(settings, path, machine=other)
    assert {p: p.read_bytes() for p in (path / "parts").iterdir()} == before


def test_a_sample_that_the_server_refuses_is_a_row(server, settings, tmp_path, monkeypatch):
    def some(needles: int | None, limit: int | None, seed: int):
        for index, sample in enumerate(mini(needles or 2, limit or 10, seed)):
            yield replace(sample, question="x" * 600) if index == 1 else sample

    monkeypatch.setattr(
        sources, "load", lambda *given: DataSet("some", "mini", "1", (2,), "mrcr", some, generated=True)
    )
    found = rows(run(replace(settings, data="some"), tmp_path / "run", machine=by(server)))
    assert len(found) == 5 * 5
    failed = {key[0] for key, row in found.items() if row.error}
    assert failed == {"mini_2needle_s0-1"}
    assert all("status 400" in row.error for row in found.values() if row.error)
    assert all(row.score == 0 and row.page_hash for row in found.values() if row.error)


def test_a_server_that_goes_away_ends_the_run_which_goes_on_later(server, settings, local, tmp_path):
    def stop(done: int, total: int) -> None:
        if done == 10 and not server.faulty.always:
            server.faulty.always = Fault(503)
            server.stop()

    with pytest.raises(Interrupted, match=r"does not answer any more .*; 1\d of 25 answers are stored") as caught:
        run(settings, tmp_path / "run", machine=by(server, concurrency=2), progress=stop)
    assert caught.value.exit_code == 75
    stored = int(re.search(r"(\d+) of 25", str(caught.value))[1])
    server.start()
    asked = len(server.faulty.keys)
    path = run(settings, tmp_path / "run", machine=by(server))
    assert_alike(rows(path), local)
    assert len(server.faulty.keys) - asked == 2 + 25 - stored  # a list of models and a look for the plug-in
    assert all(finding.passed for finding in verify(path))


def test_a_server_that_allows_no_more_ends_the_run(server, settings, tmp_path):
    server.faulty.after, server.faulty.always = 7, Fault(429)
    with pytest.raises(Interrupted, match="still limits requests"):
        run(settings, tmp_path / "run", machine=by(server))


def test_a_server_that_is_down_is_one_line_and_nothing_is_written(server, settings, tmp_path):
    machine = by(server)
    server.stop()
    with pytest.raises(FreqqError, match="no server answers at http://127"):
        run(settings, tmp_path / "run", machine=machine)
    assert list(tmp_path.iterdir()) == []
    server.start()


def test_another_model_behind_the_url_is_another_run(server, settings, served_reader, tmp_path):
    path = run(replace(settings, limit=1), tmp_path / "run", machine=by(server))
    again = replace(settings, limit=1, served_model=settings.model)
    with pytest.raises(UserError, match="served_model"):
        run(again, path, machine=by(server))
    plan = json.loads((path / "run.json").read_text())
    (path / "run.json").write_text(json.dumps(plan | {"model_revision": "another"}))
    with pytest.raises(UserError, match="model_revision"):
        run(replace(settings, limit=1), path, machine=by(server))


@pytest.mark.parametrize(
    ("method", "changes", "message"),
    [
        ("token-prune", {}, "token-prune leaves tokens"),
        ("token-random+quantize", {}, r"token-random\+quantize leaves tokens"),
        ("token-lowpass", {}, "--set positions=compact"),
        ("token-lowpass+quantize", {}, "--set positions=compact"),
        ("token-merge", {}, "token-merge leaves tokens"),
    ],
)
def test_tokens_that_have_no_form_in_a_request_are_refused(server, settings, method, changes, message, tmp_path):
    scattered = replace(settings, methods=(method,), overrides=(), **changes)
    with pytest.raises(UserError, match=message):
        run(scattered, tmp_path / "run", machine=by(server))
    assert list(tmp_path.iterdir()) == []


def test_what_does_not_go_together_is_refused(server, settings, tmp_path):
    with pytest.raises(UserError, match="needs --base-url"):
        run(settings, tmp_path / "run")
    with pytest.raises(UserError, match="--base-url is for"):
        run(replace(settings, backend="local"), tmp_path / "run", machine=by(server))
    with pytest.raises(UserError, match="--served-model is for"):
        replace(settings, backend="local", served_model="m")
    with pytest.raises(UserError, match="unknown backend"):
        replace(settings, backend="opnai")
    for name in ("gpus", "workers", "batch_size", "max_batch_tokens"):
        with pytest.raises(UserError, match="is for the local backend"):
            Machine(endpoint=Endpoint(server.url), **{name: 2})


def command(server: Server, settings: Settings, path, *more: str) -> list[str]:
    return [
        sys.executable, "-m", "freqq", "eval", "--backend", "openai", "--base-url", server.url, "--concurrency", "2",
        "--model", settings.model, "--limit", "80", "--max-new-tokens", "6", "--level", "extreme", "--out", str(path),
        *more,
    ]  # fmt: skip


def started(arguments: list[str], path, least: int, **options) -> subprocess.Popen[str]:
    """A run of which some answers are on the disk, or nearly."""
    process = subprocess.Popen(arguments, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)
    while process.poll() is None and len(list((path / "parts").glob("*.parquet"))) < least:
        time.sleep(0.02)
    assert process.poll() is None, process.stderr.read()
    return process


@pytest.mark.slow
def test_a_run_that_is_killed_and_then_stopped_goes_on_and_the_key_stands_nowhere(server, settings, tmp_path):
    (tmp_path / "home").mkdir()
    environment = os.environ | {"OPENAI_API_KEY": "sk-very-secret", "TMPDIR": str(tmp_path / "home")}
    arguments = command(server, settings, tmp_path / "run")
    process = started(arguments, tmp_path / "run", 1, env=environment)
    process.kill()
    process.communicate()
    stored = len(list((tmp_path / "run" / "parts").glob("*.parquet")))
    server.faulty.faults.append(Fault(400, message="the look for the plug-in"))
    server.faulty.faults.append(Fault(400, message="this key of yours: sk-very-secret"))
    process = started(arguments, tmp_path / "run", stored + 1, env=environment)
    process.send_signal(signal.SIGTERM)
    stdout, stderr = process.communicate()
    assert process.returncode == 75, stderr
    assert re.search(r"error: stopped; \d+ of 160 answers are stored", stderr)
    again = subprocess.run(arguments, capture_output=True, text=True, env=environment)
    assert again.returncode == 0, again.stderr
    assert set(server.faulty.keys) == {"Bearer sk-very-secret"}
    assert all(finding.passed for finding in verify(tmp_path / "run"))
    found = rows(tmp_path / "run")
    [failed] = [key for key, row in found.items() if row.error]
    assert found[failed].error.endswith("this key of yours: ***")
    whole = run(replace(settings, methods=("token",), overrides=(), limit=80, backend="local"), tmp_path / "local")
    expected = responses(whole)
    assert found.keys() == expected.keys()
    assert all(row.response == expected[key] for key, row in found.items() if key != failed)
    assert "very-secret" not in stdout + stderr + again.stdout + again.stderr
    files = [p for p in tmp_path.rglob("*") if p.is_file()]
    assert len(files) > 3
    assert not [p for p in files if b"very-secret" in p.read_bytes()]
