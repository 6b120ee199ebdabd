"""Chats become pages on disk, data sets are described, and nothing is half-written."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from freqq.cli.app import app
from freqq.data import bins

CHAT = [
    {"role": "user", "content": "write a poem about tapirs"},
    {"role": "assistant", "content": "Tapirs <rest>. " * 9},
]


@pytest.fixture(autouse=True)
def _offline(monkeypatch):
    monkeypatch.setattr(bins, "encoding", lambda: None)


def freqq(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(a) for a in arguments], prog_name="freqq")


def test_a_chat_is_rendered_and_its_table_tells_what_the_pages_show(tmp_path):
    (tmp_path / "chat.json").write_text(json.dumps(CHAT))
    done = freqq("render", tmp_path / "chat.json", "--out", tmp_path / "pages")
    assert done.exit_code == 0, done.output
    [row] = pq.read_table(tmp_path / "pages" / "pages.parquet").to_pylist()
    with Image.open(tmp_path / "pages" / row["file"]) as image:
        pixels = np.asarray(image)
    assert pixels.shape == (row["height"], row["width"])
    assert pixels.min() < 128
    assert row["text"].split() == " ".join(f"{m['role'].capitalize()}: {m['content']}" for m in CHAT).split()


def test_several_chats_have_a_folder_each_whatever_their_ids_say(tmp_path):
    lines = [json.dumps({"id": name, "messages": CHAT}) for name in ("../up", "../up/", "b")]
    (tmp_path / "chats.jsonl").write_text("\n".join(lines))
    out = tmp_path / "deep" / "pages"
    done = freqq("render", tmp_path / "chats.jsonl", "--out", out, "--dpi", 96)
    assert done.exit_code == 0, done.output
    assert len(list(out.iterdir())) == 3
    assert len(list(tmp_path.rglob("page-0001.png"))) == len(list(out.rglob("page-0001.png"))) == 3


def tree(folder):
    return {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_pages_take_the_place_of_earlier_ones_and_leave_none_of_them(tmp_path):
    (tmp_path / "long.txt").write_text("Tapirs rest. " * 2000)
    (tmp_path / "short.txt").write_text("Tapirs rest. ")
    out, fresh = tmp_path / "pages", tmp_path / "fresh"
    for name in ("long", "long", "short"):
        assert freqq("render", tmp_path / f"{name}.txt", "--out", out).exit_code == 0
        assert len(tree(out)) > 2 or name == "short"
    assert freqq("render", tmp_path / "short.txt", "--out", fresh).exit_code == 0
    assert tree(out) == tree(fresh)
    for limit in (2, 3, 2):  # chats beside them stay
        assert freqq("render", "mini", "--limit", limit, "--out", tmp_path / "chats").exit_code == 0
    assert len(list((tmp_path / "chats").iterdir())) == 3


@pytest.mark.parametrize(
    ("before", "limit"),
    [("one", 2), ("several", 1), ("other", 1), ("other", 2), ("compressed", 1), ("compressed", 2)],
)
def test_pages_are_not_mixed_with_other_files(before, limit, tmp_path):
    out = tmp_path / "pages"
    if before == "other":
        out.mkdir()
        (out / "page-0001.png").write_bytes(b"someone's")
    elif before == "compressed":
        assert freqq("render", "mini", "--limit", 1, "--out", tmp_path / "source").exit_code == 0
        command = ("compress-image", tmp_path / "source" / "page-0001.png", "--codec", "png", "--out", out)
        assert freqq(*command).exit_code == 0
    else:
        assert freqq("render", "mini", "--limit", 1 + (before == "several"), "--out", out).exit_code == 0
    kept = tree(out)
    done = freqq("render", "mini", "--limit", limit, "--out", out)
    assert done.exit_code == 2
    assert "choose an empty or new folder with --out" in done.output
    assert len(done.output.strip().splitlines()) == 1
    assert tree(out) == kept


def test_a_damaged_line_is_named_and_nothing_is_written(tmp_path):
    (tmp_path / "chats.jsonl").write_text(json.dumps({"messages": CHAT}) + '\n{"messages": [\n')
    done = freqq("render", tmp_path / "chats.jsonl", "--out", tmp_path / "pages")
    assert done.exit_code == 2
    assert "line 2" in done.output
    assert not (tmp_path / "pages").exists()


def test_a_data_set_is_described(tmp_path):
    described = json.loads(freqq("data", "info", "mini", "--limit", "3", "--json").stdout)
    assert {c["needles"]: c["samples"] for c in described["counts"]} == {2: 3, 4: 3, 8: 3}
    shown = freqq("data", "info", "mini", "--limit", "3").stdout
    assert "Prepend" in shown
    target = tmp_path / "lengths.png"
    assert freqq("visualize", "lengths", "mini", "--limit", "3", "--out", target).exit_code == 0
    with Image.open(target) as image:
        assert image.size[0] > image.size[1] > 300


def test_generated_data_are_shown_in_another_look(tmp_path):
    look = ("mini", "--look", "glyph", "--limit", "1")
    heights = []
    for dpi in (72, 144):
        out = tmp_path / str(dpi)
        done = freqq("render", *look, "--dpi", str(dpi), "--out", str(out), "--json")
        assert done.exit_code == 0, done.output
        heights.append(sum(page["height"] for page in json.loads(done.stdout)))
    assert heights[1] == pytest.approx(2 * heights[0], rel=0.05)  # the last page is cropped
    described = json.loads(freqq("data", "info", *look, "--json").stdout)
    assert described["format"] == "mini-glyph"
    assert freqq("visualize", "lengths", *look, "--out", str(tmp_path / "lengths.svg")).exit_code == 0
    assert "unknown look" in freqq("data", "info", "mini", "--look", "glif").output


def test_the_pages_of_mini_take_no_configuration_of_glyphs():
    done = freqq("eval", "--dpi", "96")
    assert done.exit_code == 2
    assert "--dpi" in done.output


def mrcr_file(folder):
    messages = [*CHAT[:1], {"role": "assistant", "content": "one\ntwo"}, {"role": "user", "content": "q"}]
    record = {"prompt": json.dumps(messages), "answer": "x", "random_string_to_prepend": "x", "n_needles": 2}
    (folder / "mrcr.jsonl").write_text(json.dumps(record))
    return folder / "mrcr.jsonl"


@pytest.mark.parametrize(("given", "shown"), [((), "one\\ntwo"), (("--line-breaks", "real"), "one\ntwo")])
def test_line_breaks_of_mrcr_are_literal_unless_they_are_to_be_real(given, shown, tmp_path):
    done = freqq("render", mrcr_file(tmp_path), "--out", tmp_path / "pages", *given)
    assert done.exit_code == 0, done.output
    [row] = pq.read_table(tmp_path / "pages" / "pages.parquet").to_pylist()
    assert row["text"] == f"User: write a poem about tapirs\nAssistant: {shown}"


def test_line_breaks_of_another_kind_are_refused(tmp_path):
    done = freqq("render", mrcr_file(tmp_path), "--out", tmp_path / "pages", "--line-breaks", "none")
    assert done.exit_code == 2
    assert "known: real, literal" in done.stderr
    assert not (tmp_path / "pages").exists()


def test_what_the_font_lacks_is_said_once_before_pages_are_drawn(tmp_path):
    (tmp_path / "chats.jsonl").write_text("\n".join(json.dumps({"messages": [*CHAT, CHAT[0] | {"content": text}]})
                                                    for text in ("中文", "中", "a")))  # fmt: skip
    done = freqq("render", tmp_path / "chats.jsonl", "--out", tmp_path / "pages")
    assert done.exit_code == 0
    assert done.stderr.count("lacks 2 characters (中文), which 2 of 3 chats have") == 1
