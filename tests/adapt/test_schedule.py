"""When a time limit begins to count."""

import subprocess
import sys
import time

from freqq.adapt.schedule import process_start

CODE = """
import time
time.sleep(1)
from freqq.adapt.schedule import process_start
print(process_start(), time.monotonic())
"""


def test_time_counts_from_the_start_of_the_process():
    """What it did before it asked is counted, and nothing from before it was started, but for a tick."""
    before = time.monotonic()
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    began, now = map(float, done.stdout.split())
    assert now - began >= 1 or sys.platform != "linux"
    assert before - 0.1 <= began <= now


def test_the_start_stays_where_it_is():
    first, second = process_start(), process_start()
    assert abs(first - second) < 0.1 or sys.platform != "linux"
