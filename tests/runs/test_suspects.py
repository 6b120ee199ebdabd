"""Samples that processes die of: who is accused, and the rows of what is given up; with a model in test_faults."""

from math import inf

import pytest

from freqq.data.mini import mini
from freqq.errors import FreqqError
from freqq.runs.directory import RunDirectory
from freqq.runs.merge import merge
from freqq.runs.parts import NEVER, PartWriter
from freqq.runs.plan import BASELINE_ARM, Identity
from freqq.runs.settings import Settings
from freqq.runs.shard import Shard
from freqq.runs.suspects import FailedRows, Suspects
from tests.runs.test_schema import make_row


def test_deaths_at_different_arms_are_not_added_up(tmp_path):
    suspects = Suspects()
    assert suspects.accuse(["a", "b"], [], True) is None
    assert suspects.accuse(["a"], ["x", "y"], True) is None
    assert suspects.accuse(["a"], ["y"], True) is None
    assert suspects.accuse(["a"], ["x", "y"], False) is None
    assert suspects.accuse(["a"], ["x", "y"], True) == ("a", "x")
    suspects.write(tmp_path, Shard())
    suspects = Suspects.read(tmp_path, Shard())
    assert suspects.deaths == {"a": {"y": 1}, "b": {}}
    assert suspects.accuse(["a"], ["y"], True) == ("a", "y")
    assert suspects.deaths == {"b": {}}


@pytest.mark.parametrize(("failed_before", "error"), [(NEVER, "ValueError: once"), (inf, "FreqqError: killed")])
def test_what_failed_before_and_is_given_up_when_tried_again_has_the_new_error(tmp_path, failed_before, error):
    [sample] = mini(2, 1)
    arms = [(BASELINE_ARM, "h")]
    RunDirectory(tmp_path).record(
        {"settings": {}, "samples": [sample.id], "arms": [{"method": "baseline", "config_hash": "h"}]}
    )
    writer = PartWriter(tmp_path, Shard(), {})
    writer.add([make_row(sample_id=sample.id, config_hash="h", error="ValueError: once", response=None)])
    writer.flush()
    rows = FailedRows(tmp_path, Settings(), Identity("r", "float32"), "m", "cpu", Shard(), arms, failed_before)
    assert rows.write(sample, BASELINE_ARM.label, "killed") == int(failed_before == inf)
    with pytest.raises(FreqqError, match="all 1 answers failed"):
        merge(tmp_path)
    assert [row.error for row in RunDirectory(tmp_path).read()] == [error]
