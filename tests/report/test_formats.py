"""The same numbers in each format."""

import csv
import io
import json
import re
from dataclasses import replace
from pathlib import Path

import matplotlib as mpl
import pytest
from PIL import ImageFont

from freqq.errors import UserError
from freqq.report.evidence import Evidence, gather
from freqq.report.formats import COLUMNS, FORMATS, LATEX_COLUMNS, OPTIONAL, latex, records, write
from freqq.report.statistics import Estimate
from freqq.report.wording import estimate, p_value, percent
from tests.report.made_runs import made_rows, write_run

NASTY = "a|b & 50%_of $x {y} \\cmd #1 ~^<>"


@pytest.fixture(scope="module")
def evidence(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made")
    rows = made_rows(25, (2, 4))
    rows[3] = replace(rows[3], score=0.0, error="OSError: no", image_bytes=None)
    other = write_run(folder / NASTY, made_rows(10, (2,), seed=1), data_revision="mini-2")
    return gather([write_run(folder / "one", rows), other])


def parsed_markdown(text):
    lines = [line for line in text.splitlines() if line.startswith("|")]
    rows = [[c.strip().replace("\\|", "|") for c in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]
    return rows[0], rows[2:]


def parsed_latex(text):
    body = text.split(r"\midrule")[1].split(r"\bottomrule")[0].strip().splitlines()
    return [re.split(r"(?<!\\) & ", line.removesuffix(r" \\")) for line in body]


def test_csv_parses_back_to_the_json(evidence):
    theirs = json.loads(write(evidence, "json"))["comparisons"]
    lines = list(csv.DictReader(io.StringIO(write(evidence, "csv"))))
    assert len(lines) == len(theirs) == len(evidence.comparisons)
    for line, record in zip(lines, theirs, strict=True):
        assert set(line) == set(record) - {"bins", "subtasks"}
        for name, text in line.items():
            value = record[name]
            if value is None:
                assert text == ""
            elif isinstance(value, str):
                assert text == value
            else:
                assert float(text) == value


def test_markdown_and_latex_round_the_very_numbers_of_the_json(evidence):
    theirs = json.loads(write(evidence, "json"))["comparisons"]
    header, markdown = parsed_markdown(write(evidence, "md"))
    assert header == [name for name in COLUMNS if name not in ("outcomes", "mean", "cer", "wer")]
    set_by_latex = parsed_latex(write(evidence, "latex", header))
    assert len(markdown) == len(set_by_latex) == len(theirs)
    for line, other, record in zip(markdown, set_by_latex, theirs, strict=True):
        shown = dict(zip(header, line, strict=True))
        assert [latex(cell) for cell in line] == other
        assert shown["run"] == record["run"]
        assert shown["needles"] == ("all" if record["needles"] is None else str(record["needles"]))
        assert shown["in words"] == record["words"]
        assert shown["p (Holm)"] == p_value(record["p_holm"])
        assert shown["token bytes"] == percent(record["rate_token_bytes"])
        for name, signed in (("score", False), ("macro", False), ("difference", True), ("retention", False)):
            values = [record[name], record[f"{name}_low"], record[f"{name}_high"]]
            found = None if values[0] is None else Estimate(*values, record["n"])
            assert shown[name] == estimate(found, signed)


def test_error_rates_of_transcripts_are_in_every_table(tmp_path):
    rows = [replace(r, task="transcribe", cer=0.25, wer=0.5) for r in made_rows(10, (2,))]
    found = gather([write_run(tmp_path / "run", rows)])
    assert {(one["cer"], one["wer"]) for one in json.loads(write(found, "json"))["comparisons"]} == {(0.25, 0.5)}
    assert {(one["cer"], one["wer"]) for one in csv.DictReader(io.StringIO(write(found, "csv")))} == {("0.25", "0.5")}
    header, [first, *_] = parsed_markdown(write(found, "md"))
    assert [dict(zip(header, first, strict=True))[name] for name in ("cer", "wer")] == [".250", ".500"]


def test_json_holds_what_reproduces_the_runs(evidence):
    value = json.loads(write(evidence, "json"))
    assert [run["label"] for run in value["runs"]] == ["one", NASTY]
    assert value["runs"][0]["command"].startswith("freqq eval --method token")
    assert value["warnings"] == list(evidence.warnings)
    assert "data_revision is mini-2, not mini-1" in value["warnings"][0]
    assert [b["n"] for b in value["comparisons"][0]["bins"]] == [5] * 5


def test_records_are_all_alike(evidence):
    names = [list(record) for record in records(evidence.comparisons)]
    assert all(own == names[0] for own in names)


@pytest.mark.parametrize("name", FORMATS)
def test_nothing_to_show_is_a_table_without_lines(name):
    text = write(Evidence((), (), (), "Nothing."), name)
    assert text.endswith("\n")
    assert "nan" not in text


@pytest.mark.parametrize("name", FORMATS)
def test_a_report_has_no_nan_and_one_line_a_row(name, evidence):
    text = write(evidence, name)
    assert not re.search(r"\bnan\b", text, re.IGNORECASE)
    if name == "latex":
        assert sum(line.endswith(" \\\\") for line in text.splitlines()) == len(evidence.comparisons) + 1


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("50 % & more_", r"50 \% \& more\_"),
        ("a\\b", r"a\textbackslash{}b"),
        ("[x]", "{[}x]"),
        ("{~^#$}", r"\{\textasciitilde{}\textasciicircum{}\#\$\}"),
        ("two\nlines", "two lines"),
    ],
)
def test_latex_sets_any_text(text, escaped):
    assert latex(text) == escaped


def test_a_latex_table_fits_a_papers_column_unless_more_is_asked_for(evidence, tmp_path):
    rows = [replace(r, method="token-stratified", level="ultra_mild", config_hash="l") if r.method == "image" else r
            for r in made_rows(10, (2,))]  # fmt: skip
    text = write(gather([write_run(tmp_path / "run", rows)]), "latex")
    assert text.splitlines()[1] == r"\begingroup\footnotesize\setlength{\tabcolsep}{3pt}"
    font = ImageFont.truetype(str(Path(mpl.get_data_path()) / "fonts" / "ttf" / "cmr10.ttf"), 800)
    table = [LATEX_COLUMNS, *([cell.replace("\\", "") for cell in line] for line in parsed_latex(text))]
    points = [max(font.getlength(cell) / 100 for cell in column) for column in zip(*table, strict=True)]
    assert sum(points) + 2 * 3 * (len(LATEX_COLUMNS) - 1) < 3.25 * 72.27
    chosen = write(evidence, "latex", ["level", "retention"])
    assert r"level & retention \\" in chosen
    assert parsed_markdown(write(evidence, "md", ["method", "p"]))[0] == ["method", "p"]
    with pytest.raises(UserError, match="unknown column 'scor': did you mean 'score'"):
        write(evidence, "md", ["scor"])


def test_columns_that_say_nothing_are_left_out(evidence, tmp_path):
    header, _ = parsed_markdown(write(gather([write_run(tmp_path / "run", made_rows(10, (2,)))]), "md"))
    assert not set(OPTIONAL) & set(header)
    assert "if failed = 0" in parsed_markdown(write(evidence, "md"))[0]
