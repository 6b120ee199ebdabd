"""What it takes to weigh many runs."""

from time import perf_counter, process_time

import pytest

from freqq.report.evidence import gather
from tests.report.made_runs import made_rows, write_run

RUNS, SAMPLES = 50, 200


@pytest.mark.slow
def test_gathering(benchmark, tmp_path):
    """50 runs of 2,400 rows: 3 needle counts of 200 samples, four arms, five bins. A page adds its figures to this."""
    count, samples = (RUNS, SAMPLES) if benchmark.enabled else (2, 20)
    runs = [write_run(tmp_path / str(i), made_rows(samples, seed=i)) for i in range(count)]
    start, used = perf_counter(), process_time()
    found = benchmark.pedantic(gather, (runs,), rounds=1)
    took, used = perf_counter() - start, process_time() - used
    assert len(found.comparisons) == count * 4 * 4
    if benchmark.enabled:
        print(f"\n{count} runs of {12 * samples} rows were weighed in {took:.2f} s ({used:.2f} s of the processor)")
