import pytest

from data_prep.dataset_folder import SplitSizes, assign_splits, group_position, split_of
from pipelines.errors import UserError

SIZES = SplitSizes(validation=0.1, test=0.2)
GROUPS = [f"module_{number}" for number in range(5000)]


def test_split_shares_are_near_the_sizes_asked_for() -> None:
    splits = [split_of(group, 0, SIZES) for group in GROUPS]
    assert abs(splits.count("test") / len(GROUPS) - 0.2) < 0.02
    assert abs(splits.count("validation") / len(GROUPS) - 0.1) < 0.02


def test_a_split_depends_on_the_seed_and_the_group_only() -> None:
    assert [split_of(g, 0, SIZES) for g in GROUPS[:50]] == [split_of(g, 0, SIZES) for g in GROUPS[:50]]
    assert [split_of(g, 0, SIZES) for g in GROUPS[:50]] != [split_of(g, 1, SIZES) for g in GROUPS[:50]]


def test_the_position_of_a_group_never_changes() -> None:
    # constants: another hash or another byte order would move every published test row
    positions = {group: round(group_position(group, 0), 6) for group in ("json.decoder", "csv", "é")}
    assert positions == {"json.decoder": 0.606929, "csv": 0.105154, "é": 0.472412}
    assert round(group_position("csv", 1), 6) == 0.857701


def test_adding_groups_moves_no_other_group() -> None:
    few, many = assign_splits(GROUPS[:200], 0, SIZES), assign_splits(GROUPS, 0, SIZES)
    assert all(many[group] == split for group, split in few.items())


def test_a_larger_validation_split_leaves_the_test_split_as_it_was() -> None:
    before = {g for g in GROUPS if split_of(g, 0, SplitSizes(0.05, 0.1)) == "test"}
    assert before == {g for g in GROUPS if split_of(g, 0, SplitSizes(0.3, 0.1)) == "test"}


@pytest.mark.parametrize("n_groups", [3, 4, 7])
@pytest.mark.parametrize("seed", range(20))
def test_no_wanted_split_is_empty_from_three_groups_on(n_groups: int, seed: int) -> None:
    splits = assign_splits(GROUPS[:n_groups], seed, SplitSizes(0.01, 0.01))
    assert set(splits.values()) == {"train", "validation", "test"}


@pytest.mark.parametrize("seed", range(20))
def test_train_is_never_empty_even_with_one_group(seed: int) -> None:
    assert assign_splits(["only"], seed, SplitSizes(0.45, 0.45)) == {"only": "train"}


def test_a_size_of_zero_gives_no_such_split() -> None:
    assert set(assign_splits(GROUPS[:300], 0, SplitSizes(0.0, 0.1)).values()) == {"train", "test"}


@pytest.mark.parametrize(("validation", "test"), [(-0.1, 0.1), (0.5, 0.5), (1.0, 0.0), (float("nan"), 0.1)])
def test_sizes_that_leave_no_training_split_are_refused(validation: float, test: float) -> None:
    with pytest.raises(UserError, match="together leave a training split"):
        SplitSizes(validation, test)
