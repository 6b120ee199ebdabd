"""MRCR from the Hugging Face hub, at one commit."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from freqq.errors import UserError

HUB = "openai/mrcr"
REVISION = "f4c69fae7cf81f7ca26b9fee34b392a50f6b8a1d"
"""A commit of the data set after its repair of 2025-12-05, which replaced about one sample in ten. Counted with o200k,
the repaired samples no longer fill each bin with exactly 100."""

NEEDLES = (2, 4, 8)


def hub_records(needles: int, repository: str = HUB, revision: str = REVISION) -> Iterator[tuple[str, dict[str, Any]]]:
    """The official records of a needle count with where they stand, downloaded by `datasets` on first use.

    Parameters
    ----------
    repository : str
        A data set of the hub, or a folder that is laid out like it: ``2needle/2needle_0.parquet`` and so on.

    Raises
    ------
    UserError
        If the hub cannot be reached and the files are not in its cache.
    """
    import datasets  # takes a second to import

    files = [f"{needles}needle/{needles}needle_{part}.parquet" for part in (0, 1)]
    try:
        with _without_warnings("huggingface_hub"):  # one for each of many tries; the error at the end says all
            table = datasets.load_dataset(repository, revision=revision, data_files={"train": files}, split="train")
    except Exception as error:  # no network, offline mode, a proxy: each client library has its own errors for it
        reason = " ".join(str(error).split())[:200]
        raise UserError(
            f"cannot get {repository} from the hub ({reason}): connect once to fill the cache, or name the folder of a "
            "copy instead"
        ) from error
    for row, record in enumerate(table):
        yield f"{repository}, {needles} needles, row {row}", record


@contextmanager
def _without_warnings(name: str) -> Iterator[None]:
    """While it is entered, a library logs errors only."""
    logger = logging.getLogger(name)
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)
