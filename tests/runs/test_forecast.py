"""What a dry run counts is what the run does."""

import dataclasses
import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from freqq.data.mini import mini
from freqq.glm.load import find
from freqq.glm.spec import read_spec
from freqq.runs import prompts
from freqq.runs.directory import RunDirectory
from freqq.runs.forecast import forecast
from freqq.runs.machine import Machine
from freqq.runs.pace import Load, Pace, pace
from freqq.runs.plan import arms
from freqq.runs.preflight import Planned
from freqq.runs.prompts import SUMMED, PromptSize, chosen_to_count
from freqq.runs.run import run
from freqq.runs.settings import Settings
from tests.cli.test_app import freqq
from tests.glm.conftest import KINDS, save_model

METHODS = (
    "token", "token-prune", "token-lowpass", "token-merge", "token-pool+int8", "token-stride+quantize", "image",
    "image-resize",
)  # fmt: skip
COUNTED = tuple(field.name for field in dataclasses.fields(PromptSize))


@pytest.fixture(scope="module", params=KINDS)
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(save_model(request.param, tmp_path_factory.mktemp(request.param)))


@pytest.fixture(scope="module")
def chats(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Chats of one and of several pages, at Glyph's look."""
    file = tmp_path_factory.mktemp("chats") / "chats.jsonl"
    lines = [json.dumps({"messages": [{"role": "user", "content": "a bridge of words " * n}]}) for n in (3, 90, 900)]
    file.write_text("\n".join(lines))
    return str(file)


def looks(model: str, chats: str) -> dict[str, Settings]:
    common = Settings(model=model, methods=METHODS, levels=("mild", "extreme"), max_new_tokens=3, limit=3)
    return {"mini": replace(common, needles=(8,)), "glyph": replace(common, data=chats, needles=(0,), dpi=40)}


@pytest.mark.parametrize("look", ["mini", "glyph"])
def test_every_row_is_as_predicted(model, chats, look, tmp_path):
    settings = looks(model, chats)[look]
    rows = RunDirectory(run(settings, tmp_path / "run")).read()
    assert len(rows) == 3 * (1 + len(METHODS) * 2)
    found = forecast(settings, tmp_path / "run")
    assert found.reasons == ()
    samples = {s.id: s for s in settings.source.samples(settings.needles[0], 3, 0)}
    spec = read_spec(find(model))
    planned = Planned(settings, arms(settings), tuple(samples.values()), spec, tmp_path / "run")
    by_name = {(arm.name, arm.level): arm for arm in planned.arms}
    for row in rows:
        assert row.error is None
        predicted = planned.counter.size(samples[row.sample_id], by_name[row.method, row.level])
        assert dataclasses.asdict(predicted) == {name: getattr(row, name) for name in COUNTED}
        kv = spec.kv_bytes_per_token("float32") * (row.prompt_tokens + row.new_tokens - 1)
        assert kv == row.kv_bytes
    for arm in found.arms:
        own = [row for row in rows if (row.method, row.level) == (arm.method, arm.level)]
        lengths = sorted(row.prompt_tokens for row in own)
        assert (arm.prompts.least, arm.prompts.median, arm.prompts.most) == tuple(lengths)
        assert arm.vision_tokens == sum(row.vision_tokens for row in own)
        assert arm.kept == pytest.approx(arm.vision_tokens / sum(row.vision_tokens_full for row in own))
        if arm.method in ("baseline", "token-prune"):
            assert arm.token_bytes == sum(row.token_bytes for row in own)
    assert found.pages == sum(row.pages for row in rows if row.method == "baseline")


def test_stored_tokens_are_counted_from_their_streams(random_model, tmp_path):
    assert freqq("render", "mini", "--limit", "2", "--out", str(tmp_path / "pages")).exit_code == 0
    folders = sorted({str(path.parent) for path in (tmp_path / "pages").rglob("*.png")})
    how = ("--model", random_model, "--method", "prune", "--level", "extreme", "--out", str(tmp_path / "store"))
    assert freqq("compress-tokens", *folders, *how).exit_code == 0
    settings = Settings(
        model=random_model, limit=2, levels=("baseline",), tokens_from=str(tmp_path / "store"), max_new_tokens=2
    )
    rows = RunDirectory(run(settings, tmp_path / "run")).read()
    [arm] = forecast(settings, tmp_path / "run").arms
    assert (arm.method, arm.level) == ("token-prune", "extreme")
    assert arm.vision_tokens == sum(row.vision_tokens for row in rows)
    assert arm.prompts.most == max(row.prompt_tokens for row in rows)


def test_the_weights_are_not_needed(random_model, tmp_path):
    """A model of which only the headers of the weights are there, as of one that is still being downloaded."""
    folder = shutil.copytree(random_model, tmp_path / "model")
    file = folder / "model.safetensors"
    whole = file.read_bytes()
    file.write_bytes(whole[: 8 + int.from_bytes(whole[:8], "little")])
    settings = Settings(model=str(folder), limit=2, max_new_tokens=2)
    found = forecast(settings, tmp_path / "run")
    assert found.reasons == ()
    assert found.memory.weights == forecast(replace(settings, model=random_model), tmp_path / "run").memory.weights
    assert not (tmp_path / "run").exists()


def test_of_many_chats_some_stand_for_all(random_model, tmp_path, monkeypatch):
    settings = Settings(model=random_model, limit=90, methods=("token-prune",), levels=("mild",), max_new_tokens=2)
    whole = forecast(settings, tmp_path / "run")
    assert (whole.samples, whole.counted) == (90, 90)
    monkeypatch.setattr(prompts, "MOST_CHARACTERS", 0)
    some = forecast(settings, tmp_path / "run")
    assert (some.samples, some.counted) == (90, prompts.COUNTED)
    again = forecast(settings, tmp_path / "run")
    assert (some.pages, some.arms) == (again.pages, again.arms)
    assert some.pages == pytest.approx(whole.pages, rel=0.1)
    for counted, expected in zip(some.arms, whole.arms, strict=True):
        assert counted.vision_tokens == pytest.approx(expected.vision_tokens, rel=0.1)
        assert counted.kept == pytest.approx(expected.kept, abs=0.01)


def test_the_longest_and_the_shortest_are_among_the_chosen(monkeypatch):
    monkeypatch.setattr(prompts, "MOST_CHARACTERS", 0)
    everything = list(mini(2, 80))
    for seed in range(5):
        chosen = chosen_to_count(everything, seed)
        assert len({s.id for s in chosen}) == prompts.COUNTED
        assert [chosen[0], chosen[-1]] == [everything[0], everything[-1]]
        assert chosen == chosen_to_count(everything, seed)
    assert chosen != chosen_to_count(everything, 9)
    assert chosen_to_count(everything[:64], 0) == everything[:64]


def test_the_time_of_a_run_is_what_the_same_run_took(random_model, tmp_path):
    settings = Settings(model=random_model, limit=6, methods=("token-prune", "token"), levels=("mild",))
    settings = replace(settings, max_new_tokens=5)
    path = run(settings, tmp_path / "runs" / "one")
    rows = RunDirectory(path).read()
    found = forecast(settings, tmp_path / "runs" / "another")
    assert (found.pace.run, found.pace.rows) == (path, len(rows))
    shared = sum(r.render_ms + r.vision_ms for r in rows if r.method == "baseline")
    own = sum(r.prefill_ms + r.decode_ms_per_token * (r.new_tokens - 1) + (r.compress_ms or 0) for r in rows)
    assert found.seconds * 1e3 == pytest.approx(shared + own)
    halved = forecast(settings, tmp_path / "runs" / "another", Machine(workers=2))
    assert halved.seconds == pytest.approx(found.seconds / 2)


@pytest.mark.parametrize("change", [{"model_revision": "another"}, {"dtype": "bfloat16"}, {"device": "cuda:0"}])
def test_only_runs_of_the_same_model_and_machine_tell_the_time(random_model, tmp_path, change):
    path = run(Settings(model=random_model, limit=2, levels=("baseline",), max_new_tokens=2), tmp_path / "one")
    plan = RunDirectory(path).plan()
    here = {"model_revision": plan["model_revision"], "dtype": "float32", "device": "cpu"}
    assert pace([tmp_path, tmp_path / "nothing"], **here).run == path
    if "device" not in change:
        assert pace([tmp_path], **here | change) is None
    (path / "results.parquet").write_bytes(b"PAR1 of another program")
    assert pace([tmp_path], **here) is None


def test_an_arm_takes_what_its_tokens_take():
    given = Pace(Path("r"), 10, 1.0, 2.0, 3.0, 4.0, new_tokens=11.0, methods={"token": 0.5, "image": 0.25})
    load = Load(2, page_pixels=100, vision_tokens_full=10, vision_tokens=5, prompt_tokens=7)
    assert given.pages_seconds(100, 10) == pytest.approx(0.120)
    assert given.arm_seconds(load, "baseline", False, 64) == pytest.approx((7 * 3 + 2 * 10 * 4) / 1e3)
    assert given.arm_seconds(load, "token", False, 6) == pytest.approx((10 * 0.5 + 7 * 3 + 2 * 5 * 4) / 1e3)
    assert given.arm_seconds(load, "image", True, 1) == pytest.approx((100 * 0.25 + 5 * 2 + 7 * 3) / 1e3)
    assert len(SUMMED) == 4
