"""Choose rows with arrays: duplicates, near duplicates, samples, splits. The same for any number of processes."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import TYPE_CHECKING, Any

from data_prep.building.job import Job
from data_prep.building.mixture import MixturePart, copies_of_rows, rows_not_sampled
from data_prep.building.shards import Shards
from data_prep.cleaning.duplicates.candidates import candidate_pairs, cluster_pairs
from data_prep.cleaning.duplicates.minhash import ComparisonText, comparison_text
from data_prep.cleaning.duplicates.near_duplicates import (
    NearDuplicate,
    NearDuplicateAction,
    joined_groups,
    near_duplicates,
)
from data_prep.cleaning.duplicates.semantic import semantic_duplicates
from data_prep.cleaning.row_texts import row_texts
from data_prep.dataset_folder import SPLITS, SplitSizes, over_group_limit, split_codes

if TYPE_CHECKING:
    from numpy import ndarray


class Fate(IntEnum):
    """Why a row is left out; the lower-case name is the reject reason."""

    KEPT = 0
    DUPLICATE = 1
    NEAR_DUPLICATE = 2
    NOT_SAMPLED = 3
    OVER_LIMIT = 4
    OVERLAPS_HELD_OUT = 5
    OVER_GROUP_LIMIT = 6
    SEMANTIC_DUPLICATE = 7

    @property
    def step(self) -> str | None:
        """The cleaning step that leaves such rows out."""
        is_step = self in (Fate.DUPLICATE, Fate.NEAR_DUPLICATE, Fate.SEMANTIC_DUPLICATE)
        name = "exact_duplicate" if self is Fate.DUPLICATE else self.name.lower()
        return f"{name}s" if is_step else None


@dataclass
class Choice:
    """What was decided for each row: its fate, its split (0 train, 1 validation, 2 test) and how often it is written.

    `details` has, for a near duplicate, the row that is kept and the similarity; `groups` the new group of a row that
    joins the group of another.
    """

    fates: "ndarray"
    splits: "ndarray"
    copies: "ndarray"
    numbers: "ndarray"
    details: dict[int, dict[str, Any]] = field(default_factory=dict)
    groups: dict[int, str] = field(default_factory=dict)

    def copies_in_train(self) -> "ndarray":
        """Return how often each row is written in training, 0 for rows of other splits or of none."""
        return self.copies * ((self.fates == Fate.KEPT) & (self.splits == SPLITS.index("train")))


@dataclass(frozen=True)
class ChoiceOptions:
    """How rows are sampled and split."""

    seed: int
    sizes: SplitSizes
    limit: int | None
    max_group_share: float
    parts: Sequence[MixturePart]


def choose_rows(shards: Shards, job: Job, options: ChoiceOptions) -> Choice:
    """Decide for every row whether it is kept, its split, and its number of copies."""
    import numpy as np

    numbers = shards.numbers()
    n_rows = len(numbers)
    choice = Choice(np.zeros(n_rows, np.uint8), np.zeros(n_rows, np.uint8), np.ones(n_rows, np.uint16), numbers)
    if job.step("exact_duplicates"):
        choice.fates[repeated_keys(numbers["key"])] = Fate.DUPLICATE
    if step := job.step("near_duplicates"):
        _mark_near_duplicates(shards, choice, step.options, job.has_clusters)
    if step := job.step("semantic_duplicates"):
        _mark_semantic_duplicates(shards, choice, step.options)
    sources = shards.sources()
    alive = choice.fates == Fate.KEPT
    are_sampled = options.limit is not None or any(part.is_sampled for part in options.parts)
    positions = shards.positions(np.arange(n_rows), options.seed) if are_sampled else np.zeros(n_rows, np.uint64)
    choice.fates[rows_not_sampled(alive, sources, positions, options.parts)] = Fate.NOT_SAMPLED
    _mark_over_limit(choice, positions, options.limit)
    alive = np.flatnonzero(choice.fates == Fate.KEPT)
    choice.splits[alive] = split_codes(numbers["group"][alive], options.sizes)
    held_out = alive[numbers["overlaps"][alive] & (choice.splits[alive] == 0)]
    choice.fates[held_out] = Fate.OVERLAPS_HELD_OUT
    for split in (1, 2):
        rows = np.flatnonzero((choice.fates == Fate.KEPT) & (choice.splits == split))
        order = shards.positions(rows, options.seed, in_group=True)
        over = over_group_limit(numbers["group"][rows], order, options.max_group_share)
        choice.fates[rows[over]] = Fate.OVER_GROUP_LIMIT
    in_train = (choice.fates == Fate.KEPT) & (choice.splits == SPLITS.index("train"))
    choice.copies = copies_of_rows(in_train, sources, positions, options.parts)
    return choice


def repeated_keys(keys: "ndarray") -> "ndarray":
    """Return for each row whether an earlier row has the same 16-byte key."""
    import numpy as np

    halves = np.ascontiguousarray(keys).view(np.uint64).reshape(-1, 2)
    order = np.lexsort((halves[:, 1], halves[:, 0]))  # stable: equal keys stay in order
    repeated = np.zeros(len(keys), bool)
    repeated[order[1:]] = (halves[order[1:]] == halves[order[:-1]]).all(axis=1)
    return repeated


def _texts_of(shards: Shards) -> Callable[[int], ComparisonText]:
    return lambda number: comparison_text(row_texts(shards.row(number)))


def _mark_near_duplicates(shards: Shards, choice: Choice, step_options: Any, has_clusters: bool) -> None:
    alive = choice.fates == Fate.KEPT
    pairs = cluster_pairs(shards.clusters(), alive) if has_clusters else candidate_pairs(shards.bands(), alive)
    found = near_duplicates(pairs, _texts_of(shards), step_options)
    if step_options.action is NearDuplicateAction.GROUP:
        _join_groups(shards, choice, joined_groups(choice.numbers["group"], found))
    else:
        _mark_duplicates(shards, choice, found, Fate.NEAR_DUPLICATE)


def _mark_semantic_duplicates(shards: Shards, choice: Choice, step_options: Any) -> None:
    rows = (choice.fates == Fate.KEPT).nonzero()[0].tolist()
    found = semantic_duplicates(rows, _texts_of(shards), step_options)
    _mark_duplicates(shards, choice, found, Fate.SEMANTIC_DUPLICATE)


def _mark_duplicates(shards: Shards, choice: Choice, found: Iterable[NearDuplicate], fate: Fate) -> None:
    for one in found:
        kept = shards.row(one.kept_row)
        choice.fates[one.row] = fate
        name = {"source": kept["source"], "source_row": kept["source_row"]}
        choice.details[one.row] = {"kept": name, "similarity": one.similarity}


def _join_groups(shards: Shards, choice: Choice, joined: Mapping[int, int]) -> None:
    """Give the rows of each group the group of another: `joined` has a row of that group for the group's position."""
    import numpy as np

    groups = choice.numbers["group"]
    rows = np.flatnonzero(np.isin(groups, np.array([*joined], groups.dtype)))
    names = {position: shards.row(row)["group"] for position, row in joined.items()}
    choice.groups.update({row: names[int(groups[row])] for row in rows.tolist()})
    groups[rows] = groups[[joined[int(position)] for position in groups[rows]]]


def _mark_over_limit(choice: Choice, positions: "ndarray", limit: int | None) -> None:
    """Keep a seeded sample of `limit` rows: those with the smallest positions."""
    import numpy as np

    alive = np.flatnonzero(choice.fates == Fate.KEPT)
    if limit is not None and len(alive) > limit:
        by_position = alive[np.argsort(positions[alive], kind="stable")]
        choice.fates[by_position[limit:]] = Fate.OVER_LIMIT


def group_sizes(choice: Choice) -> dict[str, list[int]]:
    """Return for each split the number of rows of each of its groups."""
    import numpy as np

    kept = choice.fates == Fate.KEPT
    groups = {split: choice.numbers["group"][kept & (choice.splits == code)] for code, split in enumerate(SPLITS)}
    return {split: np.unique(found, return_counts=True)[1].tolist() for split, found in groups.items()}
