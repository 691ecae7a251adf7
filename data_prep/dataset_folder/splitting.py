"""Split rows by group with a seed. A group's split depends on its name only: adding rows moves no row to another split.

With ten groups or more, no group has more than a tenth of the rows of validation or test, so that one large group does
not dominate a metric. The rows above that limit, chosen by their name and the seed, are in no split: a held-out group
stays completely held out.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from data_prep.dataset_folder.schema import SplitSizes

MAX_GROUP_SHARE = 0.1
Row = Mapping[str, Any]


def group_position(group: str, seed: int) -> float:
    """Return the position of `group` in [0, 1): uniform over groups, the same on every machine."""
    digest = hashlib.sha256(f"{seed}\0{group}".encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def split_of(group: str, seed: int, sizes: SplitSizes) -> str:
    """Return `"train"`, `"validation"` or `"test"`, by comparing the group's position with the split sizes."""
    position = group_position(group, seed)
    return next(split for split, (_, high) in _intervals(sizes).items() if position < high)


def assign_splits(groups: Iterable[str], seed: int, sizes: SplitSizes) -> dict[str, str]:
    """Return the split of each distinct group: `split_of`, then one group moved into each wanted split that is empty.

    The moved group is the one with the position nearest to the empty split's interval, from a split that keeps at least
    one group. With fewer groups than wanted splits some stay empty (never train).
    """
    splits = {group: split_of(group, seed, sizes) for group in sorted(set(groups))}
    for wanted in sizes.wanted():
        if wanted not in splits.values() and (group := _nearest_spare_group(splits, wanted, seed, sizes)) is not None:
            splits[group] = wanted
    return splits


def within_group_limit(rows: Sequence[Row], seed: int) -> tuple[list[Row], list[Row]]:
    """Return the `rows` of a held-out split, in order, so that no group has more than a tenth, and the rows left out.

    With fewer than ten groups, where no limit can do that, all rows are kept.
    """
    limit = _group_limit(list(Counter(row["group"] for row in rows).values()))
    if limit is None:
        return list(rows), []

    def position(place: int) -> float:
        row = rows[place]
        return group_position(f"{row['group']}\0{row['source']}\0{row['source_row']}", seed)

    n_kept: Counter[str] = Counter()
    kept = set()
    for place in sorted(range(len(rows)), key=position):
        if n_kept[rows[place]["group"]] < limit:
            n_kept[rows[place]["group"]] += 1
            kept.add(place)
    return [row for place, row in enumerate(rows) if place in kept], [
        row for place, row in enumerate(rows) if place not in kept
    ]


def effective_groups(rows: Sequence[Row]) -> float:
    """Return Kish's effective number of groups, (sum of n_g)^2 / sum of n_g^2; 0 without rows."""
    sizes = Counter(row["group"] for row in rows).values()
    return sum(sizes) ** 2 / sum(size**2 for size in sizes) if sizes else 0.0


def _group_limit(sizes: Sequence[int]) -> int | None:
    """The largest number of rows per group that keeps every group within its share; None if there is none."""
    largest = max(sizes, default=0)
    kept = ((limit, sum(min(size, limit) for size in sizes)) for limit in range(largest, 0, -1))
    return next((limit for limit, n_rows in kept if limit <= MAX_GROUP_SHARE * n_rows), None)


def _intervals(sizes: SplitSizes) -> Mapping[str, tuple[float, float]]:
    # test first, so that another validation size does not change the test split
    edge = sizes.test + sizes.validation
    return {"test": (0.0, sizes.test), "validation": (sizes.test, edge), "train": (edge, 1.0)}


def _nearest_spare_group(splits: Mapping[str, str], wanted: str, seed: int, sizes: SplitSizes) -> str | None:
    low, high = _intervals(sizes)[wanted]
    members = list(splits.values())
    # train takes even the last group of another split: a dataset needs training rows
    spare = [group for group, split in splits.items() if wanted == "train" or members.count(split) > 1]

    def distance(group: str) -> tuple[float, str]:
        position = group_position(group, seed)
        return max(low - position, position - high, 0.0), group

    return min(spare, key=distance, default=None)
