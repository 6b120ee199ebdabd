"""Page files that samples refer to: a run whose files changed is not continued, or its rows would be of two kinds.

They are no part of the data's revision, which covers the files that are given as data. What a shard found is kept in
the run, by sample, in ``.pages-*.json``: a digest of the content, and what the file system said of the files, by which
they are known again without being read.
"""

import hashlib
import json
import time
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from freqq.data.sample import Sample
from freqq.errors import UserError
from freqq.glm.file_digest import SETTLED_S
from freqq.runs.directory import write_json
from freqq.runs.parts import answered
from freqq.runs.shard import Shard

THREADS = 4
"""Samples whose files are read at once."""


def check_page_files(run: Path, samples: Sequence[Sample], shard: Shard | None = None) -> None:
    """Refuse page files that changed since the run found them first, and keep what a shard, if given, finds now.

    Those of a sample that failed may be repaired.

    Raises
    ------
    UserError
        If files changed of a sample that was answered, or not read yet.
    """
    files = {sample.id: sample.images for sample in samples if sample.images}
    if not files:
        return
    before: defaultdict[str, dict[str, str]] = defaultdict(dict)
    for path in run.glob(".pages-*.json"):
        with suppress(OSError, ValueError):
            for id, (digest, as_seen) in json.loads(path.read_text()).items():
                before[id][digest] = as_seen
    began = time.time()
    seen = {id: _seen(paths, began - SETTLED_S) for id, paths in files.items()}
    found = {id: digest for id in files for digest, as_seen in before[id].items() if as_seen and as_seen == seen[id]}
    unknown = [id for id in files if id not in found]
    if not unknown:
        return
    with ThreadPoolExecutor(THREADS, "freqq-pages") as pool:
        found |= zip(unknown, pool.map(_digest, [files[id] for id in unknown]), strict=True)
    failed = {id for id, _ in answered(run)} - {id for id, _ in answered(run, retry_failed=True)}
    if changed := [id for id in unknown if before[id] and found[id] not in before[id] and id not in failed]:
        raise UserError(
            f"page files of {changed[0]}{f' and {len(changed) - 1} more samples' * (len(changed) > 1)} changed since "
            f"{run} found them first: no more is answered. Restore them, or choose another --out"
        )
    if shard is not None:
        write_json(run / f".pages-{shard.index}-of-{shard.count}.json", {id: [found[id], seen[id]] for id in files})


def _digest(files: Sequence[Path]) -> str:
    """A SHA-256 of the content of files."""
    total = hashlib.sha256()
    for path in files:
        try:
            with path.open("rb") as file:
                total.update(hashlib.file_digest(file, "sha256").digest())
        except OSError as error:  # the sample's row will say so
            total.update(str(error.errno).encode())
    return total.hexdigest()[:32]


def _seen(files: Sequence[Path], settled: float) -> str:
    """What files are known by; empty if one may have changed after a time, and again within a tick of its clock."""
    try:
        found = [path.stat() for path in files]
    except OSError:
        return ""
    if max(max(one.st_mtime, one.st_ctime) for one in found) > settled:
        return ""
    known = [[one.st_ino, one.st_size, one.st_mtime_ns, one.st_ctime_ns] for one in found]
    return hashlib.sha256(json.dumps(known).encode()).hexdigest()[:32]
