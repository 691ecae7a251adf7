"""Wilson's interval for a share and Newcombe's for the difference of paired shares."""

import numpy as np
import pytest

from pipelines.evaluation.statistics.shares import paired_difference_of_shares, share


def flags(n_both: int, n_first: int, n_second: int, n_neither: int) -> tuple[list[bool], list[bool]]:
    first = [True] * (n_both + n_first) + [False] * (n_second + n_neither)
    second = [True] * n_both + [False] * n_first + [True] * n_second + [False] * n_neither
    return first, second


def test_the_interval_is_that_of_a_published_example():
    """Complete response before and after consolidation therapy (Cavo et al. 2012), as the R package contingencytables
    computes Newcombe's square-and-add interval: -0.0621 (95% CI -0.1186 to -0.0046)."""
    before, after = flags(59, 6, 16, 80)
    estimate = paired_difference_of_shares(before, after)
    assert estimate.value == pytest.approx(-0.0621, abs=5e-5)
    assert estimate.ci95 == pytest.approx((-0.1186, -0.0046), abs=5e-5)
    assert estimate.n == 161
    assert paired_difference_of_shares(after, before).ci95 == pytest.approx((0.0046, 0.1186), abs=5e-5)


def test_all_against_none_has_no_interval_of_width_zero():
    estimate = paired_difference_of_shares([True] * 100, [False] * 100)
    squared_z = 1.959964**2
    wilson_distance = squared_z / (100 + squared_z)  # of 0 of 100 and of 100 of 100
    assert estimate.value == 1
    assert estimate.ci95 == pytest.approx((1 - 2**0.5 * wilson_distance, 1.0))


def test_equal_flags_differ_by_zero_within_a_narrow_interval():
    estimate = paired_difference_of_shares(*flags(60, 0, 0, 40))
    assert estimate.value == 0
    assert -0.03 < estimate.ci95[0] < 0 < estimate.ci95[1] < 0.03


def test_the_interval_holds_the_truth_about_as_often_as_it_says():
    generator = np.random.default_rng(0)
    n_hits = 0
    for _ in range(1000):
        ease = generator.random(80)  # the same prompts are easy for both
        a, b = generator.random(80) < ease**0.5, generator.random(80) < ease**2
        low, high = paired_difference_of_shares(a, b).ci95
        n_hits += low <= 2 / 3 - 1 / 3 <= high
    assert 0.93 <= n_hits / 1000 <= 0.98


def test_flags_that_are_no_pairs_are_refused():
    with pytest.raises(ValueError, match="flags in pairs"):
        paired_difference_of_shares([True, False], [True])


def test_a_share_has_wilsons_interval():
    assert share([True] * 20).ci95 == pytest.approx((0.8389, 1.0), abs=1e-4)
    newcombe_1998_table_1 = share([True] * 81 + [False] * 182)
    assert newcombe_1998_table_1.ci95 == pytest.approx((0.2553, 0.3662), abs=1e-4)
    for n in (4, 30, 77, 205, 1_000):
        assert share([True] * n).ci95[1] == share([True] * n).value == 1.0
        assert share([False] * n).ci95[0] == 0.0
