import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from freqq.report import wording
from freqq.report.evidence import gather
from freqq.report.html.example_choice import KINDS, choose
from freqq.report.html.page import html, typeset
from freqq.runs.directory import RESULTS, RunDirectory
from freqq.runs.settings import Settings
from tests.cli.test_app import freqq
from tests.report.made_runs import made_rows, write_run
from tests.report.markup import Element, parse

SECTIONS = ["table", "rates", "heat", "costs", "examples", "failures", "reproduce", "reading"]
HOSTILE = '"><script>window.owned = 1</script><img src="https://example.org/x.png" onerror="window.owned = 1">\'&amp;'


@pytest.fixture(scope="module")
def tree(small_page) -> Element:
    return parse(small_page)


@pytest.fixture(scope="module")
def hostile_page(tmp_path_factory) -> str:
    """A page of a run in which every text is an attack."""
    rows = made_rows(3, needles=(2,))
    rows = [
        replace(
            row, sample_id=f"{row.sample_id}{HOSTILE}", answer=HOSTILE, response=HOSTILE[::-1] + HOSTILE, bin=HOSTILE,
            error=HOSTILE if i in (4, 8) else None, score=0.0 if i in (4, 8) else row.score, model=HOSTILE,
        )
        for i, row in enumerate(rows)
    ]  # fmt: skip
    path = write_run(tmp_path_factory.mktemp("hostile") / "<b>run", rows, model_revision=HOSTILE, data_revision=HOSTILE)
    return html(gather([path]))


def section(tree: Element, name: str) -> Element:
    return next(s for s in tree.all("section") if s.attributes["aria-labelledby"] == name)


def test_the_headline_is_first_and_the_parts_follow_in_order(tree, small_run):
    headings = [e for e in tree.all() if re.fullmatch("h[1-6]", e.name)]
    assert headings[0].name == "h1"
    assert headings[0].text == gather([small_run]).headline
    assert [e.attributes["id"] for e in headings if e.name == "h2"] == SECTIONS
    assert [a.attributes["href"] for a in tree.all("nav")[0].all("a")] == [f"#{name}" for name in SECTIONS]


def loaded(tree: Element) -> list[str]:
    """All that a page would load or lead to but places on it."""
    found = []
    for element in tree.all():
        assert element.name not in ("script", "link", "iframe", "object", "embed", "base", "form"), element.name
        for name, value in element.attributes.items():
            assert not name.startswith("on"), name
            if name in ("src", "href", "xlink:href", "srcset", "action", "data", "poster"):
                found.append(value)
            found += re.findall(r"url\(([^)]*)\)", value)
    for style in tree.all("style"):
        assert "@import" not in style.text
        found += re.findall(r"url\(([^)]*)\)", style.text)
    return [address for address in found if not address.startswith("#")]


def test_nothing_is_loaded_from_elsewhere(tree):
    addresses = loaded(tree)
    assert len(addresses) >= 4
    assert all(address.startswith("data:image/webp;base64,") for address in addresses)


def test_what_stands_in_rows_is_text_and_never_markup(hostile_page):
    tree = parse(hostile_page)
    assert loaded(tree) == []
    assert not [e for e in tree.all() if e.name in ("script", "b", "img")]
    shown = [section(tree, name).text for name in ("examples", "failures", "reproduce", "heat")]
    assert all("<script>window.owned = 1</script>" in text for text in shown)


def test_a_page_is_the_same_each_time_and_no_id_is_there_twice(small_page, small_run, tree):
    assert html(gather([small_run])) == small_page
    ids = Counter(e.attributes["id"] for e in tree.all() if "id" in e.attributes)
    assert max(ids.values()) == 1
    aimed = re.findall(r'(?:url\(|href=")#([^)"]+)', small_page)
    assert aimed
    assert set(aimed) <= set(ids)


def points(value, signed=False):
    return typeset(wording.points(value, signed))


def test_the_table_says_what_the_evidence_says(tree, small_run):
    evidence = gather([small_run])
    rows = [row for row in section(tree, "table").all("tr") if row.all("td")]
    ordered = sorted(evidence.comparisons, key=lambda c: -1 if c.needles is None else c.needles)
    assert len(rows) == len(ordered)
    for row, c in zip(rows, ordered, strict=True):
        cells = {
            e.attributes.get("data-label", "name"): " ".join(e.text.split())
            for e in row.all()
            if e.name in ("th", "td")
        }
        assert cells["name"] == c.arm
        assert cells["score"] == f"{points(c.score.mean)} [{points(c.score.low)}, {points(c.score.high)}]"
        if c.difference is not None:
            d = c.difference
            assert cells["difference"] == f"{points(d.mean, True)} [{points(d.low, True)}, {points(d.high, True)}]"
            assert cells["in words"] == typeset(wording.verdict(c))
            assert cells["p (Holm)"] == wording.p_value(c.p_holm)
            assert cells["better / equal / worse"] == f"{c.wins} / {c.ties} / {c.losses}"
        assert cells["exact"] == points(c.exact)
        assert (cells["n"], cells["failed"]) == (str(c.n), str(c.n_failed))
        rates = [cells[name] for name in ("image bytes", "token bytes", "tokens")]
        assert rates == [typeset(wording.percent(r)) for r in c.rates.values()]


def test_figures_and_pictures_say_what_they_show(tree):
    charts = tree.all("svg")
    assert len(charts) == 5  # three rates, latency, memory
    for chart in charts:
        assert chart.attributes["role"] == "img"
        assert len(chart.attributes["aria-label"]) > 40
        assert chart.all("text")  # text is text, and no outlines of letters
    assert "tokens in the sequence" in charts[2].attributes["aria-label"]
    assert "token-prune" in charts[2].attributes["aria-label"]
    pictures = tree.all("img")
    assert all(len(picture.attributes["alt"]) > 10 for picture in pictures)


def spoken(answer: Element, skipped: str) -> str:
    """The text of an answer without one kind of difference, and without the marks of either."""
    found = ""
    for part in answer.inside:
        if isinstance(part, str):
            found += part
        elif part.name in ("ins", "del") and part.name != skipped:
            found += "".join(inner for inner in part.inside if isinstance(inner, str)).replace("␣", " ")
    return found


def test_examples_show_both_texts_and_mark_where_they_differ(tree, small_run):
    rows = pq.read_table(small_run / RESULTS).to_pylist()
    shown = section(tree, "examples").all("article")
    assert 1 <= len(shown) <= sum(KINDS.values())
    marked = 0
    for article in shown:
        name = article.all("p")[0].text.split(" · ")[0]
        method, level = article.all("h3")[0].inside[-1].strip().split(", ")
        question, expected, plain, own = article.all("dd")
        by_arm = {(r["method"], r["level"]): r for r in rows if r["sample_id"] == name}
        for row, answer in ((by_arm["baseline", "baseline"], plain), (by_arm[method, level], own)):
            assert question.text.startswith(f"Prepend {row['answer'][:6]} to")
            assert expected.text == row["answer"] == spoken(answer, "ins")
            assert spoken(answer, "del") == row["response"]
            marked += len(answer.all("del")) + len(answer.all("ins"))
            for difference in answer.all("del") + answer.all("ins"):
                assert difference.all("span")[0].text in "−+"  # not by colour alone
        assert len(article.all("img")) == 2
    assert marked


def test_the_choice_is_of_the_largest_losses_and_gains_and_of_ties(tmp_path):
    rows = made_rows(50, needles=(2,))
    run = write_run(tmp_path / "run", rows)
    chosen = choose([(run, run)])
    assert Counter(c.kind for c in chosen) == KINDS
    score = {(r.method, r.level, r.sample_id): r.score for r in rows}
    for c in chosen:
        plain = score["baseline", "baseline", c.sample]
        assert c.difference == pytest.approx(score[c.method, c.level, c.sample] - plain)
        assert (np.sign(c.difference)) == {"loss": -1, "gain": 1, "tie": 0}[c.kind]
    changes = [
        s - score["baseline", "baseline", name] for (method, _, name), s in score.items() if method != "baseline"
    ]
    assert min(c.difference for c in chosen) == min(changes)
    assert max(c.difference for c in chosen) == max(changes)
    assert len({c.method for c in chosen if c.kind == "loss"}) > 1
    assert choose([(run, run)]) == chosen


def test_failures_are_counted_and_the_first_is_named(tmp_path):
    rows = made_rows(10, needles=(2,))
    rows = [
        replace(row, error="OutOfMemory: a batch", score=0.0, response=None) if row.method == "token" and i % 2 else row
        for i, row in enumerate(rows)
    ]
    tree = parse(html(gather([write_run(tmp_path / "run", rows)])))
    found = [[" ".join(cell.text.split()) for cell in row.all("td")] for row in section(tree, "failures").all("tr")]
    first = [["5", "OutOfMemory: a batch", "2needle-1", "run"]] * 2
    assert found == [[], *first]
    [failed] = [d for d in tree.all("dl")[0].all("div") if d.all("dt")[0].text == "failed"]
    assert failed.all("dd")[0].text == "10"


def test_answers_that_were_cut_in_the_models_thoughts_are_counted(tmp_path):
    rows = [replace(row, truncated=row.method == "image") for row in made_rows(4, needles=(2,))]
    text = section(parse(html(gather([write_run(tmp_path / "run", rows)]))), "failures").text
    assert "image mild: cut while thinking: 4 of 4 (run, 2 needles)" in " ".join(text.split())


def test_everything_needed_to_reproduce_is_there(tree, small_run):
    text = " ".join(section(tree, "reproduce").text.split())
    plan = RunDirectory(small_run).plan()
    [facts] = gather([small_run]).runs
    assert facts.command in text
    for known in (plan["model_revision"], plan["data_revision"], *(arm["config_hash"] for arm in plan["arms"])):
        assert known in text
    for package in ("freqq", "python", "torch", "transformers"):
        assert f"{package} {facts.versions[0][package]}" in text
    assert facts.hardware[0]["machine"] in text
    assert re.search("SHA-256 [0-9a-f]{64}", text)


def test_without_a_baseline_scores_are_drawn_and_nothing_is_compared(tmp_path):
    rows = [row for row in made_rows(10) if row.method != "baseline"]
    evidence = gather([write_run(tmp_path / "run", rows)])
    tree = parse(html(evidence))
    assert evidence.warnings[0] in tree.all("ul")[0].text
    assert "score, points" in section(tree, "rates").text
    assert not section(tree, "examples").all("article")
    assert "Score in points" in section(tree, "heat").text


def test_a_baseline_of_another_run_serves_the_examples(tmp_path):
    rows = made_rows(10, needles=(2,))
    methods = write_run(tmp_path / "methods", [row for row in rows if row.method != "baseline"])
    plain = write_run(tmp_path / "plain", [row for row in rows if row.method == "baseline"])
    tree = parse(html(gather([methods, plain])))
    assert section(tree, "examples").all("article")


@pytest.mark.parametrize("samples", [1, 2])
def test_few_samples_make_a_page(tmp_path, samples):
    tree = parse(html(gather([write_run(tmp_path / "run", made_rows(samples, needles=(4,)))])))
    assert len(tree.all("section")) == len(SECTIONS)


def test_nothing_but_the_baseline_makes_a_page(tmp_path):
    rows = [row for row in made_rows(3, needles=(2,)) if row.method == "baseline"]
    tree = parse(html(gather([write_run(tmp_path / "run", rows)])))
    assert "nothing was compressed" in section(tree, "rates").text.lower()


def test_all_failed_makes_a_page(tmp_path):
    rows = [
        replace(
            row, error="UserError: no", score=0.0, response=None, prompt_tokens=None, kv_bytes=None, prefill_ms=None
        )
        for row in made_rows(3, needles=(2,))
    ]
    tree = parse(html(gather([write_run(tmp_path / "run", rows)])))
    assert not section(tree, "examples").all("article")


@pytest.mark.parametrize("change", [{"pages": 99}, {"pages": 1000}, {"pages": None}, {"page_hash": "other"}])
def test_pages_that_are_not_those_of_the_row_are_left_out_with_a_line(change, small_run, tmp_path):
    rows = [replace(row, **change) for row in RunDirectory(small_run).read()]
    plan = RunDirectory(small_run).plan()
    run = write_run(tmp_path / "run", rows, Settings.from_json(plan.pop("settings")), **plan)
    examples = section(parse(html(gather([run]))), "examples")
    assert "the page is not shown" in examples.text
    assert not examples.all("img")
    assert section(parse(html(gather([small_run]))), "examples").all("img")


def test_where_a_page_cannot_be_shown_the_reason_is_said(tmp_path):
    rows = made_rows(5, needles=(2,))
    for number, settings in enumerate((Settings(), Settings(seed=1))):
        run = write_run(tmp_path / str(number), rows, settings)
        tree = parse(html(gather([run])))
        assert "the data no longer have the sample" in section(tree, "examples").text
    changed = write_run(tmp_path / "changed", rows, data_revision="mini-0")
    assert "have changed since the run" in section(parse(html(gather([changed]))), "examples").text


def test_many_runs_stay_one_page_of_bearable_size(tmp_path):
    runs = [write_run(tmp_path / f"{i:02d}", made_rows(4, needles=(2, 4), seed=i)) for i in range(14)]
    text = html(gather(runs))
    tree = parse(text)
    assert len(tree.all("svg")) <= 5 * 4
    assert "only the first 12 of 28 lines are drawn" in section(tree, "rates").text
    assert "2 more runs are not shown" in section(tree, "heat").text
    assert len(text) < 1_000_000


def test_the_command_writes_the_page(small_run, small_page, tmp_path, monkeypatch):
    out = tmp_path / "deep" / "page.html"
    done = freqq("report", str(small_run), "--out", str(out))
    assert done.exit_code == 0, done.output
    assert out.read_text(encoding="utf-8") == small_page
    assert [p.name for p in out.parent.iterdir()] == ["page.html"]
    monkeypatch.chdir(tmp_path)
    assert freqq("report", str(small_run)).exit_code == 0
    assert (tmp_path / "report.html").read_text(encoding="utf-8") == small_page


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--out", "page.pdf"], "does not tell the format"),
        (["--out", "."], "does not tell the format"),
        (["--format", "html", "--out", "."], "is a folder"),
        (["--format", "htlm"], "did you mean 'html'"),
        (["--out", "file/page.html"], "cannot write"),
    ],
)
def test_an_output_that_cannot_be_is_refused_before_the_work(tmp_path, monkeypatch, arguments, said):
    monkeypatch.chdir(tmp_path)
    Path("file").write_text("")
    done = freqq("report", "no-such-run", *arguments)
    assert done.exit_code == 2
    assert said in done.output
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("kind", ["empty", "missing", "unmerged"])
def test_what_is_no_run_is_one_clear_error_and_no_page(tmp_path, monkeypatch, kind):
    monkeypatch.chdir(tmp_path)
    if kind != "missing":
        Path("run").mkdir()
    if kind == "unmerged":
        (write_run(Path("run"), made_rows(1)) / RESULTS).unlink()
    done = freqq("report", "run", "--out", "page.html")
    assert done.exit_code == 2
    named = {"empty": "run.json", "missing": "there is no run directory run", "unmerged": "continue with freqq eval"}
    assert named[kind] in done.output
    assert len(done.output.strip().splitlines()) <= 3
    assert not Path("page.html").exists()


def test_minus_signs_are_real_and_hyphens_stay():
    assert typeset("between -4.1 and -.3, token-prune of a-1") == "between −4.1 and −.3, token-prune of a-1"
    assert typeset("-") == "–"


def test_colours_of_the_heat_map_mean_the_same_in_all_runs(tmp_path):
    def colours(path, loss):
        rows = [replace(r, score=1.0 - loss * (r.method != "baseline")) for r in made_rows(10, (2,))]
        cells = section(parse(html(gather([write_run(path, rows)]))), "heat").all("td")
        return {c.text: c.attributes["style"] for c in cells if c.attributes.get("style")}

    one, other = colours(tmp_path / "one", 0.1), colours(tmp_path / "other", 0.6)
    assert one["−10.0"] != other["−60.0"]
    mixed = [replace(r, score=1.0 - (0.1 if r.method == "image" else 0.6) * (r.method != "baseline"))
             for r in made_rows(10, (2,))]  # fmt: skip
    cells = section(parse(html(gather([write_run(tmp_path / "mixed", mixed)]))), "heat").all("td")
    assert {c.attributes["style"] for c in cells if c.text == "−10.0"} == {one["−10.0"]}


def test_data_and_task_are_both_named_and_answers_counted_of_samples(tmp_path):
    rows = made_rows(5, (2,))
    page = html(gather([write_run(tmp_path / "run", rows)]))
    tree = parse(page)
    tiles = {tile.all("dt")[0].text: tile.all("dd")[0].text for tile in tree.all("dl")[0].all("div")}
    assert tiles["data"] == "mini (mrcr)"
    [group] = [e.text.strip() for e in section(tree, "table").all("tr") if e.attributes.get("class") == "group"]
    assert group == "2 needles · mrcr on mini"
    assert re.search(r"<dt>answers</dt><dd>20, of 5 samples; 0 failed</dd>", page)
    assert "a dash if no answer changed" in section(tree, "table").text


def test_figures_of_runs_that_differ_in_one_fact_have_titles_that_name_it(tmp_path):
    rows = made_rows(5, (2,))
    changes = [
        ({"dpi": 72.0}, {}, "dpi 72.0"),
        ({"dpi": 96.0}, {}, "dpi 96.0"),
        ({"dpi": 96.0}, {"attention": "eager"}, "dpi 96.0"),
    ]
    paths = [
        write_run(tmp_path / f"run{i}", rows, Settings(look="glyph", **settings), **description)
        for i, (settings, description, _) in enumerate(changes)
    ]
    titles = [e.text for e in section(parse(html(gather(paths[:2]))), "costs").all("h3")]
    assert titles == [f"tiny on mini, mrcr, {fact}" for *_, fact in changes[:2]]
    titles = [e.text for e in section(parse(html(gather(paths))), "costs").all("h3")]
    assert len(set(titles)) == 3
    assert all(fact in title for title, (*_, fact) in zip(titles, changes, strict=True))
