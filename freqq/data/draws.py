"""Samples drawn by a seed: in proportion to their strata, and each larger draw with all of a smaller one."""

import hashlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from freqq.data.index import Entry


@dataclass(frozen=True)
class Stratum:
    """How many samples of a needle count and bin were drawn, and how many there are."""

    needles: int
    bin: str
    drawn: int
    there: int


@dataclass(frozen=True)
class Drawn:
    """Samples in the order of the data, and the strata that they were drawn from; none for data that are made."""

    entries: tuple[Entry, ...]
    strata: tuple[Stratum, ...] = ()


def chosen(strata: Mapping[str, str], limit: int, seed: int) -> set[str]:
    """So many of some ids, or all, in proportion to their strata.

    Depends on nothing but the ids, their strata, `limit` and `seed`: not on the order of the ids or the machine. What a
    smaller limit chooses is a subset, and each stratum has its exact share, rounded up or down (`apportioned`). Which
    strata a limit has that is smaller than their number is decided by their sizes and then by the seed.

    Parameters
    ----------
    strata : mapping
        Each id's stratum.
    """
    if limit >= len(strata):
        return set(strata)
    members: defaultdict[str, list[str]] = defaultdict(list)
    for id, name in strata.items():
        members[name].append(id)
    names = sorted(members, key=lambda name: _rank("stratum", name, seed))
    counts = apportioned([len(members[name]) for name in names], limit)
    return {
        id
        for name, count in zip(names, counts, strict=True)
        for id in sorted(members[name], key=lambda id: _rank("sample", id, seed))[:count]
    }


def apportioned(sizes: Sequence[int], limit: int) -> list[int]:
    """How many of `limit` places each of some groups gets, by the quota method.

    Each gets its exact share, rounded up or down, and none loses a place when there are more of them; of methods that
    add one place after another this one keeps both (Balinski and Young, The Quota Method of Apportionment, American
    Mathematical Monthly 82, 1975). Among equal claims the first group comes first.
    """
    total, counts = sum(sizes), [0] * len(sizes)
    for places in range(1, min(limit, total) + 1):
        below = [i for i, size in enumerate(sizes) if counts[i] * total < size * places]
        best = below[0]
        for i in below[1:]:  # by size / (count + 1), without rounding
            if sizes[i] * (counts[best] + 1) > sizes[best] * (counts[i] + 1):
                best = i
        counts[best] += 1
    return counts


def _rank(what: str, name: str, seed: int) -> bytes:
    return hashlib.sha256(f"{what}/{seed}/{name}".encode("utf-8", "surrogatepass")).digest()
