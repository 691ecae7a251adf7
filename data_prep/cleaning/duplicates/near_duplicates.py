"""Near duplicates: rows whose question and answer are those of an earlier row but for a few words."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from data_prep.cleaning.duplicates.candidates import by_row
from data_prep.cleaning.duplicates.minhash import BandHashes, ComparisonText, signatures
from data_prep.cleaning.duplicates.near_equality import PreparedRow, replaced_words, row_similarity
from pipelines.errors import UserError

MIN_THRESHOLD = 0.5  # pairs below it are rarely candidates
MIN_FILLINGS, MIN_DIFFERENT_FILLINGS = 5, 0.8
_CHARS_AT_ONCE = 200_000
_ROWS_IN_MEMORY = 16


class NearDuplicateAction(StrEnum):
    """What happens to a near duplicate: it is left out, or it stays, in the split of the row it is like."""

    REJECT = "reject"
    GROUP = "group"


@dataclass(frozen=True)
class NearDuplicateOptions:
    """Options of the step `near_duplicates`.

    `threshold` is the least Jaccard similarity of two rows' pairs of neighboring words: five changed words in fifty
    make it 0.66. Documents have their own: files of one kind share much. Rows of fewer than `min_words` words are not
    compared. More `n_bands` miss fewer pairs; each takes 4 bytes of a row.
    """

    threshold: float = 0.55
    document_threshold: float = 0.85
    min_words: int = 20
    n_bands: int = 24
    action: NearDuplicateAction = NearDuplicateAction.REJECT

    def __post_init__(self) -> None:
        """Raise `UserError` for values that cannot be used."""
        for name, value in (("threshold", self.threshold), ("document_threshold", self.document_threshold)):
            if not MIN_THRESHOLD <= value <= 1:
                problem = f"near_duplicates: {name} is {value}, expected {MIN_THRESHOLD} to 1"
                raise UserError(problem, "0.55 finds rows with five changed words in forty, 0.8 with five in a hundred")
        for name, value, limits, default in (
            ("min_words", self.min_words, (1, 10**6), "20: shorter rows are hard to judge"),
            ("n_bands", self.n_bands, (8, 128), "24: it finds nearly all pairs"),
        ):
            if not limits[0] <= value <= limits[1]:
                problem = f"near_duplicates: {name} is {value}, expected {limits[0]} to {limits[1]}"
                raise UserError(problem, f"the default is {default}")
        if self.action not in list(NearDuplicateAction):
            problem = f"near_duplicates: action is {self.action!r}, expected reject or group"
            raise UserError(problem, "reject leaves near duplicates out, group keeps them in one split")


@dataclass(frozen=True, slots=True)
class NearDuplicate:
    """A row, the earlier row that is kept for it, and their similarity. Rows are numbered in source order."""

    row: int
    kept_row: int
    similarity: float


def band_hashes(rows: Sequence[ComparisonText], options: NearDuplicateOptions) -> BandHashes:
    """Return the MinHash bands of each row as (rows, `n_bands`) numbers of 32 bits; zeros for rows not compared."""
    found = [signatures(part, options.n_bands, options.min_words) for part in _parts(rows)]
    return np.concatenate(found) if found else np.zeros((0, options.n_bands), np.uint32)


def _parts(rows: Sequence[ComparisonText]) -> Iterator[list[ComparisonText]]:
    """Yield the rows in lists of at most `_CHARS_AT_ONCE`, or of one longer row."""
    part: list[ComparisonText] = []
    n_chars = 0
    for row in rows:
        n_more = sum(map(len, row.questions)) + sum(map(len, row.answers))
        if part and n_chars + n_more > _CHARS_AT_ONCE:
            yield part
            part, n_chars = [], 0
        part.append(row)
        n_chars += n_more
    if part:
        yield part


def near_duplicates(
    pairs: NDArray[np.uint64], texts_of: Callable[[int], ComparisonText], options: NearDuplicateOptions
) -> list[NearDuplicate]:
    """Return the near duplicates, in order, among `candidate_pairs`; `texts_of` reads the texts of a row.

    The first row in order is kept, and a row is compared with rows that are kept. With the action `group` nothing is
    left out: `kept_row` is then the first row of the cluster, whose rows may be alike over others between them.
    """
    clusters = _Clusters(texts_of, options)
    for row, candidates in by_row(pairs):
        clusters.add(row, candidates)
    in_templates = clusters.remove_templates()
    if in_templates:
        for row, candidates in by_row(pairs):
            if row in in_templates:
                clusters.add(row, candidates, may_replace_words=False)
    return [NearDuplicate(row, *clusters.kept[row]) for row in sorted(clusters.kept)]


def joined_groups(groups: NDArray[np.uint64], found: Iterable[NearDuplicate]) -> dict[int, int]:
    """Return a row of the group that each group joins so that near duplicates are in one group.

    `groups` has the number of each row's group. Groups are joined whole: the rows of a conversation tree stay together.
    """
    joined: dict[int, int] = {}

    def last(group: int) -> int:
        while group in joined:
            group = joined[group]
        return group

    row_of: dict[int, int] = {}
    for one in found:
        group, kept_group = last(int(groups[one.row])), last(int(groups[one.kept_row]))
        row_of.setdefault(int(groups[one.kept_row]), one.kept_row)
        if group != kept_group:
            joined[group] = kept_group
    return {group: row_of[last(group)] for group in joined}


class _Clusters:
    """The near duplicates found so far, each with the first row of its cluster and a similarity."""

    def __init__(self, texts_of: Callable[[int], ComparisonText], options: NearDuplicateOptions) -> None:
        self.kept: dict[int, tuple[int, float]] = {}
        self._fillings: dict[int, dict[int, int]] = defaultdict(dict)
        self._read = lru_cache(maxsize=_ROWS_IN_MEMORY)(lambda row: PreparedRow(texts_of(row)))
        self._options = options

    def add(self, row: int, candidates: Iterable[int], may_replace_words: bool = True) -> None:
        """Compare a row with earlier rows, or with those they are kept under, until one is alike."""
        if self._options.action == NearDuplicateAction.REJECT:
            candidates = sorted({self._first(one) for one in candidates})
        mine = self._read(row)
        threshold = self._options.threshold if mine.text.questions else self._options.document_threshold
        for other in candidates:
            yours = self._read(other)
            words = None if may_replace_words else replaced_words(mine, yours)
            similarity = None if words else row_similarity(mine, yours, threshold)
            if similarity is not None:
                self.kept[row] = self._first(other), round(similarity, 3)
                if may_replace_words and (words := replaced_words(mine, yours)):
                    self._fillings[self._first(other)][row] = crc32(b" ".join(sorted(words)))
                return

    def remove_templates(self) -> set[int]:
        """Remove and return the rows that differ from their first row in words of the question, mostly each in its own.

        Two such rows look like one that was edited; that there are many tells that their template was filled.
        """
        rows = {
            row
            for fillings in self._fillings.values()
            if len(fillings) >= MIN_FILLINGS and len({*fillings.values()}) > MIN_DIFFERENT_FILLINGS * len(fillings)
            for row in fillings
        }
        for row in rows:
            del self.kept[row]
        return rows

    def _first(self, row: int) -> int:
        return self.kept[row][0] if row in self.kept else row
