"""The public names of `freqq`: methods by name, and chats as pages."""

import pytest
import torch

import freqq
from freqq.image.dct import BlockDct
from freqq.runs.rendering import Rendering, sample_style

MESSAGES = [{"role": "user", "content": "How long is the Nile?"}, {"role": "assistant", "content": "6,650 km."}]


def same(first, second):
    return [page.sha256 for page in first] == [page.sha256 for page in second]


def test_a_chat_is_the_same_pages_as_a_text_as_messages_and_as_a_sample():
    text = "User: How long is the Nile?\nAssistant: 6,650 km."
    pages = list(freqq.render(MESSAGES))
    assert same(pages, freqq.render(text))
    assert same(pages, freqq.render(text.split("\n")))
    assert not same(pages, freqq.render(text, dpi=96))


def test_a_sample_is_rendered_as_a_run_renders_it():
    sample = next(freqq.mini(needles=2, limit=1, seed=3))
    pages = list(freqq.render(sample))
    assert same(pages, Rendering().pages(sample))
    turns = [{"role": turn.role, "content": turn.text} for turn in sample.turns]
    assert same(pages, freqq.render(turns, sample_style(sample)))


def test_what_is_no_chat_is_said():
    with pytest.raises(freqq.UserError, match="'content' is missing"):
        freqq.render([{"role": "user"}])


def test_methods_by_name():
    codec = freqq.codec("image", level="mild", keep=0.25)
    assert isinstance(codec, BlockDct)
    assert codec.keep == 0.25
    page = next(freqq.render("A page."))
    assert codec.decode(codec.encode(page)).pixels.shape == page.pixels.shape
    prune = freqq.compressor("token-prune", level="extreme")
    assert len(prune.compress(torch.rand(8, 8, 4)).features) == 9
    assert freqq.compressor("token-prune+int8").keep == freqq.compressor("token-prune").keep


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: freqq.codec("image-vp"), "did you mean 'image-vq'"),
        (lambda: freqq.codec("image-vq", level="mld"), "did you mean 'mild'"),
        (lambda: freqq.codec("image", kep=0.5), "did you mean 'keep'"),
        (lambda: freqq.compressor("token-prun"), "did you mean 'token-prune'"),
        (lambda: freqq.compressor("token-prune", keep=2), "keep 2"),
        (lambda: freqq.codec("image", keep="0.5"), "keep='0.5': a value is of another type"),
        (lambda: freqq.compressor("token-prune", keep=None), "keep=None: a value is of another type"),
    ],
)
def test_a_wrong_name_or_value_is_said(make, said):
    with pytest.raises(freqq.UserError, match=said):
        make()
