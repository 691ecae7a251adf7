"""Split rows by group with a seed. A group's split depends on its name only: adding rows moves no row to another split.

With ten groups or more, no group has more than a tenth of the rows of validation or test, so that one large group does
not dominate a metric. The rows above that limit, chosen by their name and the seed, are in no split: a held-out group
stays completely held out.

A group is known by its position, the first 64 bits of a hash of seed and name: two of a million groups share one with
a probability of 3e-8.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from data_prep.dataset_folder.schema import SPLITS, SplitSizes

if TYPE_CHECKING:
    from numpy import ndarray

MAX_GROUP_SHARE = 0.1
Row = Mapping[str, Any]


def position_of(name: str, seed: int) -> int:
    """Return the position of `name` in [0, 2**64): uniform over names, the same on every machine."""
    digest = hashlib.sha256(f"{seed}\0{name}".encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:8], "big")


def position_in_group(group: str, source: str, source_row: str, seed: int) -> int:
    """Return the position that decides which rows of a group above the limit are kept."""
    return position_of(f"{group}\0{source}\0{source_row}", seed)


def group_position(group: str, seed: int) -> float:
    """Return the position of `group` in [0, 1)."""
    return position_of(group, seed) / 2**64


def split_of(group: str, seed: int, sizes: SplitSizes) -> str:
    """Return `"train"`, `"validation"` or `"test"`, by comparing the group's position with the split sizes."""
    position = group_position(group, seed)
    return next(split for split, (_, high) in _intervals(sizes).items() if position < high)


def assign_splits(groups: Iterable[str], seed: int, sizes: SplitSizes) -> dict[str, str]:
    """Return the split of each distinct group, as `split_codes` does."""
    import numpy as np

    distinct = sorted(set(groups))
    codes = split_codes(np.array([position_of(group, seed) for group in distinct], np.uint64), sizes)
    return {group: SPLITS[code] for group, code in zip(distinct, codes, strict=True)}


def split_codes(positions: "ndarray", sizes: SplitSizes) -> "ndarray":
    """Return for each row its split (0 train, 1 validation, 2 test), given the positions of the rows' groups (uint64).

    The split follows from the position; then one group moves into each wanted split that is empty: the one nearest to
    its interval, from a split that keeps at least one group. With fewer groups than wanted splits some stay empty
    (never train).
    """
    import numpy as np

    distinct, places = np.unique(positions, return_inverse=True)
    shares = distinct / 2.0**64
    edge = sizes.test + sizes.validation
    codes = np.where(shares < sizes.test, 2, np.where(shares < edge, 1, 0)).astype(np.uint8)
    for wanted in map(SPLITS.index, sizes.wanted()):
        if not (codes == wanted).any():
            # train takes even the last group of another split: a dataset needs training rows
            spare = np.flatnonzero((np.bincount(codes, minlength=3) > (0 if wanted == 0 else 1))[codes])
            if len(spare):
                low, high = _intervals(sizes)[SPLITS[wanted]]
                distance = np.maximum(np.maximum(low - shares[spare], shares[spare] - high), 0)
                codes[spare[np.argmin(distance)]] = wanted
    return codes[places]


def over_group_limit(groups: "ndarray", order: "ndarray", max_share: float = MAX_GROUP_SHARE) -> "ndarray":
    """Return which rows of one held-out split to leave out so that no group has more than `max_share` of the rest.

    `groups` and `order` are the rows' group positions and positions inside the group (uint64): the first are kept. If
    no limit can do that, as with fewer than ten groups for a tenth, all rows are kept.
    """
    import numpy as np

    _, places, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    limit = _group_limit(sizes, max_share)
    if limit is None:
        return np.zeros(len(groups), bool)
    sorted_rows = np.lexsort((order, places))
    starts = np.cumsum(sizes) - sizes
    over = np.empty(len(groups), bool)
    over[sorted_rows] = np.arange(len(groups)) - starts[places[sorted_rows]] >= limit
    return over


def within_group_limit(rows: Sequence[Row], seed: int) -> tuple[list, list]:
    """Return the `rows` of a held-out split that `over_group_limit` keeps, in order, and those it leaves out."""
    import numpy as np

    groups = np.array([position_of(row["group"], seed) for row in rows], np.uint64)
    names = ((row["group"], row["source"], row["source_row"]) for row in rows)
    order = np.array([position_in_group(*name, seed) for name in names], np.uint64)
    over = over_group_limit(groups, order, MAX_GROUP_SHARE)
    return [row for row, left_out in zip(rows, over, strict=True) if not left_out], [
        row for row, left_out in zip(rows, over, strict=True) if left_out
    ]


def effective_groups(rows: Sequence[Row]) -> float:
    """Return Kish's effective number of groups of rows; 0 without rows."""
    return effective_number(list(Counter(row["group"] for row in rows).values()))


def effective_number(sizes: Sequence[int]) -> float:
    """Return Kish's effective number of groups, (sum of n_g)^2 / sum of n_g^2; 0 without groups."""
    as_floats = [float(size) for size in sizes]
    return sum(as_floats) ** 2 / sum(size**2 for size in as_floats) if as_floats else 0.0


def _group_limit(sizes: "ndarray", max_share: float) -> int | None:
    """The largest number of rows per group that keeps every group within its share; None if there is none.

    The share of a group at its limit grows with the limit, so that a binary search finds it.
    """
    import numpy as np

    low, high = 0, int(sizes.max(initial=0))
    while low < high:
        middle = (low + high + 1) // 2
        if middle <= max_share * int(np.minimum(sizes, middle).sum()):
            low = middle
        else:
            high = middle - 1
    return low or None


def _intervals(sizes: SplitSizes) -> Mapping[str, tuple[float, float]]:
    # test first, so that another validation size does not change the test split
    edge = sizes.test + sizes.validation
    return {"test": (0.0, sizes.test), "validation": (sizes.test, edge), "train": (edge, 1.0)}
