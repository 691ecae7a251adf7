"""pass@k against its definition: the share of all choices of k samples that hold one that passed."""

from itertools import combinations

import pytest

from pipelines.evaluation.code_execution import pass_at_k, pass_at_k_definition


@pytest.mark.parametrize("n", range(1, 9))
def test_it_is_the_share_of_all_choices_of_k_samples_with_one_that_passed(n: int) -> None:
    for c in range(n + 1):
        for k in range(1, n + 1):
            choices = list(combinations([True] * c + [False] * (n - c), k))
            assert pass_at_k(n, c, k) == pytest.approx(sum(map(any, choices)) / len(choices), abs=1e-12)


def test_many_samples_neither_overflow_nor_leave_the_unit_interval() -> None:
    assert pass_at_k(10_000, 1, 100) == pytest.approx(0.01)
    assert pass_at_k(10_000, 9_999, 5_000) == 1.0


@pytest.mark.parametrize(("n", "c", "k"), [(3, 4, 1), (3, -1, 1), (3, 1, 0), (3, 1, 4)])
def test_impossible_counts_are_refused(n: int, c: int, k: int) -> None:
    with pytest.raises(ValueError, match=f"n = {n}, c = {c}, k = {k}"):
        pass_at_k(n, c, k)


def test_each_k_is_a_metric_of_its_own() -> None:
    assert [pass_at_k_definition(k).name for k in (1, 10)] == ["pass_at_1", "pass_at_10"]
    assert pass_at_k_definition(10).label == "pass@10"
