"""Every method, alone and combined, in processes of its own."""

import pytest

from freqq.runs.directory import RunDirectory
from freqq.runs.machine import Machine
from freqq.runs.methods import METHODS, canonical
from freqq.runs.run import run
from freqq.runs.settings import Settings
from tests.conftest import needs_tiny

COMBINED = ("token-lowpass+quantize", "token-prune+vq", "token-merge+int4")
NAMES = (*(name for name in METHODS if canonical(name) == name), *COMBINED)


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    """Those of all methods on two samples, each read in another process."""
    settings = Settings(methods=NAMES, levels=("mild",), limit=2, max_new_tokens=3)
    path = run(settings, tmp_path_factory.mktemp("all") / "run", machine=Machine(workers=2))
    return RunDirectory(path).read()


@needs_tiny
@pytest.mark.parametrize("name", NAMES)
def test_a_method_works_in_two_workers(rows, name):
    own = [row for row in rows if row.method == name]
    assert len(own) == 2
    assert [row.error for row in own] == [None, None]
    assert all(row.response for row in own)


@needs_tiny
def test_a_combination_answers_as_in_one_process(rows, tmp_path):
    [combined, *_] = COMBINED
    settings = Settings(methods=(combined,), levels=("mild",), limit=2, max_new_tokens=3)
    here = RunDirectory(run(settings, tmp_path / "here")).read()
    both = {row.method for row in here}
    assert [answer(row) for row in here] == [answer(row) for row in rows if row.method in both]


def answer(row):
    return row.key, row.response, row.score, row.prompt_tokens, row.token_bytes
