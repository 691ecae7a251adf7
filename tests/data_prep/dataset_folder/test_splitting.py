from collections import Counter

import pytest

from data_prep.dataset_folder import SplitSizes, assign_splits, group_position, split_of
from data_prep.dataset_folder.splitting import effective_groups, within_group_limit
from pipelines.errors import UserError

SIZES = SplitSizes(validation=0.1, test=0.2)
GROUPS = [f"module_{number}" for number in range(5000)]


def test_split_shares_are_near_the_sizes_asked_for():
    splits = [split_of(group, 0, SIZES) for group in GROUPS]
    assert abs(splits.count("test") / len(GROUPS) - 0.2) < 0.02
    assert abs(splits.count("validation") / len(GROUPS) - 0.1) < 0.02


def test_a_split_depends_on_the_seed_and_the_group_only():
    assert [split_of(g, 0, SIZES) for g in GROUPS[:50]] == [split_of(g, 0, SIZES) for g in GROUPS[:50]]
    assert [split_of(g, 0, SIZES) for g in GROUPS[:50]] != [split_of(g, 1, SIZES) for g in GROUPS[:50]]


def test_the_position_of_a_group_never_changes():
    # constants: another hash or another byte order would move every published test row
    positions = {group: round(group_position(group, 0), 6) for group in ("json.decoder", "csv", "é")}
    assert positions == {"json.decoder": 0.606929, "csv": 0.105154, "é": 0.472412}
    assert round(group_position("csv", 1), 6) == 0.857701


def test_adding_groups_moves_no_other_group():
    few, many = assign_splits(GROUPS[:200], 0, SIZES), assign_splits(GROUPS, 0, SIZES)
    assert all(many[group] == split for group, split in few.items())


def test_a_larger_validation_split_leaves_the_test_split_as_it_was():
    before = {g for g in GROUPS if split_of(g, 0, SplitSizes(0.05, 0.1)) == "test"}
    assert before == {g for g in GROUPS if split_of(g, 0, SplitSizes(0.3, 0.1)) == "test"}


@pytest.mark.parametrize("n_groups", [3, 4, 7])
@pytest.mark.parametrize("seed", range(20))
def test_no_wanted_split_is_empty_from_three_groups_on(n_groups, seed):
    splits = assign_splits(GROUPS[:n_groups], seed, SplitSizes(0.01, 0.01))
    assert set(splits.values()) == {"train", "validation", "test"}


@pytest.mark.parametrize("seed", range(20))
def test_train_is_never_empty_even_with_one_group(seed):
    assert assign_splits(["only"], seed, SplitSizes(0.45, 0.45)) == {"only": "train"}


def test_a_size_of_zero_gives_no_such_split():
    assert set(assign_splits(GROUPS[:300], 0, SplitSizes(0.0, 0.1)).values()) == {"train", "test"}


@pytest.mark.parametrize(("validation", "test"), [(-0.1, 0.1), (0.5, 0.5), (1.0, 0.0), (float("nan"), 0.1)])
def test_sizes_that_leave_no_training_split_are_refused(validation, test):
    with pytest.raises(UserError, match="leave no training split"):
        SplitSizes(validation, test)


MODULES = [88, 39, 21, 14, 8, 6, 5, 5, 4, 3, 3, 2, 2, 1, 1, 1, 1, 1]


def rows_of(sizes: list[int]) -> list[dict[str, str]]:
    return [
        {"group": f"module {group}", "source": "tree", "source_row": f"function {number}"}
        for group, size in enumerate(sizes)
        for number in range(size)
    ]


def test_no_group_has_more_than_a_tenth_of_a_held_out_split_and_no_row_vanishes():
    rows = rows_of(MODULES)
    kept, left_out = within_group_limit(rows, 0)
    sizes = Counter(row["group"] for row in kept)
    assert sorted(sizes.values(), reverse=True) == [7, 7, 7, 7, 7, 6, 5, 5, 4, 3, 3, 2, 2, 1, 1, 1, 1, 1]
    assert max(sizes.values()) <= len(kept) / 10
    assert [row for row in rows if row in kept] == kept, "in their order"
    assert sorted(map(str, kept + left_out)) == sorted(map(str, rows))
    assert round(effective_groups(rows), 1) == 4.2
    assert round(effective_groups(kept), 1) == 13.0


@pytest.mark.parametrize("sizes", [[50, 3, 2], [100, *[1] * 8], [7] * 12, [1] * 30, []])
def test_a_split_of_few_groups_or_of_equal_ones_is_kept_whole(sizes):
    rows = rows_of(sizes)
    assert within_group_limit(rows, 0) == (rows, [])


def test_which_rows_of_a_large_group_are_kept_depends_on_their_names_and_the_seed():
    rows = rows_of([60, *[4] * 20])
    kept = within_group_limit(rows, 0)[0]
    assert sorted(map(str, within_group_limit(rows[::-1], 0)[0])) == sorted(map(str, kept))
    assert within_group_limit(rows, 1)[0] != kept
    more = rows + rows_of([0] * 30 + [4] * 10)
    assert all(row in within_group_limit(more, 0)[0] for row in kept), "a larger split keeps more of the group"
