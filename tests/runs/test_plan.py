"""Arms, keys, shards."""

from dataclasses import replace

import pytest

from freqq.errors import UserError
from freqq.image import codebooks as image_codebooks
from freqq.levels import LEVELS
from freqq.runs.plan import BASELINE_ARM, Identity, arms, config_hash, draw, length, share
from freqq.runs.settings import Settings
from freqq.runs.shard import Shard
from freqq.tokens import codebooks as token_codebooks

IDENTITY = Identity("revision", "float32")
SERVED = Identity("revision", "unknown", served="m", tower="tower float32")


def test_the_plain_arm_comes_first_and_can_be_left_out():
    settings = Settings(methods=("token", "image"), levels=LEVELS)
    found = arms(settings)
    assert found[0] == BASELINE_ARM
    assert [(a.name, a.level) for a in found[1:]] == [(m, lv) for m in ("token", "image") for lv in LEVELS[1:]]
    assert arms(replace(settings, baseline=False)) == found[1:]


def test_the_level_baseline_is_the_plain_arm_alone():
    assert arms(Settings(levels=("baseline",))) == [BASELINE_ARM]
    with pytest.raises(UserError, match="nothing to run"):
        arms(Settings(levels=("baseline",), baseline=False))


def test_levels_that_come_out_equal_are_refused():
    with pytest.raises(UserError, match="same at ultra_mild and mild"):
        arms(Settings(methods=("image",), levels=("ultra_mild", "mild"), overrides=(("keep", "0.5"),)))


def test_a_codec_whose_levels_are_one_has_one_arm():
    found = arms(Settings(methods=("image-png", "image-resize"), levels=LEVELS, baseline=False))
    assert [a.name for a in found] == ["image-png", *["image-resize"] * 4]
    assert arms(Settings(methods=("image-png",), levels=("extreme",)))[1].level == "extreme"


def test_keys_tell_all_arms_apart():
    settings = Settings(methods=("token", "image"), levels=LEVELS)
    hashes = [config_hash(settings, IDENTITY, arm) for arm in arms(settings)]
    assert len(set(hashes)) == len(hashes)


@pytest.mark.parametrize(
    ("change", "identity"),
    [
        ({"max_new_tokens": 5}, IDENTITY),
        ({"protocol": "glyph"}, IDENTITY),
        ({"protocol": "glyph", "max_new_tokens": 64}, IDENTITY),
        ({"overrides": (("bits", "9,9,9"),)}, IDENTITY),
        ({}, Identity("another", "float32")),
        ({}, Identity("revision", "bfloat16")),
        ({}, Identity("revision", "float32", "eager")),
        ({"quantization": "int8"}, IDENTITY),
    ],
)
def test_what_changes_an_answer_changes_the_key(change, identity):
    before, after = Settings(), replace(Settings(), **change)
    assert config_hash(before, IDENTITY, arms(before)[1]) != config_hash(after, identity, arms(after)[1])


@pytest.mark.parametrize(
    "change",
    [{"limit": 5}, {"seed": 3}, {"needles": (4, 8)}, {"levels": LEVELS}, {"methods": ("token", "image")},
     {"model": "another name", "revision": "main"}, {"max_new_tokens": 64}, {"baseline": False}, {"attention": "sdpa"}],
)  # fmt: skip
def test_what_changes_no_answer_leaves_the_key(change):
    before, after = Settings(), replace(Settings(), **change)
    same = next(a for a in arms(after) if (a.name, a.level) == ("token", "ultra_mild"))
    assert config_hash(before, IDENTITY, arms(before)[1]) == config_hash(after, IDENTITY, same)


@pytest.mark.parametrize("methods", [("token",), ("image",)])
def test_a_server_and_the_tower_beside_it_are_in_the_keys_of_what_they_answer(methods):
    local = Settings(methods=methods)
    served = replace(local, backend="openai")

    def keys(settings: Settings, identity: Identity) -> list[str]:
        return [config_hash(settings, identity, arm) for arm in arms(settings)]

    plain, compressed = keys(served, SERVED)
    assert not {plain, compressed} & set(keys(local, SERVED))
    assert not {plain, compressed} & set(keys(served, replace(SERVED, served="another")))
    assert not {plain, compressed} & set(keys(served, replace(SERVED, model_revision="another")))
    plain_beside, compressed_beside = keys(served, replace(SERVED, tower="another float32"))
    assert plain_beside == plain
    assert (compressed_beside == compressed) == (methods == ("image",))


@pytest.mark.parametrize("name", ["image-vq", "token-vq", "token-lowpass+vq"])
def test_another_codebook_is_another_key(name, tmp_path, monkeypatch):
    settings = Settings(methods=(name,))
    before = config_hash(settings, IDENTITY, arms(settings)[1])
    folder = image_codebooks.SHIPPED if name == "image-vq" else token_codebooks.SHIPPED
    content = next(folder.glob("*.safetensors")).read_bytes()
    length = int.from_bytes(content[:8], "little")
    # The same arrays in another file: its header ends in more spaces.
    other = (length + 8).to_bytes(8, "little") + content[8 : 8 + length] + b" " * 8 + content[8 + length :]
    (tmp_path / "other.safetensors").write_bytes(other)
    monkeypatch.setenv("FREQQ_CODEBOOKS", str(tmp_path))
    assert config_hash(settings, IDENTITY, arms(settings)[1]) != before


def test_keys_are_those_of_runs_that_knew_no_attention_or_quantization():
    """A run of an older version is continued, not started again."""
    settings = Settings()
    assert config_hash(settings, IDENTITY, arms(settings)[1]) == "8f1a9f7757c87751"


def test_equal_parameters_by_another_way_have_the_same_key():
    method = arms(Settings())[1].method
    given = Settings(levels=("mild",), overrides=tuple((n, _text(getattr(method, n))) for n in ("low", "mid", "bits")))
    assert config_hash(given, IDENTITY, arms(given)[1]) == config_hash(Settings(), IDENTITY, arms(Settings())[1])


def _text(value):
    return ",".join(map(str, value)) if isinstance(value, tuple) else repr(value)


@pytest.mark.parametrize("count", [1, 2, 3, 7, 50])
def test_shards_are_a_partition_longest_first(count):
    everything = draw(Settings(needles=(2, 4), limit=11)).entries
    parts = [share(everything, Shard(i, count)) for i in range(count)]
    assert sorted(e.bare.id for part in parts for e in part) == sorted(e.bare.id for e in everything)
    assert max(map(len, parts)) - min(map(len, parts)) <= 1
    for part in parts:
        lengths = [length(entry.bare) for entry in part]
        assert lengths == sorted(lengths, reverse=True)


def test_shards_do_not_depend_on_the_order_of_the_samples():
    everything = draw(Settings(limit=9)).entries
    assert share(everything[::-1], Shard(1, 3)) == share(everything, Shard(1, 3))


def test_a_shard_is_written_as_it_is_read():
    assert Shard.parse("2/4") == Shard(2, 4)
    assert str(Shard.parse("0/1")) == "0/1"


@pytest.mark.parametrize("text", ["", "4", "4/4", "-1/4", "1/0", "a/b", "1/2/3", "0 / 2", "²/3"])
def test_a_shard_that_is_none_is_refused(text):
    with pytest.raises(UserError, match="INDEX/COUNT"):
        Shard.parse(text)
