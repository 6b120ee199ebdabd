"""Which codebooks of tokens there are, and which of them fits a page."""

from collections.abc import Iterator
from functools import cache
from itertools import chain
from pathlib import Path

from torch import Tensor

from freqq.coding.codebook_files import ELSEWHERE, codebook_files, named
from freqq.errors import UserError
from freqq.tokens.vq_codebook import MARK, TokenCodebook, read_token_codebook

SHIPPED = Path(__file__).parent / "codebooks"

STRANGE = 300.0
"""Energy along a codebook's axes, in its variances, from which on tokens are not of its model.

The tokens that a codebook was made for have 1 on average. Those of another model are not correlated as its are, so
they have energy along axes on which its own have next to none. With the codebook of `tiny`, pages of `mini` have at
most 2, what extreme cuts leave of them at most 6, images of noise and gradients 19 to 86, and pages as untrained models
see them 960 and more.
"""


_FURTHER: list[Path] = []


@cache
def _load(path: Path) -> TokenCodebook:
    return read_token_codebook(path)


def token_codebooks() -> Iterator[TokenCodebook]:
    """All codebooks: those of the folder that `ELSEWHERE` names, and the shipped ones."""
    return map(_load, codebook_files(SHIPPED, MARK))


def token_codebook(name: bytes) -> TokenCodebook:
    """The codebook that a stream or a parameter names.

    Raises
    ------
    MissingCodebook
        If it is not there.
    """
    further = (_load(path) for folder in _FURTHER for path in codebook_files(folder, MARK))
    return named(chain(token_codebooks(), further), name)


def look_in(folder: Path) -> None:
    """Find codebooks of a folder, too, but only by name: such as that of an adapter, which fits no other model."""
    if folder not in _FURTHER:
        _FURTHER.append(folder)


def fitting_codebook(grid: Tensor) -> TokenCodebook:
    """The codebook that was made for the model of a grid [h, w, C], as far as the grid tells.

    It has as many channels, and of those the one along whose axes the grid's tokens have the least unexpected energy.

    Raises
    ------
    UserError
        If there is none.
    """
    channels = grid.shape[2]
    made = {strangeness(grid, book): book for book in token_codebooks() if book.channels == channels}
    if not made or not min(made) <= STRANGE:  # also if it is NaN
        raise no_codebook(channels)
    return made[min(made)]


def codebooks_for(channels: int, embedded: bool) -> Iterator[TokenCodebook]:
    """The codebooks that a model's tokens can fit, as far as their number of channels tells.

    Parameters
    ----------
    embedded : bool
        Whether the tokens are an embedded model's; only those fit a shipped codebook.
    """
    paths = (path for path in codebook_files(SHIPPED, MARK) if embedded or path.parent != SHIPPED)
    return (book for book in map(_load, paths) if book.channels == channels)


def no_codebook(channels: int) -> UserError:
    """The error of tokens that no codebook fits."""
    return UserError(
        f"no codebook fits these tokens of {channels} channels, so they are of another model or of a very unusual "
        f"page: run 'freqq codebook train --tokens --model MODEL' and set {ELSEWHERE} to the folder of its file"
    )


def strangeness(grid: Tensor, book: TokenCodebook) -> float:
    """Mean energy of a grid's tokens along a codebook's axes, in the codebook's variances."""
    means, deviations, rotation = book.on(grid.device).tensors
    variances = grid.new_tensor(book.arrays["variances"], dtype=rotation.dtype)
    along = ((grid.float() - means) / deviations) @ rotation.T
    return float((along.square() / variances).mean())
