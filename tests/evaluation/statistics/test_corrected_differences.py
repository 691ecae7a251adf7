"""Verdicts follow from the intervals and the corrected p-values only."""

from dataclasses import replace

import numpy as np

from pipelines.evaluation.statistics.corrected_differences import Verdict, corrected_differences, verdict_of
from pipelines.evaluation.statistics.intervals import Estimate
from pipelines.evaluation.statistics.metric_definition import MetricDefinition
from pipelines.evaluation.statistics.metric_table import MetricTable

BASE = np.random.default_rng(7).normal(0, 1, 60)
NOISE = np.tile([0.1, -0.1], 30)


def table(label: str, better: str, shift: float) -> MetricTable:
    """A metric on which the instruct model is higher by `shift` on the mean of 60 prompts."""
    definition = MetricDefinition(label, label, "ratio", better, label)
    return MetricTable.of_values(definition, {"base": list(BASE), "instruct": list(BASE + shift + NOISE)})


def test_a_verdict_needs_an_interval_clear_of_zero_and_a_corrected_p_value_below_5_percent():
    clear, unclear = Estimate(0.2, (0.1, 0.3), 50), Estimate(0.2, (-0.1, 0.5), 50)
    assert verdict_of(clear, 0.01, "higher") is Verdict.BETTER
    assert verdict_of(clear, 0.01, "lower") is Verdict.WORSE
    assert verdict_of(clear, 0.01, "neither") is Verdict.CHANGED
    assert verdict_of(clear, 0.06, "higher") is Verdict.NO_DIFFERENCE
    assert verdict_of(unclear, 0.01, "higher") is Verdict.NO_DIFFERENCE


def test_twenty_measures_of_noise_are_corrected_for_their_number():
    """One of them is below 5% by chance; together they show nothing."""
    generator = np.random.default_rng(7)
    measured = []
    for number in range(20):
        definition = MetricDefinition(f"m{number}", f"m{number}", "ratio", "higher", "noise")
        values = generator.normal(0, 1, (2, 80))
        measured.append(MetricTable.of_values(definition, {"base": list(values[0]), "instruct": list(values[1])}))
    found = corrected_differences(measured, "instruct", "base")
    assert min(one.test.p_value for one in found.values()) < 0.05
    assert all(one.verdict is Verdict.NO_DIFFERENCE for one in found.values())


def test_sampled_repeats_of_a_metric_do_not_enlarge_the_family():
    """The greedy p-value is corrected for two metrics, not for four; the samples are corrected among themselves."""
    stops, bits = table("stops", "higher", 0.03), table("bits", "lower", 0.02)
    sampled = [replace(one, decoding="sampled") for one in (stops, bits)]
    alone = corrected_differences([stops, bits], "instruct", "base")
    together = corrected_differences([stops, bits, *sampled], "instruct", "base")
    assert list(together) == ["stops", "bits", "stops_sampled", "bits_sampled"]
    for name in alone:
        assert together[name].p_corrected == alone[name].p_corrected == together[f"{name}_sampled"].p_corrected
        assert together[name].n_metrics == 2
    only_sampled = replace(stops, decoding="sampled", has_greedy_version=False)
    assert corrected_differences([bits, only_sampled], "instruct", "base")["stops"].n_metrics == 2


def test_too_few_groups_support_no_claim():
    clear = table("stops", "higher", 1.0)
    for groups, verdict in (
        (range(60), Verdict.BETTER),
        ([place // 5 for place in range(60)], Verdict.BETTER),
        ([place // 10 for place in range(60)], Verdict.TOO_FEW_GROUPS),
        ([max(0, place - 40) for place in range(60)], Verdict.TOO_FEW_GROUPS),  # 20 groups, one of 41: 2.1 effective
    ):
        found = corrected_differences([clear.with_groups(list(groups))], "instruct", "base")["stops"]
        assert found.verdict is verdict
    same = table("stops", "higher", 0.0)
    same = MetricTable.of_values(same.definition, {name: list(BASE) for name in ("base", "instruct")}).with_groups(
        ["one"] * 60
    )
    assert corrected_differences([same], "instruct", "base")["stops"].verdict is Verdict.NO_DIFFERENCE
    assert found.why == "60 items in 20 groups (2.1 effective): too few groups for a claim"
    assert found.to_json()["why"] == found.why


def test_an_interval_and_a_p_value_that_disagree_are_reported():
    stops = table("stops", "higher", 1.0)
    found = corrected_differences([stops], "instruct", "base")["stops"]
    assert (found.verdict, found.why) == (Verdict.BETTER, None)
    by_interval = replace(
        found, p_corrected=0.2, n_metrics=14, verdict=verdict_of(found.difference.estimate, 0.2, "higher")
    )
    assert by_interval.verdict is Verdict.NO_DIFFERENCE
    assert by_interval.why == "the interval excludes zero, but p corrected for 14 metrics is not below 0.05"
    wide = replace(found.difference, estimate=Estimate(1.0, (-0.1, 2.0), 60))
    by_test = replace(found, difference=wide, verdict=verdict_of(wide.estimate, 0.01, "higher"), p_corrected=0.01)
    assert by_test.why == "the corrected p is below 0.05, but the interval includes zero"


def test_nan_shows_no_difference():
    nan = float("nan")
    assert verdict_of(Estimate(nan, (nan, nan), 20), 0.001, "lower") is Verdict.NO_DIFFERENCE
    assert verdict_of(Estimate(0.2, (0.1, 0.3), 20), nan, "higher") is Verdict.NO_DIFFERENCE
