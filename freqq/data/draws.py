"""Seeded, stratified draws of samples: shares stay in proportion, and a larger draw contains every smaller one."""

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
    """Samples in the order of the data, and the strata that they were drawn from (none for generated data)."""

    entries: tuple[Entry, ...]
    strata: tuple[Stratum, ...] = ()


def choose(strata: Mapping[str, str], limit: int, seed: int) -> set[str]:
    """At most `limit` of some ids, in proportion to their strata.

    Depends only on the ids, their strata, `limit` and `seed`, not on the order of the ids or the machine. A smaller
    limit gives a subset, and each stratum its exact share, rounded up or down (`apportion`). If there are fewer places
    than strata, larger strata come first, and the seed decides among equal ones.

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
    counts = apportion([len(members[name]) for name in names], limit)
    return {
        id
        for name, count in zip(names, counts, strict=True)
        for id in sorted(members[name], key=lambda id: _rank("sample", id, seed))[:count]
    }


def apportion(sizes: Sequence[int], limit: int) -> list[int]:
    """Divide `limit` places among groups in proportion to their sizes, by the quota method.

    Each group gets its exact share, rounded up or down, and never loses a place when `limit` grows (Balinski and Young,
    The Quota Method of Apportionment, American Mathematical Monthly 82, 1975). Ties go to the earlier group.
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
