"""Find a data set by name or path, and detect the format of its files."""

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain, islice
from os.path import isdir, isfile  # false, rather than an error, for a name that no file can have
from pathlib import Path

from freqq.data import mini_glyph, mrcr, ruler
from freqq.data.dataset import DataSet, Skipped
from freqq.data.formats import (
    JSONS,
    MRCR,
    SUFFIXES,
    TEXTS,
    File,
    Format,
    find_format,
    known,
    mrcr_samples,
    needles_in,
)
from freqq.data.mini import NEEDLES, REVISION, mini
from freqq.data.sample import Sample
from freqq.data.unpacked import SUFFIXES as PACKED
from freqq.data.unpacked import bare, opened
from freqq.errors import UserError
from freqq.names import unknown

GENERATED = ("mini", *ruler.MAKERS)
"""Data that are generated, without files or a download."""

DESCRIBED = {
    "mini": "MRCR in small, made here, in a look that tiny reads, or with --look glyph in one that small reads",
    "mrcr": f"{mrcr.HUB} from the hub or its cache: several needles in a chat, and one that is asked for",
    "ruler": "RULER, made here at any --context: " + ", ".join(ruler.MAKERS["ruler"].shortest),
    "ruler-mini": "RULER's single needles in the looks of mini, for trying things out with an embedded model",
    "a file or folder": "MRCR's, RULER's and LongBench's records, Glyph's files of all three, ConvBench's "
    "workbook, chats, plain text: the format is detected from the content",
}
"""Values of ``--data`` and their descriptions."""

NAMES = ("mini", "mrcr", mrcr.HUB, *ruler.MAKERS)
"""Data sets that can be loaded by name; ``mrcr`` is short for the one on the hub."""

WITH_LOOKS, LOOKS = ("mini", "ruler-mini"), ("glyph",)
"""Data sets that have alternative looks, and those looks."""

MOST_FILES = 1000
MOST_ENTRIES = 20_000
MINI_SAMPLES = 100
"""Default number of samples of `mini` per needle count."""

EXPORT, BESIDE_EXPORT = "conversations*.json*", ("chat.html", "user.json")
"""The chats in a folder of ChatGPT's export, and the files that identify it; its other JSON files hold no chats."""


@dataclass(frozen=True)
class _Found:
    """A readable file: its format, its needle counts, and the SHA-256 of its uncompressed content."""

    file: File
    format: Format
    needles: frozenset[int]
    digest: bytes

    @classmethod
    def inspect(cls, file: File, whole: bool) -> "_Found":
        """Inspect a file. It is decompressed to its end before anything in it is used."""
        format = find_format(file.path)
        with opened(file.path) as content:
            digest = hashlib.file_digest(content, "sha256").digest()  # type: ignore[arg-type]
        return cls(file, format, frozenset(needles_in(format, file, whole)), digest)


def load(name: str | Path, skip_bad: bool = False, look: str | None = None) -> DataSet:
    """A data set: a name of `NAMES`, or else a file or folder, whose format is detected from its content.

    - MRCR's records (Parquet, a JSON array, JSON Lines), or a folder of such files as the hub lays it out
    - Glyph's processed files (a JSON array, JSON Lines) of MRCR, RULER and LongBench
    - RULER's and LongBench's own records
    - ConvBench's workbook
    - chats as OpenAI messages, as ShareGPT or as ChatGPT's export (JSON, JSON Lines), or as plain text

    JSON and text may be compressed (gzip, Zstandard): samples, ids and revision are those of the uncompressed file. For
    a path that is also a name, write ``./mini``. Files are read when samples are drawn; JSON is also read once here, to
    find damage early.

    Parameters
    ----------
    skip_bad : bool
        Skip the files of a folder that cannot be read or differ in format from most of them; `DataSet.skipped` names
        them. All files are then read completely here. The revision is that of the remaining files.
    look : str, optional
        Another than its own, see `with_look`.

    Raises
    ------
    UserError
        If there is no such name or path, the files are damaged, of another schema, or of different formats, or have no
        such look.
    """
    if look is not None:
        return with_look(load(name, skip_bad), look)
    if str(name) == "mini":
        return DataSet("mini", "mini", REVISION, NEEDLES, "mrcr", partial(_by_needles, mini), generated=True)
    if str(name) in ruler.MAKERS:
        return DataSet.from_maker(str(name), ruler.MAKERS[str(name)])
    if str(name) in NAMES:
        return DataSet(
            mrcr.HUB, "mrcr", mrcr.REVISION, mrcr.NEEDLES, "mrcr", _hub, content=f"{mrcr.HUB} {mrcr.REVISION}",
            pick_ids=_hub_ids,
        )  # fmt: skip
    path = Path(name)
    if isfile(path):
        return _from_files(str(name), {bare(path).stem: path}, skip_bad=False)
    if isdir(path):
        return _from_files(str(name), _data_files(path), skip_bad)
    raise UserError(f"{unknown('data', str(name), NAMES)}; and there is no file or folder of that name")


def with_look(data: DataSet, look: str) -> DataSet:
    """Small generated data on pages of another look: ``glyph`` (`freqq.data.mini_glyph`).

    Raises
    ------
    UserError
        If the data have no such look.
    """
    if not data.own_look:
        raise UserError(f"--look is for --data {' and '.join(WITH_LOOKS)}, not for {data.name}: leave it out")
    if look not in LOOKS:
        raise unknown("look", look, LOOKS)
    if data.format == "mini":
        return replace(
            data, format="mini-glyph", revision=mini_glyph.REVISION, draw=partial(_by_needles, mini_glyph.mini_glyph)
        )
    return replace(DataSet.from_maker(data.name, ruler.IN_GLYPHS_LOOK), format=f"{data.format}-glyph")


def _by_needles(
    make: Callable[[int, int, int], Iterator[Sample]], needles: int | None, limit: int | None, seed: int
) -> Iterator[Sample]:
    counts = NEEDLES if needles is None else (needles,)
    return chain.from_iterable(make(n, MINI_SAMPLES if limit is None else limit, seed) for n in counts)


def _hub(needles: int | None, limit: int | None, seed: int) -> Iterator[Sample]:
    counts = [n for n in mrcr.NEEDLES if needles in (None, n)]
    return mrcr.samples(chain.from_iterable(mrcr.hub_records(n) for n in counts), needles)


def _hub_ids(needles: int, ids: Collection[str]) -> Iterator[Sample]:
    return mrcr.samples(mrcr.hub_records(needles), needles, ids)


def _from_files(name: str, paths: Mapping[str, Path], skip_bad: bool) -> DataSet:
    """A data set of files, given by the labels that ids begin with."""
    found: list[_Found] = []
    bad: list[tuple[Path, str]] = []
    for label, path in paths.items():
        try:
            found.append(_Found.inspect(File(path, label), whole=skip_bad))
        except (UserError, OSError) as error:
            reason = str(error)
            if isinstance(error, OSError):
                reason = f"cannot read {error.filename or path} ({error.strerror})"
            if not skip_bad:
                advice = "" if len(paths) == 1 else f"; to continue without this one of {len(paths)} files: --skip-bad"
                raise UserError(reason + advice) from error
            bad.append((path, reason))
    if not found:
        raise UserError(f"none of the {len(paths)} files of {name} can be read: {bad[0][1]}")
    [(usual, _), *others] = Counter(one.format.name for one in found).most_common()
    if others and not skip_bad:
        (other, second), (one, first) = list({f.format.name: f.file.path for f in reversed(found)}.items())[-2:]
        raise UserError(
            f"{name} mixes formats: {first.name} is {one}, {second.name} is {other}; give one file, or continue "
            f"with the {usual} files only: --skip-bad"
        )
    used = [one for one in found if one.format.name == usual]
    bad += [(f.file.path, f"{f.file.path} is {f.format.name}, not {usual}") for f in found if f not in used]
    needles = set().union(*(one.needles for one in used))
    if not needles:
        raise UserError(f"{name} has no chat with a message")
    return DataSet(
        name=name,
        format=usual,
        revision=hashlib.sha256(b"".join(one.digest for one in used)).hexdigest()[:16],
        needles=tuple(sorted(needles)),
        task=used[0].format.task,
        draw=partial(_draw, used),
        skipped=tuple(Skipped(path.relative_to(name).as_posix(), reason) for path, reason in sorted(bad)),
        content=json.dumps([usual, [[one.file.label, one.digest.hex()] for one in used]]),
        pick_ids=partial(_pick, used) if usual == MRCR.name else None,
    )


def _pick(files: Sequence[_Found], needles: int, ids: Collection[str]) -> Iterator[Sample]:
    return mrcr_samples([one.file for one in files if needles in one.needles], needles, ids)


def _draw(files: Sequence[_Found], needles: int | None, limit: int | None, seed: int) -> Iterator[Sample]:
    read = files[0].format.read
    return read([one.file for one in files if needles is None or needles in one.needles], needles)


def _data_files(folder: Path) -> dict[str, Path]:
    """The data files of a folder, sorted, by their relative names.

    Of several kinds only one is used: Parquet first, as in the hub's layout, and text last, which may be a README.
    """
    entries = list(islice(folder.rglob("*"), MOST_ENTRIES + 1))
    if len(entries) > MOST_ENTRIES:
        raise UserError(f"{folder} holds over {MOST_ENTRIES:,} files and folders; give the one with the data")
    hidden = [any(part.startswith(".") for part in path.relative_to(folder).parts) for path in entries]
    files = sorted(p for p, hide in zip(entries, hidden, strict=True) if not hide and _is_data(p) and isfile(p))
    for chosen in (lambda p: p.suffix == ".parquet", _is_export, lambda p: bare(p).suffix not in TEXTS):
        files = [path for path in files if chosen(path)] or files
    if not files:
        raise UserError(f"{folder} holds no data: expected {', '.join(SUFFIXES)} files; {known()}")
    if len(files) > MOST_FILES:
        raise UserError(f"{folder} holds {len(files):,} data files; the most is {MOST_FILES}. Give one of them")
    named: dict[str, Path] = {}
    for path in files:
        label = bare(path.relative_to(folder)).as_posix()
        if label in named:
            raise UserError(f"{folder} holds both {named[label].name} and {path.name}: move one of them elsewhere")
        named[label] = path
    return named


def _is_data(path: Path) -> bool:
    return path.suffix in SUFFIXES or (path.suffix in PACKED and bare(path).suffix in (*JSONS, *TEXTS))


def _is_export(path: Path) -> bool:
    return path.match(EXPORT) and any(isfile(path.with_name(name)) for name in BESIDE_EXPORT)
