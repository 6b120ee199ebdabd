"""ShareGPT's chats, in the variants of public data."""

import json

import pytest

from freqq.data.load import load
from freqq.data.sample import Turn
from freqq.errors import UserError
from tests.data.conftest import FILES

CHAT = [{"from": "human", "value": "hi"}, {"from": "gpt", "value": "yes"}]
TURNS = (Turn("user", "hi"), Turn("assistant", "yes"))


def read(tmp_path, text, name="share.json"):
    (tmp_path / name).write_text(text if isinstance(text, str) else json.dumps(text))
    data = load(tmp_path / name)
    assert data.format == "sharegpt"
    return [sample.turns for sample in data.samples()]


@pytest.mark.parametrize("name", ["sharegpt.json", "sharegpt.jsonl"])
def test_a_released_file_is_read(name):
    first, last = load(FILES / name).samples()
    assert (first.id, last.id) == ("sharegpt-0", "sharegpt-2")  # the second has no messages
    assert [t.role for t in first.turns] == ["user", "assistant"] * 2
    assert last.turns == (
        Turn("system", "You can look up the weather."),
        Turn("user", "Is it hot in Belém?"),
        Turn("assistant", '[call weather {"place": "Belém"}]'),
        Turn("tool", '{"celsius": 31}'),
        Turn("assistant", "Yes, 31 degrees."),
    )


@pytest.mark.parametrize(
    "value",
    [
        {"conversations": CHAT},
        {"id": "a", "items": CHAT},
        {"conversation": CHAT, "system": ""},
        {"conversations": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "yes"}]},
        {"conversations": [{"from": "user", "value": "hi"}, {"from": "chatgpt", "value": "yes", "weight": 0}]},
        {"conversations": [{"from": "Human", "value": "hi"}, {"from": "bard", "value": "yes", "text": "other"}]},
        CHAT,
    ],
)
def test_the_variants_of_public_data_are_one_chat(value, tmp_path):
    assert read(tmp_path, [value]) == read(tmp_path, value) == [TURNS]
    assert read(tmp_path, json.dumps(value) + "\n" + json.dumps(value) + "\n", "share.jsonl") == [TURNS, TURNS]


def test_lines_of_bare_messages_are_one_chat(tmp_path):
    assert read(tmp_path, "\n".join(map(json.dumps, CHAT))) == [TURNS]


def test_who_is_unknown_keeps_the_name_and_a_call_that_is_no_json_its_text(tmp_path):
    chat = [{"from": "Narrator", "value": "Once."}, {"from": "function_call", "value": "look(tapir)"}]
    assert read(tmp_path, {"conversations": chat}) == [
        (Turn("Narrator", "Once."), Turn("assistant", "[call look(tapir)]"))
    ]


def test_openai_messages_are_no_sharegpt(tmp_path):
    messages = [{"role": "user", "content": "hi"}]
    (tmp_path / "a.json").write_text(json.dumps([{"messages": messages, "conversations": [{}]}]))
    assert load(tmp_path / "a.json").format == "chat"


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"conversations": [{"from": "human"}]}, "message 1: field 'value' is missing"),
        ({"conversations": [{"from": "human", "value": None}]}, "message 1: field 'value' has to be text, not null"),
        ({"conversations": [*CHAT, {"value": "a"}]}, "message 3: field 'role' is missing"),
        ({"conversations": [*CHAT, "a"]}, "message 3: expected an object"),
        ({"conversations": {}}, "expected a list of messages, not an object"),
        ({"text": "a"}, "without 'conversations' is not a chat of ShareGPT; it has 'text'"),
    ],
)
def test_what_is_damaged_is_named(value, message, tmp_path):
    with pytest.raises(UserError, match=rf"share.jsonl, line 2.*{message}"):
        read(tmp_path, json.dumps({"conversations": CHAT}) + "\n" + json.dumps(value), "share.jsonl")
