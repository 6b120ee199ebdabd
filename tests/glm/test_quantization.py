"""Weights in 8 and 4 bits, and what computes attention."""

import sys
from pathlib import Path

import pytest
import torch

from freqq.data.mini import mini
from freqq.data.tasks.mrcr import grade
from freqq.errors import UserError
from freqq.glm.load import find, load_reader
from freqq.glm.memory import weight_bytes
from freqq.glm.place import place
from freqq.pages.render import render
from freqq.runs.rendering import messages, sample_style
from tests.conftest import needs_tiny
from tests.glm.conftest import TEXT, save_model
from tests.glm.test_reader import NEW, PAGES, QUESTION


def stored(model: torch.nn.Module) -> int:
    """Bytes of a model's weights, the scales of quantized ones included, tied ones once."""
    found = {}
    for weight in model.parameters():
        state = getattr(weight, "quant_state", None)
        scales = [getattr(weight, "SCB", None), None if state is None else state.absmax]
        found[id(weight)] = weight.nbytes + sum(s.nbytes for s in scales if s is not None)
    return sum(found.values())


@needs_tiny
@pytest.mark.parametrize(("kind", "at_most"), [("int8", 0.52), ("nf4", 0.44)])
def test_the_embedded_model_still_reads_and_is_smaller(kind: str, at_most: float) -> None:
    plain, small = load_reader("tiny", device="cpu"), load_reader("tiny", device="cpu", quantization=kind)
    assert small.dtype == "float32"
    size = stored(small.model)
    assert size < at_most * stored(plain.model)
    assert size == pytest.approx(weight_bytes(find("tiny").folder, "float32", kind), rel=0.01)
    samples = list(mini(2, 6))
    pages = [list(render(messages(s), sample_style(s))) for s in samples]
    grids = small.see_many(pages)
    # The tower is left as it is, so stored tokens and codebooks fit.
    for one, other in zip(grids, plain.see_many(pages), strict=True):
        assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))
    scores = [
        [
            grade(a.text, s.answer, s.prefix).score
            for a, s in zip(reader.answer_many([s.question for s in samples], grids, 64), samples, strict=True)
        ]
        for reader in (plain, small)
    ]
    assert sum(scores[0]) > 4
    assert sum(scores[1]) > sum(scores[0]) - 2


def test_quantized_weights_compute_otherwise_but_nearly_the_same(tmp_path: Path) -> None:
    folder = save_model("glm4v", tmp_path / "model", text=TEXT | {"intermediate_size": 128})  # whole blocks of 64
    logits = {}
    ids = torch.randint(9, 100, (1, 40), generator=torch.Generator().manual_seed(0))
    for kind in (None, "int8", "nf4"):
        model = load_reader(str(folder), device="cpu", quantization=kind).model
        with torch.no_grad():
            logits[kind] = model(input_ids=ids).logits[0]
    error = {k: torch.linalg.norm(v - logits[None]) / torch.linalg.norm(logits[None]) for k, v in logits.items()}
    assert 0 < error["int8"] < error["nf4"] < 0.5
    assert error["int8"] < 0.05


def test_experts_are_refused(tmp_path: Path) -> None:
    folder = save_model("glm4v_moe", tmp_path / "model")
    with pytest.raises(UserError, match="is nearly all experts, which bitsandbytes leaves"):
        load_reader(str(folder), device="cpu", quantization="nf4")


def test_without_the_package_the_way_out_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    with pytest.raises(UserError, match=r"--quantization int8 needs bitsandbytes: pip install 'freqq\[quantization\]'"):
        place(device="cpu", quantization="int8")
    with pytest.raises(UserError, match="did you mean 'nf4'"):
        place(device="cpu", quantization="nf")


def test_eager_attention_reads_as_sdpa_does(small_folder: Path) -> None:
    readers = [load_reader(str(small_folder), device="cpu", attention=name) for name in ("auto", "eager")]
    assert [reader.attention for reader in readers] == ["sdpa", "eager"]
    one, other = (reader.see(PAGES) for reader in readers)
    for a, b in zip(one, other, strict=True):
        torch.testing.assert_close(a, b, atol=1e-4, rtol=1e-4)
    assert readers[0].answer(QUESTION, one, NEW).text == readers[1].answer(QUESTION, one, NEW).text


@pytest.mark.parametrize(
    ("device", "dtype", "attention", "message"),
    [
        ("cpu", "auto", "flash_attention_2", "flash_attention_2 needs a GPU"),
        ("cpu", "auto", "flash_attention", "did you mean 'flash_attention_2'"),
    ],
)
def test_attention_that_cannot_run_is_refused(device: str, dtype: str, attention: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        place(dtype, device, attention=attention)
