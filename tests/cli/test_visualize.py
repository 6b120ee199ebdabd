"""``freqq visualize``: fractions side by side, and pictures in the terminal or to a pipe."""

import io
import subprocess
import sys

import pytest
from PIL import Image
from typer.testing import CliRunner

from freqq.cli.app import app
from freqq.image.files import png
from freqq.pages.render import render
from freqq.pages.style import Style
from tests.report.test_terminal_pictures import shown_by_iterm2, shown_by_kitty
from tests.terminal import Terminal, plain_environment


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    path = tmp_path_factory.mktemp("visualize") / "page.png"
    path.write_bytes(
        png(next(render(["write a poem about tapirs and one about glass"] * 4, Style(width=200, height=120))))
    )
    return path


def freqq(*arguments):
    return CliRunner().invoke(app, ["visualize", *map(str, arguments)], prog_name="freqq")


def test_compare_draws_the_fractions_that_are_asked_for(page, tmp_path):
    drawn = []
    for how in ([], ["--keep", "0.8", "--keep", "0.5"], ["--keep", "0.8"]):
        assert freqq("compare", page, "--out", tmp_path / "x.png", *how).exit_code == 0
        drawn.append(Image.open(tmp_path / "x.png").size[0])
    assert drawn[0] > drawn[1] > drawn[2]
    assert "keep 1.5" in freqq("compare", page, "--keep", "1.5").stderr


@pytest.mark.parametrize("name", ["a$^$.png", "$\\frac$.png", "5$ and 6$.png"])
def test_dollar_signs_in_a_name_are_no_formula(name, page, tmp_path):
    image, out = tmp_path / name, tmp_path / "x.svg"
    image.write_bytes(page.read_bytes())
    done = freqq("residual", image, "--out", out)
    assert done.exit_code == 0, done.output
    assert name in out.read_text()  # as a comment, beside the outlines of its letters


def test_a_folder_is_no_table(tmp_path):
    done = freqq("resolution", tmp_path / "run", "--csv", tmp_path, "--out", tmp_path / "x.png")
    assert done.exit_code == 2
    assert f"--csv {tmp_path} is a folder: give a file name" in done.stderr


def test_the_pipeline_is_drawn(tmp_path):
    assert freqq("pipeline", "--out", tmp_path / "x.png").exit_code == 0
    assert Image.open(tmp_path / "x.png").format == "PNG"


COMMAND = [sys.executable, "-m", "freqq", "visualize", "lengths", "mini", "--limit", "2", "--out", "-"]


def test_a_pipe_is_given_the_file(tmp_path):
    done = subprocess.run(COMMAND, capture_output=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert Image.open(io.BytesIO(done.stdout)).format == "PNG"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("variables", "read"),
    [({"TERM": "xterm-kitty"}, shown_by_kitty), ({"TERM": "xterm", "TERM_PROGRAM": "iTerm.app"}, shown_by_iterm2)],
)
def test_a_terminal_shows_it_as_wide_as_it_is(variables, read, tmp_path):
    terminal = Terminal(COMMAND, plain_environment(**variables), pixels=(900, 600), cwd=str(tmp_path), only="stdout")
    status, seen = terminal.finish()
    assert status == 0, seen
    # The terminal itself makes a carriage return and a newline of each newline.
    image = Image.open(io.BytesIO(read(seen.replace(b"\r\n", b"\n"))))
    assert (image.format, image.width) == ("PNG", 900)


def test_a_terminal_that_shows_no_pictures_is_told_so_before_any_work(tmp_path):
    command = [sys.executable, "-m", "freqq", "visualize", "spectrum", "nowhere.png", "--out", "-"]
    status, seen = Terminal(command, plain_environment(TERM="xterm"), cwd=str(tmp_path)).finish()
    assert status == 2
    assert b"this terminal (xterm) shows no pictures" in seen
    assert b"nowhere" not in seen
