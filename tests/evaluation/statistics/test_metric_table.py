"""A table gives every figure of a metric: by item, for a model, and between two models."""

import numpy as np
import pytest

from pipelines.evaluation.statistics.intervals import (
    bootstrap_mean,
    bootstrap_ratio,
    paired_difference_of_means,
    paired_relative_change_of_ratios,
)
from pipelines.evaluation.statistics.metric_definition import MetricDefinition
from pipelines.evaluation.statistics.metric_table import MetricTable
from pipelines.evaluation.statistics.shares import paired_difference_of_shares, share

FLAG = MetricDefinition("stops", "stops", "share", "higher", "it stops", is_flag=True)
LENGTH = MetricDefinition("length", "length", "tokens", "neither", "how long it is")
BITS = MetricDefinition("bits", "bits per byte", "bits_per_byte", "lower", "bits for a byte")


def test_yes_and_no_become_shares_with_wilson_intervals_and_paired_differences_of_shares():
    base, instruct = [False, False, True, False, None], [True, True, True, False, True]
    table = MetricTable.of_values(FLAG, {"base": base, "instruct": instruct}, decoding="greedy")
    assert table.figure("base") == share([0, 0, 1, 0])
    assert table.figure("instruct") == share([1, 1, 1, 0, 1])
    difference = table.difference("instruct", "base")
    assert difference.estimate == paired_difference_of_shares([1, 1, 1, 0], [0, 0, 1, 0])
    assert (difference.n_higher, difference.n_equal, difference.n_lower) == (2, 2, 0)


def test_numbers_become_means_over_the_items_that_have_them():
    base, instruct = [3.0, 4.0, None, 8.0], [2.0, 4.0, 5.0, 9.0]
    table = MetricTable.of_values(LENGTH, {"base": base, "instruct": instruct})
    assert table.figure("base") == bootstrap_mean([3.0, 4.0, 8.0])
    difference = table.difference("instruct", "base")
    expected = paired_difference_of_means([2.0, 4.0, 9.0], [3.0, 4.0, 8.0])
    assert (difference.estimate.value, *difference.estimate.ci95) == pytest.approx((expected.value, *expected.ci95))
    assert difference.relative is None
    assert (difference.n_higher, difference.n_equal, difference.n_lower) == (1, 1, 1)


def test_ratios_are_weighted_by_their_denominators_and_have_a_relative_change():
    bits = {"base": [10.0, 400.0, None], "instruct": [9.0, 200.0, 7.0]}
    n_bytes = {"base": [10, 100, None], "instruct": [10, 100, 10]}
    table = MetricTable.of_ratios(BITS, bits, n_bytes)
    assert table.figure("base") == bootstrap_ratio([10.0, 400.0], [10, 100])
    without_bytes = MetricTable.of_ratios(BITS, {"base": [1.0, 2.0, 3.0]}, {"base": [0, 2, 3]})
    assert without_bytes.figure("base") == bootstrap_ratio([2.0, 3.0], [2, 3])
    difference = table.difference("instruct", "base")
    expected = paired_relative_change_of_ratios([9.0, 200.0], [10, 100], [10.0, 400.0], [10, 100])
    assert (difference.relative.value, *difference.relative.ci95) == pytest.approx((expected.value, *expected.ci95))


def test_any_function_of_sums_is_a_figure_and_has_no_winner_of_an_item():
    tables = {"base": np.array([[1.0, 2.0], [3.0, 1.0]]), "instruct": np.array([[1.0, 3.0], [3.0, 3.0]])}
    table = MetricTable.of_sums(LENGTH, tables, lambda sums: abs(sums[0] - sums[1]))
    figure, difference = table.figure("base"), table.difference("instruct", "base")
    assert (figure.value, difference.estimate.value, difference.n_equal) == (1.0, 1.0, None)


def test_a_single_item_or_a_model_that_was_not_measured_has_no_figure():
    table = MetricTable.of_values(LENGTH, {"base": [1.0, None], "instruct": [None, 2.0]})
    for model in ("base", "few-shot"):
        assert table.figure(model) is None
        assert table.difference(model, "instruct") is None


def test_samples_that_disagree_make_a_share_a_mean():
    table = MetricTable.of_values(FLAG, {"base": [0.5, 1.0, 0.0]}, decoding="sampled")
    assert table.figure("base") == bootstrap_mean([0.5, 1.0, 0.0])
    assert (table.name, table.label) == ("stops_sampled", "stops (sampled)")
    alone = MetricTable.of_values(FLAG, {"base": [1.0, 0.0]}, decoding="sampled", has_greedy_version=False)
    assert (alone.name, alone.label, alone.decoding) == ("stops", "stops", "sampled")


def test_the_interval_of_a_biased_figure_holds_its_value():
    """A mean of distances grows when items are resampled: 200 well calibrated models, each measured on 30 answers."""
    generator = np.random.default_rng(5)
    n_outside = 0
    for _ in range(200):
        errors = generator.normal(0.0, 1.0, (30, 5))
        tables = {"model": np.hstack([errors, np.ones((30, 1))])}
        table = MetricTable.of_sums(LENGTH, tables, lambda sums: np.abs(sums[:5]).sum(axis=0) / sums[5])
        figure = table.figure("model")
        n_outside += not figure.ci95[0] <= figure.value <= figure.ci95[1]
    assert n_outside == 0


def test_items_are_shared_by_all_models_that_have_any():
    values = {"base": [1.0, None, 3.0, 4.0], "instruct": [2.0, 2.0, 2.0, None], "other tokens": [None] * 4}
    table = MetricTable.of_values(LENGTH, values).with_groups(["a", "b", "a", "b"]).on_shared_items()
    assert table.figure("base") == bootstrap_mean([1.0, 3.0], groups=["a", "a"])
    assert table.figure("instruct") == bootstrap_mean([2.0, 2.0], groups=["a", "a"])
    assert table.figure("other tokens") is None
