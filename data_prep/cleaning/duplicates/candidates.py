"""Candidate pairs: rows that agree in several bands of their MinHash signatures, in time linear in the rows."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data_prep.cleaning.duplicates.minhash import NOT_COMPARED, BandHashes

MIN_EQUAL_BANDS = 3
MAX_CANDIDATES = 4  # of a row: the earlier rows that agree with it in most bands
N_NEIGHBORS = 4  # in a bucket: a row is paired with its first row and with this many before it
_PAIRS_AT_ONCE = 100_000
_ROW_BITS = np.uint64(32)

Pairs = tuple[NDArray[np.uint64], NDArray[np.uint8]]  # (row << 32 | earlier row), number of equal bands


def candidate_pairs(bands: BandHashes, alive: NDArray[np.bool_]) -> NDArray[np.uint64]:
    """Return each row with the earlier rows it may be a near duplicate of, as `row << 32 | earlier row` in order.

    A bucket, the rows with the same number in a band, is sorted by the next band. Rows of a bucket of any size then
    stand next to those they are most like, and a row is paired with `N_NEIGHBORS` of them only.
    """
    found: Pairs = (np.empty(0, np.uint64), np.empty(0, np.uint8))
    for band in range(bands.shape[1]):
        members, buckets = _bucket_members(bands, band, alive)
        for pairs in _neighbors(members, buckets):
            for start in range(0, len(pairs), _PAIRS_AT_ONCE):
                found = _joined(found, _with_equal_bands(bands, pairs[start : start + _PAIRS_AT_ONCE]))
        found = _best(found)
    return found[0]


def cluster_pairs(clusters: NDArray[np.int64], alive: NDArray[np.bool_]) -> NDArray[np.uint64]:
    """Return pairs as `candidate_pairs` does, given the number of each row's cluster, -1 for none."""
    rows = np.flatnonzero(alive & (clusters >= 0))
    members = rows[np.argsort(clusters[rows], kind="stable")]
    parts = list(_neighbors(members, clusters[members]))
    return np.unique(np.concatenate(parts)) if parts else np.empty(0, np.uint64)


def by_row(pairs: NDArray[np.uint64]) -> Iterator[tuple[int, list[int]]]:
    """Yield each row of `candidate_pairs` with its earlier rows."""
    rows, earlier = pairs >> _ROW_BITS, pairs & np.uint64(0xFFFFFFFF)
    starts = _run_starts(rows)
    for start, n_earlier in zip(starts, np.diff(starts, append=len(rows)), strict=True):
        yield int(rows[start]), earlier[start : start + n_earlier].tolist()


def _bucket_members(
    bands: BandHashes, band: int, alive: NDArray[np.bool_]
) -> tuple[NDArray[np.int64], NDArray[np.uint32]]:
    """Return the rows that share their number in `band` with another row, bucket by bucket, and that number."""
    column = np.ascontiguousarray(bands[:, band])
    keys = np.flatnonzero(alive & (column != NOT_COMPARED)).astype(np.uint64)
    keys |= column[keys].astype(np.uint64) << _ROW_BITS
    keys.sort()
    same = (keys[1:] >> _ROW_BITS) == (keys[:-1] >> _ROW_BITS)
    is_member = np.zeros(len(keys), bool)
    is_member[1:] |= same
    is_member[:-1] |= same
    members = (keys[is_member] & np.uint64(0xFFFFFFFF)).astype(np.int64)
    next_column = bands[:, (band + 1) % bands.shape[1]]
    members = members[np.lexsort((members, next_column[members], column[members]))]
    return members, column[members]


def _neighbors(members: NDArray[np.int64], buckets: NDArray[Any]) -> Iterator[NDArray[np.uint64]]:
    """Yield packed pairs of each member with its bucket's first row and with the members before it."""
    starts = _run_starts(buckets)
    if not len(starts):
        return
    yield _packed(members, np.repeat(np.minimum.reduceat(members, starts), np.diff(starts, append=len(members))))
    for distance in range(1, N_NEIGHBORS + 1):
        same = buckets[distance:] == buckets[:-distance]
        if not same.any():
            return
        yield _packed(members[distance:][same], members[:-distance][same])


def _packed(rows: NDArray[np.int64], others: NDArray[np.int64]) -> NDArray[np.uint64]:
    later, earlier = np.maximum(rows, others), np.minimum(rows, others)
    packed = (later.astype(np.uint64) << _ROW_BITS) | earlier.astype(np.uint64)
    return packed[later != earlier]


def _with_equal_bands(bands: BandHashes, pairs: NDArray[np.uint64]) -> Pairs:
    """Return the pairs that agree in enough bands, and in how many."""
    later, earlier = pairs >> _ROW_BITS, pairs & np.uint64(0xFFFFFFFF)
    n_equal = (bands[later] == bands[earlier]).sum(axis=1, dtype=np.uint8)
    enough = n_equal >= MIN_EQUAL_BANDS
    return pairs[enough], n_equal[enough]


def _joined(found: Pairs, more: Pairs) -> Pairs:
    return np.concatenate([found[0], more[0]]), np.concatenate([found[1], more[1]])


def _best(found: Pairs) -> Pairs:
    """Return the pairs without repetition, and of each row at most `MAX_CANDIDATES`, in order."""
    pairs, first = np.unique(found[0], return_index=True)
    n_equal = found[1][first]
    rows = pairs >> _ROW_BITS
    by_rank = np.lexsort((pairs, ~n_equal, rows))
    starts = _run_starts(rows)
    rank = np.arange(len(rows)) - np.repeat(starts, np.diff(starts, append=len(rows)))
    kept = np.sort(by_rank[rank < MAX_CANDIDATES])
    return pairs[kept], n_equal[kept]


def _run_starts(values: NDArray[Any]) -> NDArray[np.int64]:
    """Return where each run of equal values starts."""
    return np.flatnonzero(np.concatenate([np.ones(len(values[:1]), bool), values[1:] != values[:-1]]))
