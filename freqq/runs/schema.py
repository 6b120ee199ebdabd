"""A row: one answer to one sample by one arm of a run, and its Parquet columns."""

import types
from collections.abc import Iterable
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Union, get_args, get_origin, get_type_hints

import pyarrow as pa
import pyarrow.compute as pc

from freqq.errors import FreqqError

BASELINE, FORMERLY = "baseline", "none"
"""The method of the arm in which nothing is compressed, and what it was called before, in rows and in run keys."""


def renamed(method: str) -> str:
    """A method's name, of this or of an older version."""
    return BASELINE if method == FORMERLY else method


@dataclass(frozen=True)
class Row:
    """One Parquet row. ``(sample_id, config_hash)`` is its key.

    What was never measured, because the sample failed before, is None. Three rates stay apart: bytes of the images,
    bytes of the stored tokens, and tokens in the sequence (hence bytes of the KV cache). Times of work that is done for
    a whole batch are the batch's time divided by its samples.

    Parameters
    ----------
    method, level : str
        Both ``baseline`` for the arm in which nothing is compressed.
    params : str
        The method's parameters as JSON.
    bin, bin_source : str
        The bin of context length, and whether its tokens were counted (``o200k``) or estimated (``estimate``), or it
        was stated with the sample (``file``).
    score : float in [0, 1]
        By the task's metric (`freqq.data.tasks`); 0 for a sample that failed: `error` then says why.
    exact : bool
        Every character is right; in a transcript, but for white space.
    cer, wer : float
        Character and word error rate of a transcript; 1 if the sample failed.
    page_hash : str
        SHA-256 over the rendered pages, before any codec.
    density : float in [0, 1]
        Fraction of the pages' cells of 28 x 28 px, a vision token each, that hold any ink.
    image_bytes_raw : int
        The rendered pages as optimised PNG files.
    image_bytes : int
        What an image codec stored; `image_bytes_raw` elsewhere.
    vision_tokens_full, vision_tokens : int
        Cells of the rendered pages' grids, and how many features the language model read.
    token_bytes_raw, token_bytes : int
        Those grids in bfloat16, and what a token compressor stored; None if that was not counted.
    token_bytes_pages : int
        Of how many pages `token_bytes` was counted. If of fewer than `pages`, it is what all of them take if they are
        like those (0: not counted).
    compress_ms : float
        Up to what the language model reads. Entropy coding, which nothing waits for, is not in it.
    kv_bytes : int
        Size of the KV cache behind the last token.
    response : str
        All that the model wrote; thoughts that the prompt began for it stand behind ``<think>``.
    graded : str
        What was graded of the response, without thoughts and marks.
    outcome : str
        How the response ended, one of `freqq.data.responses.OUTCOMES`.
    truncated : bool
        The response ended inside the model's thoughts: nothing of it is graded.
    adapter : str
        Digest of the adapter that was on.
    subtask : str
        The part of the task, or the data set of a suite, that the sample belongs to.
    vision_pass_pages : int
        The fewest pages that the vision tower was given at once, if there was no memory for as many as usual.
    prefill_chunk : int
        Tokens of the prompt that were read at once, if not all.
    """

    sample_id: str
    task: str
    needles: int
    bin: str
    method: str
    level: str
    params: str
    model: str
    model_revision: str
    data: str
    data_revision: str
    config_hash: str
    seed: int
    shard: str
    device: str
    dtype: str
    started_at: datetime
    answer: str
    bin_source: str = ""
    score: float = 0.0
    exact: bool = False
    prefix_ok: bool = False
    first_char_ok: bool = False
    cer: float | None = None
    wer: float | None = None
    response: str | None = None
    graded: str | None = None
    outcome: str | None = None
    truncated: bool | None = None
    adapter: str | None = None
    error: str | None = None
    density: float | None = None
    page_hash: str | None = None
    pages: int | None = None
    page_pixels: int | None = None
    image_bytes_raw: int | None = None
    image_bytes: int | None = None
    vision_tokens_full: int | None = None
    vision_tokens: int | None = None
    token_bytes_raw: int | None = None
    token_bytes: int | None = None
    prompt_tokens: int | None = None
    new_tokens: int | None = None
    kv_bytes: int | None = None
    render_ms: float | None = None
    encode_ms: float | None = None
    decode_ms: float | None = None
    vision_ms: float | None = None
    compress_ms: float | None = None
    prefill_ms: float | None = None
    decode_ms_per_token: float | None = None
    peak_memory_bytes: int | None = None
    subtask: str | None = None
    vision_pass_pages: int | None = None
    prefill_chunk: int | None = None
    token_bytes_pages: int | None = None

    @property
    def key(self) -> tuple[str, str]:
        """What a run holds exactly once."""
        return self.sample_id, self.config_hash


ARROW = {
    str: pa.string(),
    int: pa.int64(),
    float: pa.float64(),
    bool: pa.bool_(),
    datetime: pa.timestamp("us", tz="UTC"),
}


def _column(name: str, hint: object) -> pa.Field:
    if get_origin(hint) in (Union, types.UnionType):
        (inner,) = (a for a in get_args(hint) if a is not type(None))
        return pa.field(name, ARROW[inner])
    return pa.field(name, ARROW[hint], nullable=False)  # type: ignore[index]


SCHEMA = pa.schema([_column(name, hint) for name, hint in get_type_hints(Row).items()])


def to_table(rows: Iterable[Row]) -> pa.Table:
    """Rows as an Arrow table of `SCHEMA`."""
    names = [f.name for f in fields(Row)]
    return pa.Table.from_pylist([{n: getattr(row, n) for n in names} for row in rows], schema=SCHEMA)


def conform(table: pa.Table, where: object) -> pa.Table:
    """A table of this or an older version of freqq with the columns of `SCHEMA`: what was not measured then is null.

    Raises
    ------
    FreqqError
        If it has columns that are not known, lacks some that every row must have, or holds other types.
    """
    if table.schema.equals(SCHEMA):
        return _renamed(table.replace_schema_metadata(None))
    if unknown := [name for name in table.column_names if name not in SCHEMA.names]:
        raise FreqqError(f"{where} has the unknown columns {', '.join(unknown)}: read it with the freqq that wrote it")
    lacking = [field for field in SCHEMA if field.name not in table.column_names]
    if needed := [field.name for field in lacking if not field.nullable]:
        raise FreqqError(f"{where} lacks the columns {', '.join(needed)}: it is of another program or too old to read")
    for field in lacking:
        table = table.append_column(field, pa.nulls(len(table), field.type))
    try:
        return _renamed(table.select(SCHEMA.names).cast(SCHEMA))
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, ValueError) as error:
        raise FreqqError(f"{where} has columns of other types ({' '.join(str(error).split())[:200]})") from error


def _renamed(table: pa.Table) -> pa.Table:
    """The table with the baseline under its present name."""
    former = pc.equal(table["method"], FORMERLY)
    if not pc.any(former).as_py():
        return table
    methods = pc.if_else(former, BASELINE, table["method"])
    return table.set_column(table.column_names.index("method"), SCHEMA.field("method"), methods)


def from_table(table: pa.Table) -> list[Row]:
    """The rows of a table of `SCHEMA`."""
    columns = (table[f.name].to_pylist() for f in fields(Row))
    return [Row(*values) for values in zip(*columns, strict=True)]
