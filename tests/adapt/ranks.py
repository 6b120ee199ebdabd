"""One of several processes that train together, for `tests.adapt.test_training`: ``torchrun ranks.py MODEL FOLDER``.

The second of them gets signals, and validates on fewer examples, as a slower one may.
"""

import os
import signal
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from freqq.adapt.adapt import adapt, prepare
from freqq.adapt.validation import Validation
from freqq.errors import Interrupted
from tests.adapt.test_training import HABITS, SMALL

RANK = int(os.environ["RANK"])


def stop(step: int, steps: int, values: dict[str, float]) -> None:
    """Send the second process a signal after two steps."""
    if (RANK, step) == (1, 2):
        os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    three_steps, folder = replace(SMALL, model=sys.argv[1], steps=3), Path(sys.argv[2])
    with pytest.raises(Interrupted, match="after step 2"):
        adapt(three_steps, folder, HABITS, stop)
    training = prepare(three_steps, folder, HABITS)
    assert (training.accelerator.num_processes, training.step) == (2, 2)
    training.validator.take(2 - RANK, 1)
    validate = training.validator.validate

    def stop_in_validation() -> Validation:
        if RANK == 1:
            os.kill(os.getpid(), signal.SIGTERM)
        return validate()

    training.validator.validate = stop_in_validation  # type: ignore[method-assign]
    with pytest.raises(Interrupted, match="after step 3"):
        training.run(lambda *any: None)
    training.validator.validate = validate  # type: ignore[method-assign]
    training.run(lambda *any: None)
    assert training.log.rows[-1]["held_loss"] == training.best
    (folder / f"best-{RANK}").write_text(repr(training.best))
