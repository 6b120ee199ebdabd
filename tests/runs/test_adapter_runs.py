"""Runs with an adapter: on for its method, off for the plain arm, and part of what a row is known by."""

import json
import random
from dataclasses import replace
from pathlib import Path
from shutil import copytree

import pytest
import torch

from freqq.data.mini import chat_record, exchanges
from freqq.errors import FreqqError, UserError
from freqq.glm.adapter import Adapter, attach
from freqq.glm.adapter_card import CARD, AdapterCard, digest, is_held_out
from freqq.glm.load import load_reader
from freqq.glm.reader import Reader
from freqq.report.evidence import gather
from freqq.report.html.page import html
from freqq.runs.directory import RunDirectory
from freqq.runs.run import run
from freqq.runs.schema import Row
from freqq.runs.settings import Settings
from freqq.runs.sources import source

PLAIN = Settings(methods=("token-lowpass",), levels=("mild",), limit=3, max_new_tokens=12)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An adapter that changes every answer."""
    reader = load_reader("tiny")
    card = AdapterCard(
        "token-lowpass", ("mild",), (("axis", "columns"),), "tiny", reader.revision, "both", 2, "mini", "mini-1", 0
    )
    adapter = Adapter(reader, card)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in adapter.parameters().values():
            parameter.add_(0.2 * torch.randn(parameter.shape, generator=generator))
    made = tmp_path_factory.mktemp("adapter") / "a"
    adapter.save(made)
    return made


@pytest.fixture(scope="module")
def adapted(folder: Path) -> Settings:
    return replace(PLAIN, adapter=str(folder), levels=("baseline", "mild"))


def rows(settings: Settings, out: Path) -> dict[tuple[str, str], list[Row]]:
    found: dict[tuple[str, str], list[Row]] = {}
    for row in RunDirectory(run(settings, out)).read():
        found.setdefault((row.method, row.level), []).append(row)
    return found


def test_the_plain_arm_is_that_of_a_run_without_and_the_others_are_not(
    adapted: Settings, folder: Path, tmp_path: Path
) -> None:
    without, with_it = rows(PLAIN, tmp_path / "without"), rows(adapted, tmp_path / "with")
    assert set(with_it) == {("baseline", "baseline"), ("token-lowpass", "baseline"), ("token-lowpass", "mild")}

    def known(of: list[Row]) -> list[tuple[str | None, ...]]:
        return [(r.sample_id, r.config_hash, r.response, r.adapter) for r in of]

    assert known(with_it["baseline", "baseline"]) == known(without["baseline", "baseline"])
    whole, cut = with_it["token-lowpass", "baseline"], with_it["token-lowpass", "mild"]
    for row, plain in zip(whole, with_it["baseline", "baseline"], strict=True):
        assert row.vision_tokens == row.vision_tokens_full == plain.vision_tokens
        assert row.response != plain.response
        assert row.config_hash != plain.config_hash
    for row, other in zip(cut, without["token-lowpass", "mild"], strict=True):
        assert row.adapter == digest(folder)
        assert row.config_hash != other.config_hash
        assert '"axis": "columns"' in row.params, "the method's parameters are those of the training"


def test_the_same_rows_without_the_plain_arm_or_in_two_workers(adapted: Settings, tmp_path: Path) -> None:
    from freqq.runs.machine import Machine

    alone = rows(replace(adapted, baseline=False, levels=("mild",)), tmp_path / "alone")
    crew = RunDirectory(run(adapted, tmp_path / "crew", machine=Machine(workers=2))).read()
    expected = {(r.sample_id, r.config_hash): r.response for r in crew}
    for row in alone["token-lowpass", "mild"]:
        assert expected[row.key] == row.response


def test_what_it_was_not_made_for_is_refused(
    adapted: Settings, folder: Path, tmp_path: Path, random_model: str
) -> None:
    with pytest.raises(UserError, match="was trained for token-lowpass, not token-prune"):
        replace(adapted, methods=("token-prune",))
    with pytest.raises(UserError, match="is not an adapter"):
        replace(adapted, adapter=str(tmp_path))
    with pytest.raises(UserError, match="use its own base"):
        run(replace(adapted, model=random_model), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_changed_adapter_is_another_run(adapted: Settings, folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    copy.mkdir()
    for file in folder.iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    settings = replace(adapted, adapter=str(copy), limit=1, levels=("mild",), baseline=False)
    run(settings, tmp_path / "run")
    card = (copy / "freqq.json").read_text()
    (copy / "freqq.json").write_text(card.replace('"seed": 0', '"seed": 1'))
    with pytest.raises(UserError, match="choose another --out"):
        run(settings, tmp_path / "run")


def test_an_adapter_that_changes_between_the_plan_and_its_loading_answers_nothing(
    adapted: Settings, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As while ``freqq adapt`` writes it."""
    copy = copytree(folder, tmp_path / "copy")
    settings = replace(adapted, adapter=str(copy), limit=1, levels=("mild",), baseline=False, max_new_tokens=2)

    def attach_later(reader: Reader, into: Path) -> Adapter:
        card = (into / CARD).read_text()
        (into / CARD).write_text(card.replace('"seed": 0', '"seed": 1'))
        return attach(reader, into)

    monkeypatch.setattr("freqq.runs.evaluate._attach", attach_later)
    with pytest.raises(FreqqError, match="changed since the run was planned: when nothing writes it"):
        run(settings, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_report_shows_what_the_adapter_was_given(adapted: Settings, tmp_path: Path) -> None:
    """With the parameters that it was trained for, which the run's own settings do not name."""
    text = html(gather([run(replace(adapted, levels=("mild",)), tmp_path / "run")]))
    assert "tokens became" in text
    assert f"methods with the adapter {Path(str(adapted.adapter)).name}" in text
    assert "not shown" not in text


def test_what_was_learned_from_is_no_test(adapted: Settings, folder: Path, tmp_path: Path) -> None:
    """Nine of ten samples of a file are, and a run on the same file says so."""
    streams = [random.Random(i) for i in range(12)]
    records = [chat_record(rng, *exchanges(rng, 2, test=True)) for rng in streams]
    file = tmp_path / "chats.jsonl"
    file.write_text("".join(json.dumps(one) + "\n" for one in records))
    known = source(str(file))
    learned = sum(not is_held_out(sample.id) for sample in known.samples(2))
    copy = tmp_path / "copy"
    copy.mkdir()
    for part in folder.iterdir():
        (copy / part.name).write_bytes(part.read_bytes())
    card = json.loads((copy / CARD).read_text())
    (copy / CARD).write_text(json.dumps(card | {"data": str(file), "data_revision": known.revision}))
    notes: list[str] = []
    settings = replace(adapted, adapter=str(copy), data=str(file), limit=12, levels=("mild",), max_new_tokens=2)
    run(settings, tmp_path / "run", note=notes.append)
    assert f"the adapter may have learned from {learned} of these 12 samples: not a test" in notes
    assert 0 < learned < 12
