"""Reading JSON arrays, lines and single values."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freqq.data import json_values as module
from freqq.data.json_values import json_values
from freqq.errors import UserError

LEAVES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
VALUES = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4))
RECORDS = st.lists(
    st.dictionaries(st.text(), VALUES, max_size=4) | st.lists(st.dictionaries(st.text(), VALUES)), max_size=5
)


def read(tmp_path_factory, text, chunk):
    path = tmp_path_factory.mktemp("json") / "values.json"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "CHUNK", chunk)
        return list(json_values(path))


@given(RECORDS, st.sampled_from([None, 1]), st.booleans(), st.sampled_from([1, 7, 2**20]))
def test_an_array_gives_its_elements(tmp_path_factory, records, indent, ascii, chunk):
    items = read(tmp_path_factory, json.dumps(records, indent=indent, ensure_ascii=ascii), chunk)
    assert [item.value for item in items] == records
    assert {item.array for item in items} <= {0}


@given(
    st.lists(st.dictionaries(st.text(), VALUES, max_size=4), max_size=5), st.booleans(), st.sampled_from([1, 7, 2**20])
)
def test_lines_give_their_values(tmp_path_factory, records, ascii, chunk):
    lines = "".join(json.dumps(record, ensure_ascii=ascii) + "\n" for record in records)
    items = read(tmp_path_factory, lines, chunk)
    assert [item.value for item in items] == records
    assert [item.line for item in items] == list(range(1, len(records) + 1))


def test_lines_of_arrays_stay_apart(tmp_path_factory):
    items = read(tmp_path_factory, '[{"a": 1}, {"a": 2}]\n\n[{"a": 3}]\n', 2**20)
    assert [(item.value["a"], item.line, item.array) for item in items] == [(1, 1, 0), (2, 1, 0), (3, 3, 1)]


def test_one_value_over_many_lines(tmp_path_factory):
    (item,) = read(tmp_path_factory, "\ufeff\n" + json.dumps({"a": [1, {"b": 2}]}, indent=2), 3)
    assert (item.value, item.line, item.array) == ({"a": [1, {"b": 2}]}, 2, None)


@pytest.mark.parametrize("chunk", [1, 2**20])
@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('{"a": 1}\n{"a": }\n', 2),
        ('{"a": 1}\n{"a": "cut', 2),
        ('[{"a": 1},\n{"a": 2}', 2),
        ('[{"a": 1}\n\n{"a": 2}]', 3),
        ('[{"a": 1},\n]', 2),
        ("[\n,]", 2),
        ('[{"a": 1}]\n]', 2),
        ("[1]", 1),
        ('{"a": 1}\nfalse', 2),
        ('{"a": "line\nbreak"}', 1),
        ('{"a": tru}', 1),
        ('{"a": 1}\n{"a":\n\n1 2}', 4),
        ("[" * 100_000, 1),
        ('{"a": ' + "1" * 5000 + "}", 1),
        (b'{"a": 1}\n{"a": "caf\xe9"}\n', 2),
        (b"\xff\xfe{\x00}\x00", 1),
    ],
)
def test_what_is_damaged_is_named_by_its_line(tmp_path_factory, text, line, chunk):
    with pytest.raises(UserError, match=rf"values.json, line {line}\b"):
        read(tmp_path_factory, text, chunk)


def test_a_record_without_end_is_not_read_whole(tmp_path_factory, monkeypatch):
    monkeypatch.setattr(module, "MOST_CHARACTERS", 10_000)
    with pytest.raises(UserError, match="longer than 10,000 characters"):
        read(tmp_path_factory, '{"a": "' + "x" * 100_000, 1000)


def test_a_long_file_is_not_held(tmp_path):
    path = tmp_path / "long.jsonl"
    line = json.dumps({"a": "x" * 10_000}) + "\n"
    path.write_text(line * 1000)
    with path.open("rb") as file:
        reader = module._Reader(path, file)
        longest = max(len(reader.window) for _ in reader.items())
    assert longest < 2 * module.CHUNK + len(line)
