"""What is known to fail is told before the model is loaded, in one line each."""

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from freqq.coding.codebook_files import ELSEWHERE
from freqq.data.dataset import DataSet
from freqq.data.mini import mini
from freqq.errors import UserError
from freqq.glm.load import load_reader
from freqq.runs import preflight as checks
from freqq.runs import sources
from freqq.runs.directory import RunDirectory
from freqq.runs.forecast import forecast
from freqq.runs.machine import Machine
from freqq.runs.reasons import Reason, enforce
from freqq.runs.rendering import Rendering
from freqq.runs.run import run
from freqq.runs.settings import Settings
from freqq.serve.endpoint import Endpoint
from freqq.tokens.codebooks import codebooks_for
from freqq.tokens.vq_training import train
from tests.conftest import TINY, needs_tiny
from tests.runs.test_full_disk import can_mount, in_own_mounts


@pytest.fixture
def settings(random_model: str) -> Settings:
    return Settings(model=random_model, limit=4, methods=("token-prune",), levels=("mild",), max_new_tokens=4)


def chats(path: Path, *texts: str) -> str:
    """A file of chats of one message each."""
    lines = [json.dumps({"messages": [{"role": "user", "content": text}]}) for text in texts]
    path.write_text("\n".join(lines))
    return str(path)


def refused(settings: Settings, folder: Path, match: str, **machine: object) -> list[Reason]:
    """A dry run lists the reason, the run itself is refused with it, and neither leaves anything."""
    before = sorted(folder.iterdir())
    found = forecast(settings, folder / "run", Machine(**machine))
    assert any(match in str(r) for r in found.fatal), found.reasons
    with pytest.raises(UserError) as caught:
        run(settings, folder / "run", machine=Machine(**machine))
    assert match in str(caught.value)
    assert "\n" not in str(caught.value)
    assert sorted(folder.iterdir()) == before
    return list(found.reasons)


def test_nothing_is_said_of_a_run_that_works(settings, tmp_path):
    found = forecast(settings, tmp_path / "run")
    assert found.reasons == ()
    assert all(arm.works for arm in found.arms)
    told = []
    run(settings, tmp_path / "run", note=told.append)
    assert told == []


@pytest.mark.parametrize("method", ["token-vq", "token-lowpass+vq"])
def test_a_model_without_a_codebook(settings, tmp_path, method):
    wanted = replace(settings, methods=(method, "token"), levels=("ultra_mild", "mild"))
    [reason] = refused(wanted, tmp_path, "no codebook fits these tokens of 64 channels")
    assert reason.arms == (f"{method} ultra_mild", f"{method} mild")
    assert "freqq codebook train --tokens" in reason.text
    assert [arm.works for arm in forecast(wanted, tmp_path / "run").arms] == [True, False, False, True, True]


def test_a_codebook_of_ones_own_is_taken_by_its_channels(settings, random_model, tmp_path, monkeypatch):
    reader = load_reader(random_model, device="cpu")
    rendering = Rendering()
    grids = [grid for sample in mini(2, 4) for grid in reader.see(list(rendering.pages(sample)))]
    (tmp_path / "books").mkdir()
    (tmp_path / "books" / "own.safetensors").write_bytes(train(grids).file)
    monkeypatch.setenv(ELSEWHERE, str(tmp_path / "books"))
    wanted = replace(settings, methods=("token-vq",))
    assert forecast(wanted, tmp_path / "run").reasons == ()
    assert all(row.error is None for row in RunDirectory(run(wanted, tmp_path / "run")).read())


@needs_tiny
def test_a_shipped_codebook_is_not_taken_for_another_model_of_as_many_channels(settings, tmp_path):
    copy = shutil.copytree(TINY.parent, tmp_path / "copy")
    weights = load_file(TINY)
    seen = next(name for name in weights if ".visual." in name)
    save_file(weights | {seen: -weights[seen]}, copy / "model.safetensors", {"format": "pt"})
    wanted = replace(settings, model=str(copy), methods=("token-vq",))
    [reason] = refused(wanted, tmp_path, "no codebook fits these tokens")
    named = replace(wanted, overrides=(("codebook", next(codebooks_for(256, embedded=True)).id.hex()),))
    assert forecast(named, tmp_path / "run").reasons == ()  # who names one knows better
    assert reason.arms == ("token-vq mild",)


@needs_tiny
def test_the_embedded_model_has_the_shipped_codebook_under_any_name(tmp_path):
    copy = shutil.copytree(TINY.parent, tmp_path / "copy")
    for model in ("tiny", str(copy)):
        assert forecast(Settings(model=model, methods=("token-vq",), limit=2), tmp_path / "run").reasons == ()


def test_prompts_that_are_too_long(settings, tmp_path):
    long = replace(settings, max_new_tokens=500)
    plain, pruned = refused(long, tmp_path, "and 500 new ones, do not fit into the model's 512")
    assert (plain.arms, pruned.arms) == (("baseline",), ("token-prune mild",))
    assert plain.text.startswith("all 4 prompts, the longest of ")


def test_an_arm_that_leaves_few_tokens_may_fit_where_the_plain_one_does_not(settings, tmp_path, monkeypatch):
    def asked(needles: int | None, limit: int | None, seed: int):
        return (replace(s, question="x" * 340) for s in mini(needles or 8, limit or 10, seed))

    monkeypatch.setattr(
        sources, "load", lambda *given: DataSet("asked", "mini", "1", (8,), "mrcr", asked, generated=True)
    )
    wanted = replace(settings, data="asked", needles=(8,), levels=("extreme",))
    [reason] = refused(wanted, tmp_path, "do not fit into the model's 512")
    assert reason.arms == ("baseline",)
    alone = replace(wanted, baseline=False)
    assert all(row.error is None for row in RunDirectory(run(alone, tmp_path / "run")).read())


def test_a_run_of_which_some_prompts_are_too_long_says_so_and_goes_on(settings, tmp_path):
    texts = ["one two " * n for n in (5, 10, 4000, 6000)]
    wanted = replace(settings, data=chats(tmp_path / "c.jsonl", *texts), needles=(0,), dpi=40, levels=("baseline",))
    told = []
    rows = RunDirectory(run(wanted, tmp_path / "run", note=told.append)).read()
    failed = sum(row.error is not None for row in rows)
    assert failed == 2
    [text] = told
    assert text.startswith("baseline: about 2 of 4 prompts")
    found = forecast(wanted, tmp_path / "other")
    assert [str(r) for r in found.reasons] == [text]
    assert found.fatal == ()
    assert found.arms[0].too_long == failed


def test_a_font_that_cannot_show_the_text(settings, tmp_path):
    wanted = replace(settings, needles=(0,), data=chats(tmp_path / "c.jsonl", "春眠不觉晓" * 3, "处处闻啼鸟" * 4))
    [reason] = refused(wanted, tmp_path, "the font DejaVuSans lacks most characters of every chat")
    assert "--font" in reason.text


def test_a_font_that_lacks_a_few_characters_is_said_once(settings, tmp_path):
    wanted = replace(
        settings, needles=(0,), data=chats(tmp_path / "c.jsonl", "a bridge, 桥, and a\ttab\n" * 3, "a bridge")
    )
    told = []
    run(wanted, tmp_path / "run", note=told.append)
    assert [text for text in told if "lacks" in text] == [
        "DejaVuSans lacks 1 character (桥), which 1 of 2 chats have and pages show as boxes: choose another font with "
        "--font"
    ]


def test_the_adapter_of_another_model(settings, tmp_path):
    wanted = replace(settings, methods=("token-lowpass",), adapter="lowpass-mild")
    found = forecast(wanted, tmp_path / "run")
    assert any("use its own base or another adapter" in r.text for r in found.fatal)


def test_everything_that_is_wrong_is_listed(settings, tmp_path):
    """At once: the folder, the GPUs, the method, the font and the context."""
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.tex").write_text("x")
    data = chats(tmp_path / "c.jsonl", "春眠" * 4000)
    wanted = replace(settings, needles=(0,), data=data, methods=("token-vq",))
    found = forecast(wanted, tmp_path / "run", Machine(gpus=99))
    expected = ("holds other files", "--gpus 99", "lacks most characters", "no codebook fits", "do not fit into")
    for text in expected:
        assert [text in str(r) for r in found.fatal].count(True) == 1, text
    assert len(found.fatal) == len(expected)
    assert [p.name for p in (tmp_path / "run").iterdir()] == ["thesis.tex"]


def test_a_folder_that_cannot_be_written(settings):
    [reason] = forecast(settings, Path("/dev/null/run")).reasons
    assert "cannot write to /dev/null/run" in reason.text


def test_a_model_that_is_not_there(settings, tmp_path):
    found = forecast(replace(settings, model="./no/such/folder"), tmp_path / "run")
    assert [r.text for r in found.reasons] == ["there is no folder ./no/such/folder"]
    assert found.pages > 0


def test_a_model_whose_weights_are_missing_or_damaged(settings, random_model, tmp_path):
    folder = shutil.copytree(random_model, tmp_path / "model")
    wanted = replace(settings, model=str(folder))
    (folder / "model.safetensors").write_bytes(b"\xff" * 100)
    [reason] = forecast(wanted, tmp_path / "run").fatal
    assert "is not a whole safetensors file" in reason.text
    (folder / "model.safetensors").unlink()
    [reason] = forecast(wanted, tmp_path / "run").fatal
    assert "has no safetensors weights" in reason.text


def test_more_replicas_than_memory(settings, tmp_path):
    [reason] = forecast(settings, tmp_path / "run", Machine(workers=10**6)).reasons
    assert "use fewer than 1000000 workers" in reason.text


def test_samples_that_cannot_be_drawn(settings, tmp_path, monkeypatch):
    def broken(needles: int | None, limit: int | None, seed: int):
        for i, sample in enumerate(mini(needles or 2, limit or 10, seed)):
            yield replace(sample, style={**sample.style, "widht": 1}) if i in bad else sample

    data = DataSet("broken", "mini", "1", (2,), "mrcr", broken, generated=True)
    monkeypatch.setattr(sources, "load", lambda *given: data)
    wanted = replace(settings, data="broken")
    bad = {1}
    [reason] = forecast(wanted, tmp_path / "run").reasons
    assert not reason.fatal
    assert reason.text.startswith("1 of 4 samples cannot be drawn or read, the first mini_2needle_s0-1: unknown page")
    bad = set(range(4))
    assert "4 of 4 samples" in forecast(wanted, tmp_path / "run").fatal[0].text


def test_what_a_server_cannot_do(settings, server, tmp_path):
    wanted = replace(settings, backend="openai", methods=("token-prune", "token-int8"))
    machine = Machine(endpoint=Endpoint(server.url))
    [reason] = forecast(wanted, tmp_path / "run", machine).reasons
    assert "token-prune leaves tokens whose places this server does not take" in reason.text
    server.stop()
    texts = [str(r) for r in forecast(wanted, tmp_path / "run", machine).fatal]
    assert any("no server answers" in text for text in texts)
    server.start()
    [reason] = forecast(replace(wanted, methods=("image-jpeg",)), tmp_path / "run").reasons
    assert "needs --base-url" in reason.text


def test_a_disk_that_is_too_small(tmp_path):
    [reason] = checks.disk_reasons(10**15, tmp_path / "not" / "there" / "yet")
    assert "take at least 600000000000.0 MB" in reason.text
    assert "choose another --out" in reason.text
    assert checks.disk_reasons(1, tmp_path) == []


@pytest.mark.skipif(not can_mount(), reason="needs to mount a small file system")
def test_a_disk_that_cannot_hold_the_run_is_known_before(random_model, tmp_path):
    (tmp_path / "disk").mkdir()
    options = f"--model {random_model} --limit 100 --level mild --max-new-tokens 4 --out {tmp_path}/disk/run"
    mount = f"mount -t tmpfs -o size=96k tmpfs {tmp_path}/disk || exit 99"
    done = in_own_mounts(f"{mount}; {sys.executable} -m freqq eval {options}; code=$?; ls {tmp_path}/disk; exit $code")
    assert done.returncode == 2, done.stderr
    assert "200 rows take at least 0.1 MB, and 0.1 MB are free" in done.stderr
    assert done.stdout == ""


def test_libraries_that_are_too_old(random_model, tmp_path):
    """As where another package pins transformers: its metadata say an older version than freqq needs."""
    info = tmp_path / "transformers-5.10.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: transformers\nVersion: 5.10.0\n")
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); from freqq.cli.app import main; main()"
    command = [sys.executable, "-c", code, "eval", "--model", random_model, "--out", str(tmp_path / "run")]
    for more in ([], ["--dry-run"]):
        done = subprocess.run([*command, *more], capture_output=True, text=True)
        assert done.returncode == 2, done.stderr
        assert done.stderr.startswith("error: transformers is 5.10.0, but >=")
        assert "pip install" in done.stderr
        assert done.stderr.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_only_fatal_reasons_stop_a_run():
    told = []
    some, fatal = Reason("some", fatal=False), Reason("all", ("token mild",))
    enforce([some], told.append)
    assert told == ["some"]
    with pytest.raises(UserError, match=r"^token mild: all \(and 1 more; freqq eval --dry-run shows all\)$"):
        enforce([fatal, some, fatal], told.append)


def test_the_default_look_shows_latin_letters():
    assert checks.font_reasons(list(mini(2, 3)), Rendering()) == []
