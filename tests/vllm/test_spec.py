"""What a request may say of a method, and what it is told if it says it wrongly."""

import json

import pytest
import torch

from freqq.errors import UserError
from freqq.serve.chat import specification
from freqq.tokens import COMPRESSORS, compressor
from freqq.vllm import spec

NAMES = [*COMPRESSORS, "token-lowpass+quantize", "token-prune+vq", "token-merge+int8"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("level", ["ultra_mild", "extreme"])
def test_a_method_travels_with_a_page(name, level):
    method = compressor(name).at(level)
    sent = json.loads(json.dumps(specification(method)))
    assert spec.unpack(spec.pack(sent)) == method
    assert spec.unpack(spec.pack({"method": name, "level": level})) == method


def test_a_level_need_not_be_named_and_parameters_win():
    assert spec.unpack(spec.pack({"method": "token-prune"})) == compressor("token-prune").at("mild")
    assert spec.unpack(spec.pack({"method": "token-prune", "keep": 0.3})).keep == 0.3


@pytest.mark.parametrize(
    "nothing", [{}, {"method": "none"}, {"method": None}, {"method": "token", "level": "baseline"}]
)
def test_nothing_is_no_method(nothing):
    assert spec.unpack(spec.pack(nothing)) is None


@pytest.mark.parametrize(
    ("found", "message"),
    [
        ({"method": "token-prun"}, "unknown method 'token-prun': did you mean 'token-prune'"),
        ({"method": "token-prune+prune"}, "combines nothing"),
        ({"method": "token-prune", "level": "midl"}, "unknown level 'midl': did you mean 'mild'"),
        ({"method": "token-prune", "kep": 1}, "unknown parameter 'kep': did you mean 'keep'"),
        ({"method": "token-prune", "keep": 2}, "keep 2"),
        ({"method": "token-prune", "keep": "half"}, "of another type"),
        ({"method": "token-prune", "keep": None}, "of another type"),
        ({"method": "token", "bits": [8, 4]}, "bits"),
        ({"method": "token-vq", "codebook": "0" * 16}, "codebook"),
        ({"method": 3}, "are names"),
        ({"level": "mild", "keep": 0.5}, "needs a method"),
        ({"level": "extreme"}, "'level' needs a method"),
        ({"method": "none", "level": "mild"}, "'level' needs a method"),
        ({"method": "token-prune", "level": "baseline", "kep": 1}, "unknown parameter 'kep': did you mean 'keep'"),
        ({"method": "token-prune", "level": "baseline", "keep": 2}, "keep 2"),
        ({"method": "token-random", "seed": 2**63}, "'seed' is a whole number of more than 64 bits"),
        ({"method": "token-prune", "keep": 10**400}, "'keep' is a whole number of more than 64 bits"),
        ({"method": "token-lowpass", "axis": ["both"]}, "of another type"),
        ({"method": "token-prune", "level": "x" * 600}, "longer than 512"),
        ({"method": "token-prune", "keep": {1}}, "freqq"),
        ("token-prune", "is an object such as"),
        (None, "is an object such as"),
    ],
)
def test_what_is_no_method_is_one_line(found, message):
    with pytest.raises(ValueError, match="freqq") as caught:
        spec.pack(found)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_request_wins_over_the_server_and_that_over_the_environment(monkeypatch):
    own, servers = {"method": "token"}, {"freqq": {"method": "token-prune"}}
    monkeypatch.setenv(spec.VARIABLE, '{"method": "token-int8"}')
    assert spec.chosen({"freqq": own}, servers) == own
    assert spec.chosen({"size": 1}, servers) == {"method": "token-prune"}
    assert spec.chosen({}, None) == {"method": "token-int8"}
    monkeypatch.delenv(spec.VARIABLE)
    assert spec.chosen({}, {}) == {}
    monkeypatch.setenv(spec.VARIABLE, "token-int8")
    with pytest.raises(ValueError, match=spec.VARIABLE):
        spec.chosen({}, {})


def test_a_model_that_no_codebook_fits_is_refused_before_a_page_is_seen():
    spec.check_channels(compressor("token-vq").at("mild"), 256)
    for name in ("token-vq", "token-prune+vq"):
        with pytest.raises(ValueError, match="no codebook fits these tokens of 4096 channels") as caught:
            spec.check_channels(compressor(name).at("mild"), 4096)
        assert "run 'freqq codebook train --tokens --model MODEL' and set FREQQ_CODEBOOKS" in str(caught.value)
    book = compressor("token-vq").at("mild").resources[0]
    with pytest.raises(ValueError, match="is for 256 channels"):
        spec.check_channels(compressor("token-vq").at("mild", codebook=book), 12)
    spec.check_channels(compressor("token-prune").at("mild"), 12)
    with pytest.raises(UserError):
        compressor("token-vq").at("mild").check_model(12, embedded=True)


def test_a_seed_may_have_64_bits():
    for seed in (-(2**63), 2**63 - 1):
        assert spec.unpack(spec.pack({"method": "token-random", "seed": seed})).seed == seed


def test_a_packed_method_is_small():
    assert spec.pack({"method": "token"}).dtype == torch.uint8
    assert len(spec.pack({})) == spec.BYTES
