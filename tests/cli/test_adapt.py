"""``freqq adapt``: what it refuses, in one line."""

import shlex

import pytest

from freqq.cli.slurm_submit import parse_eval
from tests.cli.test_app import freqq


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "--steps or --minutes"),
        (["--steps", "1", "--minutes", "1"], "--steps or --minutes"),
        (["--steps", "1", "--method", "token-lowpas"], "did you mean 'token-lowpass'"),
        (["--steps", "1", "--method", "image-jpeg"], "acts on images"),
        (["--steps", "1", "--level", "midl"], "did you mean 'mild'"),
        (["--steps", "1", "--train", "mergers"], "did you mean 'merger'"),
        (["--steps", "1", "--rank", "0"], "--rank 0"),
        (["--steps", "1", "--distill", "1.5"], "--distill 1.5"),
        (["--minutes", "inf"], "--minutes, --rate and --merger-rate must be finite"),
        (["--steps", "1", "--rate", "inf"], "--minutes, --rate and --merger-rate must be finite"),
        (["--steps", "1", "--set", "axis=rows"], "unknown axis 'rows'"),
        (["--steps", "1", "--model", "tinny"], "did you mean 'tiny'"),
        (["--steps", "1", "--data", "./no/such.jsonl"], "no/such.jsonl"),
        (["--steps", "1", "--data", "mimi"], "did you mean 'mini'"),
        (["--steps", "1", "--batch-size", "100000000"], "GB are there"),
    ],
)
def test_bad_input_is_one_line(arguments, message, tmp_path):
    done = freqq("adapt", *arguments, "--out", str(tmp_path / "a"))
    assert done.exit_code in (1, 2)
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_training_cannot_end_before_it_began(tmp_path):
    done = freqq("adapt", "--steps", "1", "--patience", "-1", "--out", str(tmp_path / "a"))
    assert done.exit_code == 2
    assert "should be" in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("given", [{}, {"model": "small", "look": "glyph", "dpi": 120.0}, {"revision": "v 1"}])
def test_the_command_that_evaluates_an_adapter_names_its_model_and_its_pages(tmp_path, monkeypatch, given):
    monkeypatch.setattr("freqq.adapt.adapt.adapt", lambda adaptation, out, *further: out)
    options = [word for name, value in given.items() for word in (f"--{name}", str(value))]
    done = freqq("adapt", "--steps", "1", "--out", str(tmp_path / "my adapter"), *options)
    assert done.exit_code == 0, done.output
    words = shlex.split(done.stdout.partition(": ")[2])
    assert words[:2] == ["freqq", "eval"]
    asked, usual = parse_eval(words[2:]), parse_eval([])
    for name in ("model", "revision", "look", "dpi", "config", "font"):
        assert getattr(asked, name) == given.get(name, getattr(usual, name))


def test_a_folder_with_other_files_is_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    done = freqq("adapt", "--steps", "1", "--out", str(tmp_path))
    assert done.exit_code == 2
    assert "holds other files" in done.stderr
    assert [p.name for p in tmp_path.iterdir()] == ["notes.txt"]


def test_help_shows_no_default_of_what_must_be_given():
    shown = freqq("adapt", "--help").stdout
    assert "[default:" not in shown.partition("--steps")[2].partition("--batch-size")[0]
