"""What a report's page takes after its numbers are there: figures, examples, failures, hashes."""

from time import perf_counter

import pytest

from freqq.report.evidence import gather
from freqq.report.html.page import html
from tests.report.made_runs import made_rows, write_run

RUNS, SAMPLES = 50, 200


@pytest.mark.slow
def test_the_page_of_many_runs(benchmark, tmp_path):
    """50 runs of 2,400 rows: 3 needle counts of 200 samples, four arms, five bins."""
    count, samples = (RUNS, SAMPLES) if benchmark.enabled else (2, 20)
    runs = [write_run(tmp_path / f"{i:02d}", made_rows(samples, seed=i)) for i in range(count)]
    start = perf_counter()
    evidence = gather(runs)
    gathered = perf_counter()
    page = benchmark.pedantic(html, (evidence,), rounds=1)
    took = perf_counter() - gathered
    assert all(run.label in page for run in evidence.runs)
    if benchmark.enabled:
        print(f"\n{count} runs: weighed in {gathered - start:.2f} s, drawn in {took:.2f} s, {len(page) / 1e6:.2f} MB")
