"""A seeded split by group: a group's split depends on its own name only, so adding rows moves no other row."""

import hashlib
from collections.abc import Iterable, Mapping

from data_prep.dataset_folder.schema import SplitSizes


def group_position(group: str, seed: int) -> float:
    """The place of `group` in [0, 1): uniform over groups, the same on every machine."""
    digest = hashlib.sha256(f"{seed}\0{group}".encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def split_of(group: str, seed: int, sizes: SplitSizes) -> str:
    """`"train"`, `"validation"` or `"test"`, by comparing the group's position with the split sizes."""
    position = group_position(group, seed)
    return next(split for split, (_, high) in _intervals(sizes).items() if position < high)


def assign_splits(groups: Iterable[str], seed: int, sizes: SplitSizes) -> dict[str, str]:
    """The split of each distinct group: `split_of`, then at most one group moved into each wanted split left empty.

    The group moved is the one whose position is nearest to the empty split's interval, taken from a split that
    keeps at least one group. With fewer groups than wanted splits some stay empty (never train).
    """
    splits = {group: split_of(group, seed, sizes) for group in sorted(set(groups))}
    for wanted in sizes.wanted():
        if wanted not in splits.values() and (group := _nearest_spare_group(splits, wanted, seed, sizes)) is not None:
            splits[group] = wanted
    return splits


def _intervals(sizes: SplitSizes) -> Mapping[str, tuple[float, float]]:
    # test first: a later change of the validation size then leaves the test split as it was
    edge = sizes.test + sizes.validation
    return {"test": (0.0, sizes.test), "validation": (sizes.test, edge), "train": (edge, 1.0)}


def _nearest_spare_group(splits: Mapping[str, str], wanted: str, seed: int, sizes: SplitSizes) -> str | None:
    low, high = _intervals(sizes)[wanted]
    members = list(splits.values())
    # train takes even the last group of another split: a dataset without training rows serves nobody
    spare = [group for group, split in splits.items() if wanted == "train" or members.count(split) > 1]

    def distance(group: str) -> tuple[float, str]:
        position = group_position(group, seed)
        return max(low - position, position - high, 0.0), group

    return min(spare, key=distance, default=None)
