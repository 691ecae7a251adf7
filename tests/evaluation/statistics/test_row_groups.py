"""Rows that depend on each other: 95% intervals by whole groups cover the truth, and by rows would not.

Groups have a shared part: intra-class correlations of 0.05 to 0.3, groups of one size and of very different sizes.
"""

import math

import numpy as np
import pytest

from pipelines.evaluation.prompts.prompt_sets import read_prompts
from pipelines.evaluation.statistics.intervals import (
    bootstrap_mean,
    bootstrap_ratio,
    paired_difference_of_means,
    paired_difference_of_ratios,
)
from pipelines.evaluation.statistics.row_groups import RowGroups, group_of, groups_by_instruction, labels_of
from pipelines.evaluation.statistics.shares import paired_difference_of_shares, share
from pipelines.evaluation.statistics.significance import permutation_test_of_sums
from tests.evaluation.plain_likelihood import paired_permutation_p_value
from tests.run_files import write_jsonl

N_SIMULATIONS = 400
SIZES = {
    "10 of 12": [12] * 10, "40 of 5": [5] * 40, "10 growing": [2, 4, 6, 8, 10, 12, 14, 16, 18, 20],
    "18, none above a tenth": [6, 6, 6, 6, 6, 6, 5, 5, 4, 3, 3, 2, 2, 1, 1, 1, 1, 1],
    "15 modules": [47, 25, 23, 14, 11, 10, 9, 6, 5, 5, 4, 4, 3, 2, 1],
    "18 modules, one of 88 rows": [88, 39, 21, 14, 8, 6, 5, 5, 4, 3, 3, 2, 2, 1, 1, 1, 1, 1],
}  # fmt: skip


def codes_of(name: str) -> np.ndarray:
    return np.repeat(np.arange(len(SIZES[name])), SIZES[name])


def dependent(generator: np.random.Generator, codes: np.ndarray, correlation: float) -> np.ndarray:
    """Normal values with mean 0 and variance 1, of which `correlation` is shared by all rows of a group."""
    shared = generator.normal(0, math.sqrt(correlation), codes.max() + 1)
    return shared[codes] + generator.normal(0, math.sqrt(1 - correlation), len(codes))


def share_of(hits: list[bool]) -> float:
    return sum(hits) / len(hits)


@pytest.mark.parametrize("correlation", [0.05, 0.3])
@pytest.mark.parametrize("name", SIZES)
def test_intervals_of_means_cover_the_truth_by_groups_and_not_by_rows(name, correlation):
    generator = np.random.default_rng(1)
    codes = codes_of(name)
    by_group, by_row = [], []
    for seed in range(N_SIMULATIONS):
        values = dependent(generator, codes, correlation)
        estimate = bootstrap_mean(values, groups=list(codes), seed=seed, n_resamples=1_000)
        by_group.append(estimate.ci95[0] <= 0 <= estimate.ci95[1])
        if seed < N_SIMULATIONS / 4:
            low, high = bootstrap_mean(values, seed=seed, n_resamples=1_000).ci95
            by_row.append(low <= 0 <= high)
    # of too few groups, of which nothing is claimed, intervals may be wider than they need to be
    assert 0.91 <= share_of(by_group) <= (1.0 if estimate.has_too_few_groups else 0.985), share_of(by_group)
    assert share_of(by_row) < (0.95 if correlation < 0.1 else 0.85), share_of(by_row)


def test_over_all_sizes_95_percent_intervals_cover_92_to_98_percent():
    """Ratios weighted by lengths, as bits per byte are, and their paired differences."""
    generator = np.random.default_rng(2)
    figures, differences, naive = [], [], []
    for name in SIZES:
        codes = codes_of(name)
        for seed in range(N_SIMULATIONS // 4):
            for correlation in (0.05, 0.15, 0.3):
                n_bytes = np.exp(generator.normal(0, 0.6, len(codes)))
                bits = n_bytes * (2 + dependent(generator, codes, correlation))
                other = bits + n_bytes * (0.5 + 0.5 * dependent(generator, codes, correlation))
                options = {"groups": list(codes), "seed": seed, "n_resamples": 800}
                figure = bootstrap_ratio(bits, n_bytes, **options)  # type: ignore[arg-type]
                difference = paired_difference_of_ratios(other, n_bytes, bits, n_bytes, **options)  # type: ignore[arg-type]
                by_row = paired_difference_of_ratios(other, n_bytes, bits, n_bytes, seed=seed, n_resamples=800)
                figures.append(figure.ci95[0] <= 2 <= figure.ci95[1])
                differences.append(difference.ci95[0] <= 0.5 <= difference.ci95[1])
                naive.append(by_row.ci95[0] <= 0.5 <= by_row.ci95[1])
    assert 0.92 <= share_of(figures) <= 0.98, share_of(figures)
    assert 0.92 <= share_of(differences) <= 0.98, share_of(differences)
    assert share_of(naive) < 0.85, share_of(naive)


@pytest.mark.parametrize("correlation", [0.05, 0.15, 0.3])
def test_intervals_of_shares_cover_the_truth_by_groups_and_not_by_rows(correlation):
    """Flags whose probability is drawn for each group from a beta distribution of that intra-class correlation."""
    generator = np.random.default_rng(3)
    by_group, by_row = [], []
    for name in SIZES:
        codes = codes_of(name)
        for truth in (0.5, 0.8, 0.95):
            shape = (1 - correlation) / correlation
            for _ in range(N_SIMULATIONS // 2):
                p = generator.beta(truth * shape, (1 - truth) * shape, codes.max() + 1)
                flags = generator.random(len(codes)) < p[codes]
                for groups, hits in ((list(codes), by_group), (None, by_row)):
                    low, high = share(flags, groups).ci95
                    hits.append(low <= truth <= high)
    assert 0.92 <= share_of(by_group) <= 0.98, share_of(by_group)
    assert share_of(by_row) < 0.9, share_of(by_row)


@pytest.mark.parametrize(("first", "second"), [(0.5, 0.5), (0.9, 0.6), (0.97, 0.05)])
def test_intervals_of_paired_shares_cover_the_truth_by_groups_and_not_by_rows(first, second):
    from statistics import NormalDist

    generator = np.random.default_rng(4)
    by_group, by_row = [], []
    for name in SIZES:
        codes = codes_of(name)
        for _ in range(N_SIMULATIONS // 2):
            # difficulty is shared by both models: half of it by the group, the rest by the prompt
            ease = 0.7 * dependent(generator, codes, 0.3)
            a, b = (
                ease + math.sqrt(1 - 0.49) * dependent(generator, codes, 0.3) < NormalDist().inv_cdf(truth)
                for truth in (first, second)
            )
            for groups, hits in ((list(codes), by_group), (None, by_row)):
                low, high = paired_difference_of_shares(a, b, groups).ci95
                hits.append(low <= first - second <= high)
    assert 0.92 <= share_of(by_group) <= 0.985, share_of(by_group)
    assert share_of(by_row) < 0.9, share_of(by_row)


def test_without_a_difference_about_5_percent_of_tests_by_groups_say_there_is_one_and_far_more_by_rows():
    generator = np.random.default_rng(5)
    by_group, by_row = [], []
    for name in SIZES:
        codes = codes_of(name)
        for seed in range(N_SIMULATIONS // 2):
            a, b = dependent(generator, codes, 0.15), dependent(generator, codes, 0.15)
            for groups, hits in ((list(codes), by_group), (None, by_row)):
                p_value = paired_permutation_p_value(a, b, groups=groups, seed=seed, n_permutations=499)
                hits.append(p_value < 0.05)
    assert 0.035 <= share_of(by_group) <= 0.065, share_of(by_group)
    assert share_of(by_row) > 0.15, share_of(by_row)


def test_rows_that_are_each_a_group_have_the_figures_of_rows():
    generator = np.random.default_rng(6)
    a, b, flags = generator.normal(0, 1, 50), generator.normal(0.3, 1, 50), generator.random(50) < 0.4
    alone = [f"row {number}" for number in range(50)]
    assert bootstrap_mean(a, groups=alone) == bootstrap_mean(a)
    assert share(flags, alone) == share(flags)
    assert paired_difference_of_means(a, b, groups=alone) == paired_difference_of_means(a, b)
    assert paired_difference_of_shares(flags, ~flags, alone) == paired_difference_of_shares(flags, ~flags)
    assert paired_permutation_p_value(a, b, groups=alone) == paired_permutation_p_value(a, b)
    assert not bootstrap_mean(a[:3], groups=alone[:3]).has_too_few_groups


def test_copies_of_a_row_do_not_narrow_the_interval():
    """Copies of 40 rows: by groups the interval is about that of the rows, by rows it is less than half as wide."""
    values = np.random.default_rng(7).normal(0, 1, 40)
    copies, groups = np.repeat(values, 5), list(np.repeat(np.arange(40), 5))
    width = np.diff(bootstrap_mean(values).ci95)[0]
    assert np.diff(bootstrap_mean(copies, groups=groups).ci95)[0] == pytest.approx(1.05 * width, rel=0.03)
    assert np.diff(bootstrap_mean(copies).ci95)[0] < 0.5 * width
    flags = values > 0
    alone, grouped = share(flags), share(np.repeat(flags, 5), groups)
    assert grouped.ci95 == pytest.approx(alone.ci95, abs=0.02)


def test_an_estimate_counts_its_groups():
    values = np.arange(24.0)
    record = bootstrap_mean(values, groups=[number // 2 for number in range(24)]).to_json()
    assert (record["n"], record["n_groups"], record["effective_groups"]) == (24, 12, 12.0)
    assert "too_few_groups" not in record
    few = bootstrap_mean(values, groups=[number // 3 for number in range(24)]).to_json()
    assert (few["n_groups"], few["too_few_groups"]) == (8, True)
    uneven = share(values > 3, [max(0, number - 12) for number in range(24)]).to_json()
    assert (uneven["n_groups"], uneven["too_few_groups"]) == (12, True)
    assert uneven["effective_groups"] == round(24**2 / (13**2 + 11), 1)
    one = bootstrap_mean(values, groups=["only"] * 24).to_json()
    assert one["ci95"] == list(bootstrap_mean(values).ci95)
    assert (one["n_groups"], one["too_few_groups"]) == (1, True)


def test_equal_flags_of_grouped_rows_count_each_effective_group_once():
    groups = [number // 8 for number in range(200)]
    assert share([True] * 200, groups).ci95[0] < share([True] * 25).ci95[0] < share([True] * 200).ci95[0]
    assert share([True] * 200, groups).ci95[1] == 1.0


def test_few_groups_are_permuted_exactly_and_the_floor_is_recorded():
    groups = [number // 5 for number in range(20)]
    a, b = np.repeat([3.0, 2.0, 4.0, 1.0], 5)[:, None], np.zeros((20, 1))
    test = permutation_test_of_sums(a, b, lambda sums: sums[0], groups=groups)
    assert (test.p_value, test.floor, test.is_at_floor) == (2 / 16, 2 / 16, True)
    drawn = permutation_test_of_sums(a, b, lambda sums: sums[0], n_permutations=999)
    assert (drawn.p_value, drawn.floor, drawn.is_at_floor) == (1 / 1_000, 1 / 1_000, True)
    unclear = permutation_test_of_sums(a - 2.5, b, lambda sums: sums[0], groups=groups)
    assert (unclear.p_value, unclear.is_at_floor) == (1.0, False)
    same = permutation_test_of_sums(a, a, lambda sums: sums[0], groups=groups)
    assert (same.p_value, same.is_at_floor) == (1.0, False)


def test_pairs_of_a_group_are_swapped_together():
    """Within each group the differences cancel: by groups there is nothing to swap, by rows there is."""
    a = np.tile([1.0, -1.0], 10)
    assert paired_permutation_p_value(a, np.zeros(20), groups=[number // 2 for number in range(20)]) == 1.0
    assert RowGroups.of([number // 2 for number in range(20)], 20).sums(a[:, None]).tolist() == [[0.0]] * 10


def test_rows_without_a_group_are_grouped_by_equal_instructions():
    asked = ["Sum up.", "sum  up.", "Translate.", "Rhyme.", None, None]
    groups = groups_by_instruction([None, None, None, "poems", None, "poems"], asked)
    assert groups == ["sum up.", "sum up.", None, "poems", None, "poems"]
    assert labels_of(groups) == ["sum up.", "sum up.", 2, "poems", 4, "poems"]
    assert groups_by_instruction([None] * 3, ["Sum up."] * 3) == [None] * 3, "their inputs differ"


def test_labels_that_are_not_one_for_each_row_are_refused():
    with pytest.raises(ValueError, match="a group for each of 3 rows, got 2"):
        bootstrap_mean([1.0, 2.0, 3.0], groups=["a", "b"])


@pytest.mark.parametrize(("given", "expected"), [
    ("m", "m"), (3, "3"), (0, "0"), (" m ", "m"), ("", None), (" ", None), (None, None), (math.nan, None),
])  # fmt: skip
def test_the_group_of_a_row_is_a_text_or_none(given, expected):
    assert group_of({"group": given}) == expected
    assert group_of({}) is None


def test_prompts_of_a_file_have_the_groups_of_their_rows(tmp_path):
    rows = [
        {"instruction": "Sum up.", "input": "a", "group": "book"}, {"instruction": "Sum up.", "input": "b"},
        {"instruction": "sum up.", "input": "c"}, {"instruction": "Rhyme."},
        {"messages": [{"role": "user", "content": "Rhyme."}, {"role": "assistant", "content": "x"}], "group": 7},
    ]  # fmt: skip
    prompts = read_prompts(write_jsonl(tmp_path / "rows.jsonl", rows))
    assert [prompt.group for prompt in prompts[:3]] == ["book", "sum up.", "sum up."]
    assert prompts[4].group == "7"
    assert len({prompt.dependence for prompt in prompts}) == 4
