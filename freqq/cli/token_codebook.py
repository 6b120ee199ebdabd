"""``freqq codebook train --tokens``: learn a codebook of a model's vision tokens."""

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from freqq.glm.reader import Reader
    from freqq.pages.page import Page

BATCH = 16


def train_tokens(pages: "Iterable[Page] | None", model: str, limit: int, out: Path) -> None:
    """See pages and write the codebook of their tokens.

    Parameters
    ----------
    pages : None for those that the embedded model was trained on
    limit : most pages
    """
    import torch

    from freqq.cli.progress import counted_then
    from freqq.files import check_writable, write_whole
    from freqq.glm.load import load_reader
    from freqq.glm.train.pages import training_pages
    from freqq.tokens.vq_training import train

    check_writable(out.parent)
    torch.set_num_threads(1)  # sums over several threads differ in the last digits, and so would the file
    reader = load_reader(model)
    chosen = islice(training_pages() if pages is None else pages, limit)
    with counted_then(limit, "reading", "learning") as count:
        book = train(_seen(reader, count(chosen)))
    write_whole(out, lambda path: path.write_bytes(book.file))
    kind = f"{len(book.arrays['frequencies']):,} words for {book.channels} channels of {reader.model_name}"
    print(f"{out}: {kind} at {reader.revision[:12]}, {len(book.file):,} bytes, id {book.id.hex()}")


def _seen(reader: "Reader", pages: "Iterator[Page]") -> "Iterator[Tensor]":
    while batch := list(islice(pages, BATCH)):
        yield from reader.see(batch)
