"""Adapters as files: they come back as they were, off is the base, and nothing else is let in."""

import json
import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from freqq.errors import UserError
from freqq.glm.adapter import Adapter, attach
from freqq.glm.adapter_card import CARD, CONFIG, WEIGHTS, AdapterCard, digest
from freqq.glm.load import load_reader
from freqq.glm.reader import Reader
from freqq.pages.page import Page
from tests.adapt.test_packing import card
from tests.glm.conftest import ADAPTED, noise_page, save_model

QUESTION = "what stands there?"
PAGES = [noise_page(56, 84, 0), noise_page(84, 56, 1)]


@pytest.fixture(scope="module", params=ADAPTED)
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(request.param, tmp_path_factory.mktemp("model") / request.param)


def states(reader: Reader, pages: list[Page]) -> list[torch.Tensor]:
    """Grids and the answer's tokens, which depend on merger and language model."""
    grids = reader.see(pages)
    answer = reader.answer(QUESTION, grids, 8)
    return [*grids, torch.tensor([ord(c) for c in answer.text])]


def stirred(reader: Reader, train: str) -> Adapter:
    """An adapter that is not a zero any more."""
    adapter = Adapter(reader, card(reader.revision, train=train))
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in adapter.parameters().values():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=generator))
    return adapter


@pytest.mark.parametrize("train", ["merger", "lora", "both"])
def test_on_is_another_model_and_off_is_the_base_bit_for_bit(folder: Path, train: str) -> None:
    reader = load_reader(str(folder))
    before = states(reader, PAGES)
    adapter = Adapter(reader, card(reader.revision, train=train))
    assert all(map(torch.equal, states(reader, PAGES), before)), "a fresh adapter changes nothing"
    for name, parameter in adapter.parameters().items():
        with torch.no_grad():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(len(name))))
    on = states(reader, PAGES)
    assert any(a.shape != b.shape or not torch.equal(a, b) for a, b in zip(on, before, strict=True))
    assert torch.equal(on[0], before[0]) == (train == "lora")
    with adapter.off():
        assert all(map(torch.equal, states(reader, PAGES), before))
    assert all(map(torch.equal, states(reader, PAGES), on))


@pytest.mark.parametrize("train", ["merger", "lora", "both"])
def test_a_stored_adapter_comes_back(folder: Path, tmp_path: Path, train: str) -> None:
    reader = load_reader(str(folder))
    adapter = stirred(reader, train)
    adapter.save(tmp_path / "a", torch.float32)
    other = load_reader(str(folder))
    attach(other, tmp_path / "a")
    assert all(map(torch.equal, states(other, PAGES), states(reader, PAGES)))
    again = tmp_path / "b"
    adapter.save(again, torch.float32)
    assert digest(again) == digest(tmp_path / "a")
    assert sorted(p.name for p in again.iterdir()) == sorted([CARD, CONFIG, WEIGHTS])


def test_peft_itself_loads_the_folder(folder: Path, tmp_path: Path) -> None:
    from peft import PeftModel

    reader = load_reader(str(folder))
    stirred(reader, "both").save(tmp_path, torch.float32)
    other = load_reader(str(folder))
    PeftModel.from_pretrained(other.model, tmp_path)
    assert all(map(torch.equal, states(other, PAGES), states(reader, PAGES)))


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A model and an adapter of it."""
    model = save_model("glm4v", tmp_path_factory.mktemp("model") / "m")
    reader = load_reader(str(model))
    folder = tmp_path_factory.mktemp("adapter") / "a"
    stirred(reader, "both").save(folder)
    return model, folder


def copy(folder: Path, to: Path) -> Path:
    to.mkdir()
    for file in folder.iterdir():
        (to / file.name).write_bytes(file.read_bytes())
    return to


def test_another_base_is_refused(stored: tuple[Path, Path], tmp_path: Path) -> None:
    other = load_reader(str(save_model("glm4v", tmp_path / "other", seed=1)))
    with pytest.raises(UserError, match="use its own base or another adapter"):
        attach(other, stored[1])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rank": 5}, "does not fit"),
        ({"rank": 10**6}, "rank 1000000"),
        ({"rank": "4"}, "damaged"),
        ({"train": "all"}, "unknown part to train"),
        ({"train": "lora"}, "does not fit"),
        ({"levels": 3}, "damaged"),
        ({"method": None}, "damaged"),
    ],
)
def test_a_card_that_lies_is_refused(stored: tuple[Path, Path], tmp_path: Path, change: dict, message: str) -> None:
    folder = copy(stored[1], tmp_path / "a")
    values = json.loads((folder / CARD).read_text())
    (folder / CARD).write_text(json.dumps(values | change))
    with pytest.raises(UserError, match=message):
        attach(load_reader(str(stored[0])), folder)


def test_what_is_no_adapter_is_refused(stored: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is not an adapter"):
        AdapterCard.read(tmp_path)
    for text in ("[]", "{", '{"rank": 1}', "[" * 100_000):
        (tmp_path / CARD).write_text(text)
        with pytest.raises(UserError, match="damaged"):
            AdapterCard.read(tmp_path)


def test_weights_that_are_broken_foreign_or_pickled_are_refused(stored: tuple[Path, Path], tmp_path: Path) -> None:
    folder = copy(stored[1], tmp_path / "a")
    tensors = load_file(folder / WEIGHTS)
    first = min(tensors)
    for changed, message in (
        ({**tensors, first: tensors[first] * float("nan")}, "NaN"),
        ({**tensors, "more": torch.zeros(1)}, "does not fit"),
        ({name: t for name, t in tensors.items() if name != first}, "does not fit"),
        ({**tensors, first: tensors[first][:1]}, "does not fit"),
    ):
        save_file(changed, folder / WEIGHTS)
        with pytest.raises(UserError, match=message):
            attach(load_reader(str(stored[0])), folder)
    (folder / WEIGHTS).write_bytes(b"\x80\x04nonsense")
    with pytest.raises(UserError, match="cannot read"):
        attach(load_reader(str(stored[0])), folder)
    (folder / WEIGHTS).unlink()
    (folder / "adapter_model.bin").write_bytes(pickle.dumps(_Bomb(tmp_path / "gone off")))
    with pytest.raises(UserError, match="only form of weights"):
        attach(load_reader(str(stored[0])), folder)
    assert not (tmp_path / "gone off").exists()


class _Bomb:
    """Makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> object:
        return Path.touch, (self.path,)
