"""Mean scores from a run's results.parquet, loaded with datasets, with pandas and with DuckDB.

Rows with an error have a score of 0, and like freqq's tables these leave them out.

Usage: python examples/load_results.py RUN_DIRECTORY
"""

import argparse
from pathlib import Path
from statistics import fmean

Means = dict[tuple[int, str, str], float]


def with_datasets(file: str) -> Means:
    from datasets import load_dataset

    rows = load_dataset("parquet", data_files=file, split="train").select_columns(
        ["needles", "method", "level", "score", "error"]
    )
    scores: dict[tuple[int, str, str], list[float]] = {}
    for row in rows:
        if row["error"] is not None:
            continue
        scores.setdefault((row["needles"], row["method"], row["level"]), []).append(row["score"])
    return {arm: fmean(values) for arm, values in scores.items()}


def with_pandas(file: str) -> Means:
    import pandas

    rows = pandas.read_parquet(file, columns=["needles", "method", "level", "score", "error"])
    rows = rows[rows["error"].isna()]
    return rows.groupby(["needles", "method", "level"])["score"].mean().to_dict()


def with_duckdb(file: str) -> Means:
    import duckdb

    query = "select needles, method, level, avg(score) from read_parquet(?) where error is null group by all"
    return {
        (needles, method, level): score for needles, method, level, score in duckdb.execute(query, [file]).fetchall()
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, metavar="RUN_DIRECTORY")
    results = str(parser.parse_args().run / "results.parquet")
    for load in (with_datasets, with_pandas, with_duckdb):
        print(load.__name__)
        try:
            means = load(results)
        except ModuleNotFoundError as error:
            print(f"  left out: pip install {error.name}")
            continue
        for (needles, method, level), score in sorted(means.items()):
            print(f"  {needles} needles, {method} {level}: {score:.3f}")
