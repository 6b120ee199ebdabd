"""The adapters that come with the package: small, the embedded model's, found by name, and worth something."""

from dataclasses import replace
from pathlib import Path
from statistics import fmean

import pytest

from freqq.data.mini import mini
from freqq.errors import UserError
from freqq.glm.adapter import attach, write_merged
from freqq.glm.adapter_card import SHIPPED, adapter_folder, check_base, shipped_adapters
from freqq.glm.load import find, load_reader
from freqq.glm.reader import Reader
from freqq.runs.directory import RunDirectory
from freqq.runs.rendering import Rendering
from freqq.runs.run import run
from freqq.runs.settings import Settings
from freqq.tokens import compressor

MOST_BYTES = 5_000_000


def test_they_are_small() -> None:
    assert sum(file.stat().st_size for file in SHIPPED.rglob("*") if file.is_file()) <= MOST_BYTES


@pytest.mark.parametrize("name", shipped_adapters())
def test_each_is_the_embedded_models(name: str) -> None:
    card = check_base(adapter_folder(name), "tiny", find("tiny", None).revision)
    assert name == f"{card.method.removeprefix('token-')}-{card.levels[-1]}"
    assert (card.data, card.data_revision) == ("mini", Settings().source.revision)


def test_a_name_that_none_has_is_explained() -> None:
    with pytest.raises(
        UserError, match=r"unknown adapter 'lowpas'.*did you mean '?lowpass.*or a folder that freqq adapt made"
    ):
        Settings(methods=("token-lowpass",), adapter="lowpas")


@pytest.mark.slow
@pytest.mark.parametrize("name", shipped_adapters())
def test_each_reads_what_the_model_alone_does_not(name: str, tmp_path: Path) -> None:
    """On samples that neither has seen; what exactly it is worth stands in examples/adapting.md."""
    card = check_base(adapter_folder(name), "tiny", find("tiny", None).revision)
    free = Settings(
        methods=(card.method,), levels=card.levels, overrides=card.overrides, limit=40, seed=5, baseline=False
    )
    adapted = replace(free, overrides=(), adapter=name)
    without, with_it = (
        [row.score for row in RunDirectory(run(settings, tmp_path / part)).read()]
        for part, settings in (("free", free), ("adapted", adapted))
    )
    assert fmean(with_it) > fmean(without) + 0.03


def test_one_can_be_written_into_the_models_weights(tmp_path: Path) -> None:
    """For engines, which then need no adapter: the same answers."""
    samples = list(mini(2, 4))
    pages = [list(Rendering.read(None).pages(sample)) for sample in samples]
    questions = [sample.question for sample in samples]
    method = compressor("token-prune").at("mild")

    def answers(reader: Reader) -> list[str]:
        grids = [[method.compress(grid) for grid in own] for own in reader.see_many(pages)]
        return [answer.text for answer in reader.answer_many(questions, grids, 40)]

    plain = answers(load_reader("tiny"))
    adapted = load_reader("tiny")
    attach(adapted, adapter_folder("prune-mild"))
    expected = answers(adapted)
    assert expected != plain
    write_merged(load_reader("tiny"), adapter_folder("prune-mild"), tmp_path / "model")
    assert answers(load_reader(str(tmp_path / "model"))) == expected
    with pytest.raises(UserError, match="is not empty"):
        write_merged(load_reader("tiny"), adapter_folder("prune-mild"), tmp_path / "model")
