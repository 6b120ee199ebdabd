"""Every format, told by its content."""

import json
import logging
import os
import shutil
import subprocess
import sys

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from freqq.data import chat, fields, mrcr
from freqq.data import dataset as dataset_module
from freqq.data import load as load_module
from freqq.data.load import load
from freqq.data.sample import context
from freqq.data.tasks.transcribe import QUESTION
from freqq.errors import UserError
from tests.data.conftest import FILES

FORMATS = {
    "mrcr": ("mrcr", (2, 4, 8), "mrcr", 9),
    "mrcr/8needle/8needle_0.parquet": ("mrcr", (8,), "mrcr", 2),
    "mrcr.jsonl": ("mrcr", (2, 4), "mrcr", 6),
    "processed_2needle_0-128k.json": ("glyph", (2,), "mrcr", 3),
    "processed_2needle_0-128k.jsonl": ("glyph", (2,), "mrcr", 3),
    "convbench.xlsx": ("convbench", (0,), "transcribe", 2),
    "convbench_short_names.xlsx": ("convbench", (0,), "transcribe", 2),
    "chat.json": ("chat", (0,), "transcribe", 1),
    "chats.jsonl": ("chat", (0,), "transcribe", 2),
    "conversations.json": ("chatgpt", (0,), "transcribe", 3),
    "sharegpt.json": ("sharegpt", (0,), "transcribe", 2),
    "sharegpt.jsonl": ("sharegpt", (0,), "transcribe", 2),
    "mrcr.jsonl.gz": ("mrcr", (2, 4), "mrcr", 6),
    "mrcr.jsonl.zst": ("mrcr", (2, 4), "mrcr", 6),
    "chat.txt": ("text", (0,), "transcribe", 1),
}


def write(path, value):
    path.write_bytes(value if isinstance(value, bytes) else value.encode())
    return path


@pytest.mark.parametrize("name", FORMATS)
def test_a_format_is_told_by_its_content(name, tmp_path):
    format, needles, task, number = FORMATS[name]
    found = load(FILES / name)
    samples = list(found.samples())
    assert (found.format, found.needles, found.task, len(samples)) == (format, needles, task, number)
    assert {s.needles for s in samples} == set(needles)
    assert len({s.id for s in samples}) == number
    assert all(s.bin and s.bin_source for s in samples)
    if (FILES / name).is_file():
        shutil.copy(FILES / name, tmp_path / "unnamed")
        renamed = load(tmp_path / "unnamed")
        assert (renamed.format, renamed.revision) == (format, found.revision)


@pytest.mark.parametrize("name", FORMATS)
def test_samples_do_not_depend_on_how_many_are_drawn(name):
    found = load(FILES / name)
    everything = list(found.samples())
    for limit in range(len(everything) + 2):
        assert list(found.samples(limit=limit)) == everything[:limit]
    for needles in found.needles:
        assert list(found.samples(needles)) == [s for s in everything if s.needles == needles]
    assert list(found.samples(5)) == []


def test_mrcr_is_the_same_from_every_copy(monkeypatch, tmp_path):
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path)
    folder, lines = load(FILES / "mrcr"), load(FILES / "mrcr.jsonl")
    from_hub = [s for n in (2, 4) for s in _from_hub(n)]
    assert list(lines.samples()) == [s for s in folder.samples() if s.needles != 8] == from_hub


def _from_hub(needles):
    from freqq.data.mrcr import samples

    records = list(mrcr.hub_records(needles, repository=str(FILES / "mrcr")))
    return [dataset_module.binned(s) for s in samples(records, needles)]


def test_an_mrcr_sample_is_whole():
    sample = next(load(FILES / "mrcr.jsonl").samples(4))
    assert sample.question.startswith(f"Prepend {sample.prefix} to the 1st")
    assert sample.answer.removeprefix(sample.prefix) in [t.text for t in sample.turns]
    assert [t.role for t in sample.turns] == ["user", "assistant"] * 6
    assert context(sample).startswith("User: write a poem about tapirs\nAssistant: A tapir")


def test_glyph_is_read_as_it_is():
    record = json.loads((FILES / "processed_2needle_0-128k.json").read_text())[2]
    sample = list(load(FILES / "processed_2needle_0-128k.jsonl").samples())[2]
    assert context(sample) == record["context"]
    assert sample.config == record["config"]
    assert (sample.id, sample.needles, sample.bin, sample.bin_source) == (record["unique_id"], 2, "8k_16k", "file")
    assert (sample.question, sample.answer) == (record["question"], record["answer"])
    assert sample.prefix == record["random_string_to_prepend"]


def test_glyphs_pages_are_found_and_missing_ones_named(tmp_path):
    record = json.loads((FILES / "processed_2needle_0-128k.json").read_text())[0]
    folder = tmp_path / "mrcr" / "data"
    folder.mkdir(parents=True)
    (tmp_path / "mrcr" / "pages").mkdir()
    write(tmp_path / "mrcr" / "pages" / "1.png", b"page")
    path = write(
        folder / "processed_4needle.jsonl", json.dumps({**record, "unique_id": "a", "image_paths": ["pages/1.png"]})
    )
    (sample,) = load(path).samples()
    assert [image.read_bytes() for image in sample.images] == [b"page"]
    assert (sample.needles, sample.bin_source) == (4, "estimate")
    write(path, json.dumps({**record, "image_paths": ["pages/2.png"]}))
    with pytest.raises(UserError, match=r"processed_4needle.jsonl, line 1: there is no page 'pages/2.png'"):
        load(path)


@pytest.mark.parametrize("name", ["convbench.xlsx", "convbench_short_names.xlsx"])
def test_convbench_has_three_turns(name):
    first, second = load(FILES / name).samples()
    assert [t.role for t in first.turns] == ["user", "assistant"] * 3
    assert first.answer.endswith("User: Write a slogan.\nAssistant: Brake for snouts!")
    assert second.turns[3].text == "2"
    assert first.question == QUESTION


def test_a_chat_shows_what_is_no_text(tmp_path):
    messages = [
        {"role": "user", "content": [{"type": "text", "text": "look"}, {"type": "image_url", "image_url": {}}]},
        {"role": "assistant", "content": None, "tool_calls": [{"function": {"name": "add", "arguments": '{"a":1}'}}]},
        {"role": "tool", "content": "2"},
        {"role": "assistant", "content": "half \ud83d of a pair"},
    ]
    for text in (
        json.dumps(messages),
        "\n".join(map(json.dumps, messages)),
        json.dumps({"messages": messages}, indent=1),
    ):
        (sample,) = load(write(tmp_path / "chat.jsonl", text)).samples()
        assert [t.text for t in sample.turns] == [
            "look\n[image_url]",
            '[call add {"a":1}]',
            "2",
            "half \ufffd of a pair",
        ]


def test_lists_of_messages_are_chats(tmp_path):
    messages = [{"role": "user", "content": "a"}]
    for text in (json.dumps([messages, messages]), f"{json.dumps(messages)}\n{json.dumps(messages)}\n"):
        assert len(list(load(write(tmp_path / "chats.json", text)).samples())) == 2


@pytest.mark.parametrize("text", ["[10:32] Anna: hi\r\n[10:33] Ben: hi", "{not json}", "just\ttext\0 \u4f60\u597d 😀"])
def test_plain_text_stays_as_it_is(tmp_path, text):
    (sample,) = load(write(tmp_path / "chat.txt", text)).samples()
    assert context(sample) == text.replace("\r\n", "\n")


def test_a_message_of_ten_million_characters_is_read(tmp_path):
    path = write(tmp_path / "long.json", json.dumps([{"role": "user", "content": "word " * 2_000_000}]))
    (sample,) = load(path).samples()
    assert len(sample.turns[0].text) == 10_000_000
    assert sample.bin == "over_1024k"


def test_bins_filter_and_stop_counting_early(tmp_path):
    chats = [[{"role": "user", "content": "word " * n}] for n in (10, 10_000, 20_000, 100)]
    data = load(write(tmp_path / "chats.json", json.dumps(chats)))
    assert [s.bin for s in data.samples()] == ["0k_8k", "8k_16k", "16k_32k", "0k_8k"]
    assert [s.id for s in data.samples(bins=("0k_8k",))] == ["chats-0", "chats-3"]
    assert [s.id for s in data.samples(bins=("8k_16k", "16k_32k"), limit=1)] == ["chats-1"]


def test_mini_and_the_hub_are_names_whatever_the_folder_holds(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "mini", "some text")
    assert load("./mini").format == "text"
    assert [s.id for s in load("mini").samples(4, 2, seed=3)] == ["mini_4needle_s3-0", "mini_4needle_s3-1"]
    assert load("mrcr").revision == load("openai/mrcr").revision == mrcr.REVISION
    with pytest.raises(UserError, match="did you mean 'mini'"):
        load("minni")


def test_other_tasks():
    data = load(FILES / "mrcr.jsonl").with_task("transcribe")
    sample = next(data.samples())
    assert sample.question == QUESTION
    assert sample.answer == context(sample)
    with pytest.raises(UserError, match="no questions"):
        load(FILES / "chat.txt").with_task("mrcr")
    with pytest.raises(UserError, match="unknown task"):
        data.with_task("summarize")


def test_the_hub_out_of_reach_is_one_line(tmp_path):
    script = (
        "from freqq.data.load import load; from freqq.errors import UserError\n"
        "try: next(load('openai/mrcr').samples(2, 1))\n"
        "except UserError as error: print(error)"
    )
    offline = {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path), "HF_DATASETS_OFFLINE": "1"}
    done = subprocess.run([sys.executable, "-c", script], env=os.environ | offline, capture_output=True, text=True)
    assert done.stdout.startswith("cannot get openai/mrcr from the hub"), done.stderr
    assert done.stdout.count("\n") == 1


def test_retries_of_the_hub_are_not_told_one_by_one(monkeypatch):
    client = logging.getLogger("huggingface_hub.utils._http")
    told = []

    def unreachable(*given, **more):
        told.append(client.isEnabledFor(logging.WARNING))
        raise ConnectionError("no route to host")

    monkeypatch.setattr(datasets, "load_dataset", unreachable)
    before = client.isEnabledFor(logging.WARNING)
    with pytest.raises(UserError, match="no route to host"):
        next(mrcr.hub_records(2))
    assert told == [False]
    assert client.isEnabledFor(logging.WARNING) == before


MESSAGE = {"role": "user", "content": "a"}
RECORD = json.loads((FILES / "mrcr.jsonl").read_text().splitlines()[0])
GLYPH = json.loads((FILES / "processed_2needle_0-128k.jsonl").read_text().splitlines()[0])


def without(record, *names):
    return {k: v for k, v in record.items() if k not in names}


@pytest.mark.parametrize("field", ["prompt", "answer", "random_string_to_prepend", "n_needles"])
def test_a_missing_mrcr_field_is_named(tmp_path, field):
    path = write(tmp_path / "m.jsonl", json.dumps(RECORD) + "\n" + json.dumps(without(RECORD, field)))
    with pytest.raises(UserError, match=rf"m.jsonl, line 2: field '{field}' is missing"):
        load(path)


@pytest.mark.parametrize("field", ["unique_id", "question", "answer", "context", "random_string_to_prepend"])
def test_a_missing_glyph_field_is_named(tmp_path, field):
    path = write(tmp_path / "g.json", json.dumps([without(GLYPH, field)], indent=1))
    with pytest.raises(UserError, match=rf"g.json, line 2: field '{field}' is missing"):
        load(path)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.json", "", "is empty"),
        ("a.jsonl", "hello", "not jsonl"),
        ("a.json", '{"role": "user"', "a.json, line 1: malformed JSON"),
        ("a.json", "[]", "holds no records"),
        ("a.json", json.dumps({"messages": []}), "no messages"),
        ("a.json", json.dumps({"messages": {}}), "list of messages, not an object"),
        ("a.json", json.dumps([{"role": "user"}]), "message 1: field 'content' is missing"),
        ("a.json", json.dumps([{**MESSAGE, "content": 3}]), "'content' has to be text"),
        ("a.json", json.dumps([[MESSAGE, {"content": "b"}]]), "message 2: field 'role' is missing"),
        ("a.json", json.dumps([[MESSAGE, 3]]), "message 2: expected an object"),
        ("a.json", json.dumps([{"text": "a", "id": 3}]), "not a chat; it has 'text', 'id'"),
        ("a.jsonl", json.dumps({**RECORD, "n_needles": "two"}), "'n_needles'"),
        ("a.jsonl", json.dumps({**RECORD, "n_needles": 10**9}), "'n_needles'"),
        ("a.jsonl", json.dumps({**RECORD, "answer": None}), "'answer' has to be text, not null"),
        ("a.jsonl", json.dumps({**RECORD, "prompt": "[" * 100_000}), "'prompt' is not a JSON list"),
        ("a.jsonl", json.dumps({**GLYPH, "config": "big"}), "'config' has to be an object"),
        ("a.jsonl", json.dumps({**GLYPH, "image_paths": [1]}), "'image_paths' has to be a list"),
        ("a.jsonl", json.dumps({**GLYPH, "context": ""}), "nothing to read"),
        ("a.txt", b"caf\xe9", "a.txt, line 1: it is not UTF-8"),
        ("a.txt", b"\xff\xfea\x00", "not UTF-8"),
        ("a.txt", " \n", "is empty"),
        ("a.parquet", b"PAR1 and then nothing", "not a whole Parquet file"),
        ("a.parquet", "text", "not parquet"),
        ("a.xlsx", b"PK\x03\x04 and then nothing", "not a whole xlsx workbook"),
    ],
)
def test_bad_files_are_one_clear_line(tmp_path, name, content, message):
    path = write(tmp_path / name, content)
    with pytest.raises(UserError, match=message) as found:
        list(load(path).samples())
    assert "\n" not in str(found.value)
    assert name in str(found.value)


SINGLE = sorted(
    {path.suffix: path for path in FILES.rglob("*") if path.suffix not in (".py", ".pyc") and path.is_file()}.values()
)


@settings(max_examples=150)
@given(st.sampled_from(SINGLE), st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), max_size=4), st.floats(0, 2))
def test_a_damaged_file_is_read_or_refused(tmp_path_factory, path, changes, kept):
    data = bytearray(path.read_bytes())
    for place, byte in changes:
        data[int(place * (len(data) - 1))] = byte
    damaged = write(tmp_path_factory.mktemp("damaged") / path.name, bytes(data[: int(kept * len(data))]))
    try:
        list(load(damaged).samples())
        said = ""
    except UserError as error:
        said = str(error)
    assert "\n" not in said


@pytest.mark.parametrize("name", ["x" * 5000, "a\0b", "/" * 300, "no/such/file.json"])
def test_a_name_that_no_file_has(name):
    with pytest.raises(UserError):
        load(name)


def test_a_parquet_file_of_another_schema(tmp_path):
    pq.write_table(pa.table({"text": ["a"], "label": [1]}), tmp_path / "a.parquet")
    with pytest.raises(UserError, match=r"no column 'prompt'.*it has 'text', 'label'"):
        load(tmp_path / "a.parquet")


@pytest.mark.parametrize(("column", "values"), [("n_needles", ["2"]), ("prompt", [3]), ("answer", [None])])
def test_a_parquet_column_of_another_type(tmp_path, column, values):
    pq.write_table(pa.table({k: values if k == column else [v] for k, v in RECORD.items()}), tmp_path / "a.parquet")
    with pytest.raises(UserError, match=rf"row 0.*{column}"):
        list(load(tmp_path / "a.parquet").samples())


def test_a_damaged_parquet_file(tmp_path):
    data = bytearray((FILES / "mrcr" / "2needle" / "2needle_0.parquet").read_bytes())
    data[4:400] = bytes(396)
    with pytest.raises(UserError, match="not a whole Parquet file"):
        list(load(write(tmp_path / "a.parquet", bytes(data))).samples())


def test_ids_that_occur_twice(tmp_path):
    path = write(tmp_path / "g.json", json.dumps([GLYPH, GLYPH]))
    with pytest.raises(UserError, match=r"'2needle_0k_8k\.parquet-0' occurs twice"):
        list(load(path).samples())


def test_texts_of_any_length_are_bounded(tmp_path, monkeypatch):
    path = write(tmp_path / "a.json", json.dumps([{"role": "user", "content": ["x" * 600, "y" * 600]}]))
    monkeypatch.setattr(fields, "MOST_CHARACTERS", 1000)
    with pytest.raises(UserError, match="has 1,201 characters; the most is 1,000"):
        load(path)


def test_folders(tmp_path):
    with pytest.raises(UserError, match="holds no data"):
        load(tmp_path)
    for sub in ("a", "b", ".cache"):
        (tmp_path / sub).mkdir()
        write(tmp_path / sub / "chat.json", json.dumps([MESSAGE]))
    assert [s.id for s in load(tmp_path).samples()] == ["a/chat.json-0", "b/chat.json-0"]
    shutil.copy(FILES / "convbench.xlsx", tmp_path / "c.xlsx")
    with pytest.raises(UserError, match="mixes formats"):
        load(tmp_path)


def test_a_huge_folder_is_refused_early(tmp_path, monkeypatch):
    monkeypatch.setattr(load_module, "MOST_ENTRIES", 3)
    for name in "abc":
        write(tmp_path / f"{name}.md", name)
    with pytest.raises(UserError, match="holds no data"):
        load(tmp_path)
    write(tmp_path / "d.md", "d")
    with pytest.raises(UserError, match="over 3 files and folders"):
        load(tmp_path)


def test_the_revision_follows_the_content(tmp_path):
    path = write(tmp_path / "chat.txt", "one")
    before = load(path).revision
    assert load(path).revision == before
    assert load(write(path, "two")).revision != before


@pytest.mark.parametrize("is_array", [True, False])
@pytest.mark.parametrize("message", ['{"role": "user", "content": ""}', '{"from": "a", "value": ""}'])
def test_a_file_that_is_one_chat_has_a_bounded_number_of_messages(message, is_array, tmp_path, monkeypatch):
    monkeypatch.setattr(chat, "MOST_MESSAGES", 3)
    whole, longer = ([message] * count for count in (3, 4))
    join = (lambda lines: f"[{', '.join(lines)}]") if is_array else "\n".join
    (sample,) = load(write(tmp_path / "whole.json", join(whole))).samples()
    assert len(sample.turns) == 3
    with pytest.raises(UserError, match=r"longer\.json, line 1: a chat of more than 3 messages"):
        load(write(tmp_path / "longer.json", join(longer)))
    separate = "\n".join(f"[{message}]" for _ in range(9))  # chats of their own are not counted together
    assert len(list(load(write(tmp_path / "separate.jsonl", separate)).samples())) == 9
