"""Examples that another process makes."""

import subprocess
import sys
from pathlib import Path

import pytest

from freqq.errors import FreqqError
from freqq.report.evidence import compare_results, pairs
from freqq.report.html.examples import ExampleProcess
from freqq.report.html.page import html
from freqq.report.results import read_results


@pytest.fixture
def without_torch(monkeypatch):
    """A process that has not loaded it; `transformers` itself stays loaded for all who have it."""
    monkeypatch.delitem(sys.modules, "transformers")


def test_a_page_is_the_same_whoever_makes_its_examples(small_run, small_page, tmp_path):
    (tmp_path / "torch.py").write_text("raise SystemExit('a file of the user, not the library')")
    command = [str(Path(sys.executable).with_name("freqq")), "report", str(small_run), "--out", "page.html"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "page.html").read_text(encoding="utf-8") == small_page


def test_a_script_of_a_few_lines_makes_the_page(small_run, small_page, tmp_path):
    """Whatever multiprocessing would ask of it: nothing stands behind ``if __name__ == "__main__"``."""
    (tmp_path / "script.py").write_text(f"import freqq\nfreqq.Evaluation({str(small_run)!r}).report('page.html')\n")
    done = subprocess.run([sys.executable, "script.py"], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "page.html").read_text(encoding="utf-8") == small_page


def test_with_torch_loaded_there_is_no_other_process(small_run, small_page, monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", sys)
    monkeypatch.setattr("freqq.report.html.examples.get_context", None)
    results = [read_results(small_run)]
    with ExampleProcess() as other:
        other.start(pairs(results))
        assert html(compare_results(results), other.examples) == small_page


def test_a_process_that_fails_is_told_in_one_line(tmp_path, without_torch):
    with ExampleProcess() as other:
        other.start([(tmp_path / "none", tmp_path / "none")])
        with pytest.raises(FreqqError, match=r"the examples could not be made: .*none"):
            other.examples()


def test_so_is_one_that_failed_before_it_was_asked(small_run, without_torch):
    with ExampleProcess() as other:
        other._child.kill()
        other._child.join()
        other.start([(small_run, small_run)] * 2000)
        with pytest.raises(FreqqError, match="the examples could not be made: exit status -9"):
            other.examples()


def test_a_process_that_is_not_asked_ends_with_its_context(without_torch):
    with ExampleProcess() as other:
        assert other._child.is_alive()
    assert not other._child.is_alive()
