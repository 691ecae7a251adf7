"""The longest run of words that a text shares with any of many others, exactly.

All words are numbered, and all suffixes are sorted by names of runs of 1, 2, 4, ... words. The name of a run of 2n
words is the rank of the names of its halves (R. Karp, R. Miller, A. Rosenberg, Rapid identification of repeated
patterns in strings, trees and arrays, STOC 1972; U. Manber, G. Myers, Suffix arrays, SIAM J. Comput. 22, 1993). A
suffix shares its longest run with the nearest suffix of another text on either side of it in that order.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

_IN_NO_QUERY, _BARRIER = 0, 1  # two numbers, so that a gap of one side never equals a gap of the other
_N_GAPS = 2


@dataclass(frozen=True)
class SharedRun:
    """`n_words` words of a query from word `begin` on that are also in text number `text` (None without any)."""

    begin: int
    n_words: int
    text: int | None


def longest_shared_runs(queries: Sequence[Sequence[str | None]], texts: Sequence[Sequence[str]]) -> list[SharedRun]:
    """For each query (its words; None is a gap that no run crosses) the first of its longest runs in any text. Takes
    time in proportion to n log n of all words and log of the longest query's."""
    numbers: dict[str | None, int] = {None: _BARRIER}
    query_words, query_of = _numbered(queries, numbers, _BARRIER, grows=True)
    text_words, text_of = _numbered(texts, numbers, _IN_NO_QUERY, grows=False)
    if not len(text_words):
        return [SharedRun(0, 0, None) for _ in queries]
    names = _names_of_runs(np.concatenate([text_words, query_words]), max(map(len, queries), default=0))
    lengths, places = _longest_matches(names, len(text_words))
    found = []
    bounds = np.searchsorted(query_of, np.arange(len(queries) + 1)).tolist()
    for begin, end in pairwise(bounds):
        best = begin + int(lengths[begin:end].argmax())
        n_words = int(lengths[best])
        found.append(SharedRun(best - begin, n_words, int(text_of[places[best]])) if n_words else SharedRun(0, 0, None))
    return found


def _numbered(
    sequences: Sequence[Sequence[str | None]], numbers: dict[str | None, int], gap: int, *, grows: bool
) -> tuple[np.ndarray, np.ndarray]:
    """The words of all sequences as numbers, each sequence with a gap after it, and the sequence of each word. Adds new
    words to `numbers` if it `grows`; else they are gaps, and consecutive gaps become one."""
    if grows:
        for sequence in sequences:
            for word in sequence:
                numbers.setdefault(word, len(numbers) + _N_GAPS - 1)
    words = [numbers.get(word, gap) for sequence in sequences for word in (*sequence, "")]
    owners = np.repeat(np.arange(len(sequences)), [len(sequence) + 1 for sequence in sequences])
    array = np.array(words, dtype=np.int64)
    if grows:
        return array, owners
    kept = np.ones(len(array), dtype=bool)
    kept[1:] = (array[1:] != gap) | (array[:-1] != gap)
    return array[kept], owners[kept]


def _names_of_runs(words: np.ndarray, longest: int) -> list[np.ndarray]:
    """For runs of 1, 2, 4, ... words, up to `longest` or more: a name for the run from each place on. Two places have
    the same name if and only if their runs are equal; names are in the order of the runs."""
    names = [words.astype(np.int32)]
    while 1 << (len(names) - 1) < longest:
        half = names[-1].astype(np.int64)
        after_half = np.zeros_like(half)
        after_half[: -(1 << (len(names) - 1))] = half[1 << (len(names) - 1) :]
        _, ranks = np.unique(half * (half.max() + 1) + after_half, return_inverse=True)
        names.append(ranks.astype(np.int32))
    return names


def _longest_matches(names: Sequence[np.ndarray], n_text: int) -> tuple[np.ndarray, np.ndarray]:
    """For each place after the first `n_text`: the length of its longest match among those, and the match's place."""
    order = np.argsort(names[-1], kind="stable")
    is_text = order < n_text
    ranks = np.arange(len(order))
    before = np.maximum.accumulate(np.where(is_text, ranks, -1))
    after = np.minimum.accumulate(np.where(is_text, ranks, len(order))[::-1])[::-1]
    of_queries = np.flatnonzero(~is_text)
    queries = order[of_queries]
    lengths, places = np.zeros(len(order) - n_text, dtype=np.int64), np.zeros(len(order) - n_text, dtype=np.int64)
    for neighbors in (before[of_queries], after[of_queries]):
        known = (neighbors >= 0) & (neighbors < len(order))
        mine, other = queries[known], order[neighbors[known]]
        shared = _shared_lengths(names, mine, other)
        longer = shared > lengths[mine - n_text]
        lengths[mine[longer] - n_text] = shared[longer]
        places[mine[longer] - n_text] = other[longer]
    return lengths, places


def _shared_lengths(names: Sequence[np.ndarray], a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """How many words the runs from the places `a` and `b` on have in common."""
    shared = np.zeros(len(a), dtype=np.int64)
    for level in reversed(range(len(names))):
        last = len(names[level]) - 1
        equal = names[level][np.minimum(a + shared, last)] == names[level][np.minimum(b + shared, last)]
        shared += equal * (1 << level)
    return shared
