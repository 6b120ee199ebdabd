"""A model that thinks and boxes, from the command line to the report: the embedded one behind a server."""

import json
from functools import partial
from typing import Any

import pytest

from freqq.data.responses import CUT_THINKING
from freqq.runs.directory import RunDirectory
from tests.cli.test_app import freqq
from tests.conftest import needs_tiny
from tests.serve.faulty import Rewritten, Server

ARGUMENTS = "--limit 8 --method token --level mild".split()


def think_and_box(choice: dict[str, Any], count: int) -> None:
    """As released models answer, in another form each time; the last of eight is cut while it thinks."""
    message = choice["message"]
    said = message["content"]
    forms = [
        f"<think>The prefix is ABC.</think>\n<|begin_of_box|>{said}<|end_of_box|>",
        f"<think>Page 1.</think><answer>{said}</answer><|user|>",
        f"<think>Page 1.</think>\n{said}<|endoftext|>",
        f"Page 1 has it.</think>\n\n{said}\n",
        f"<think>{said}? Yes.</think><answer><|begin_of_box|>{said}<|end_of_box|></answer>",
        said,
        said,
        f"<think>It says {said}, but then",
    ]
    message["content"] = forms[count % 8]
    if count % 8 == 6:
        message["reasoning_content"] = f"It is {said}"
    if count % 8 == 7:
        choice["finish_reason"] = "length"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A run by such a server, and the same by the local backend."""
    from freqq.glm.load import load_reader

    folder = tmp_path_factory.mktemp("thinking")
    server = Server(load_reader("tiny", device="cpu"), partial(Rewritten, change=think_and_box))
    served = ["--backend", "openai", "--base-url", server.url, "--concurrency", "1"]
    done = freqq("eval", *served, *ARGUMENTS, "--out", str(folder / "served"))
    server.stop()
    assert done.exit_code == 0, done.stderr
    assert freqq("eval", *ARGUMENTS, "--out", str(folder / "local")).exit_code == 0
    return folder, done.stdout


def rows(path) -> dict[tuple[str, str], Any]:
    return {(row.sample_id, row.method): row for row in RunDirectory(path).read()}


@needs_tiny
def test_thoughts_and_boxes_change_no_score(made):
    folder, _ = made
    served, local = rows(folder / "served"), rows(folder / "local")
    cut = [key for key, row in served.items() if row.outcome == CUT_THINKING]
    assert len(cut) == 2
    for key, row in served.items():
        assert local[key].graded == local[key].response  # the embedded model thinks nothing
        if key in cut:
            assert (row.score, row.graded, row.truncated) == (0.0, "", True)
        else:
            marks = ("graded", "score", "exact", "prefix_ok", "first_char_ok")
            assert [getattr(row, m) for m in marks] == [getattr(local[key], m) for m in marks]
            assert row.outcome == local[key].outcome
    assert sum("<think>" in row.response for row in served.values()) == 12
    assert any(row.score > 0.9 for row in served.values())


@needs_tiny
def test_what_was_cut_while_thinking_is_told(made):
    folder, printed = made
    assert "cut while thinking: " in printed
    groups = json.loads((folder / "served" / "summary.json").read_text())["groups"]
    assert sum(group.get("outcomes", {}).get(CUT_THINKING, 0) for group in groups) == 2
    page = folder / "report.html"
    assert freqq("report", str(folder / "served"), "--out", str(page)).exit_code == 0
    assert "cut while thinking: " in page.read_text()


@needs_tiny
def test_the_stored_run_is_graded_anew_without_a_model(made):
    folder, _ = made
    path = folder / "served"
    before = RunDirectory(path).read()
    done = json.loads(freqq("regrade", str(path), "--protocol", "glyph", "--json").stdout)
    assert sum(change["after"] for change in done["changes"]) < sum(change["before"] for change in done["changes"])
    assert freqq("regrade", str(path)).exit_code == 0
    assert RunDirectory(path).read() == before
