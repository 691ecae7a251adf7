"""The words follow from the intervals and the corrected p-values, and from nothing else."""

from dataclasses import replace

import numpy as np

from pipelines.evaluation.statistics.intervals import Estimate
from pipelines.evaluation.statistics.metric_definition import MetricDefinition
from pipelines.evaluation.statistics.series import Series
from pipelines.evaluation.statistics.verdicts import Verdict, judged_differences, verdict_of

BASE = np.random.default_rng(7).normal(0, 1, 60)
NOISE = np.tile([0.1, -0.1], 30)


def series(label: str, better: str, shift: float) -> Series:
    """A metric on which the instruct model is higher by `shift` on the mean of 60 prompts."""
    definition = MetricDefinition(label, label, "ratio", better, label)
    return Series.of_values(definition, {"base": list(BASE), "instruct": list(BASE + shift + NOISE)})


def test_the_word_needs_an_interval_clear_of_zero_and_a_corrected_p_value_below_5_percent() -> None:
    clear, unclear = Estimate(0.2, (0.1, 0.3), 50), Estimate(0.2, (-0.1, 0.5), 50)
    assert verdict_of(clear, 0.01, "higher") is Verdict.BETTER
    assert verdict_of(clear, 0.01, "lower") is Verdict.WORSE
    assert verdict_of(clear, 0.01, "neither") is Verdict.CHANGED
    assert verdict_of(clear, 0.06, "higher") is Verdict.NO_DIFFERENCE
    assert verdict_of(unclear, 0.01, "higher") is Verdict.NO_DIFFERENCE


def test_a_model_compared_with_itself_shows_no_difference_at_all() -> None:
    same = series("stops", "higher", 0.0)
    same = Series.of_values(same.definition, {name: list(BASE) for name in ("base", "instruct")})
    judged = judged_differences([same], "instruct", "base")
    assert judged["stops"].difference.estimate.value == 0
    assert judged["stops"].verdict is Verdict.NO_DIFFERENCE
    assert judged["stops"].is_nothing


def test_twenty_measures_of_noise_are_corrected_for_their_number() -> None:
    """One of them is below 5% by chance; together they show nothing."""
    generator = np.random.default_rng(7)
    measured = []
    for number in range(20):
        definition = MetricDefinition(f"m{number}", f"m{number}", "ratio", "higher", "noise")
        values = generator.normal(0, 1, (2, 80))
        measured.append(Series.of_values(definition, {"base": list(values[0]), "instruct": list(values[1])}))
    judged = judged_differences(measured, "instruct", "base")
    assert min(one.difference.p_value for one in judged.values()) < 0.05
    assert all(one.verdict is Verdict.NO_DIFFERENCE for one in judged.values())


def test_sampled_repeats_of_a_metric_do_not_enlarge_the_family() -> None:
    """The greedy p-value is corrected for two metrics, not for four; the samples are corrected among themselves."""
    stops, bits = series("stops", "higher", 0.03), series("bits", "lower", 0.02)
    sampled = [replace(one, decoding="sampled") for one in (stops, bits)]
    alone = judged_differences([stops, bits], "instruct", "base")
    beside = judged_differences([stops, bits, *sampled], "instruct", "base")
    assert list(beside) == ["stops", "bits", "stops_sampled", "bits_sampled"]
    for name in alone:
        assert beside[name].p_corrected == alone[name].p_corrected == beside[f"{name}_sampled"].p_corrected
        assert beside[name].n_metrics == 2
    only_sampled = replace(stops, decoding="sampled", has_greedy_namesake=False)
    assert judged_differences([bits, only_sampled], "instruct", "base")["stops"].n_metrics == 2


def test_too_few_groups_make_no_claim_and_say_why() -> None:
    clear = series("stops", "higher", 1.0)
    for groups, verdict in (
        (range(60), Verdict.BETTER),
        ([place // 5 for place in range(60)], Verdict.BETTER),
        ([place // 10 for place in range(60)], Verdict.TOO_FEW_GROUPS),
        ([max(0, place - 40) for place in range(60)], Verdict.TOO_FEW_GROUPS),  # 20 groups, one of 41: 2.1 effective
    ):
        judged = judged_differences([clear.grouped(list(groups))], "instruct", "base")["stops"]
        assert judged.verdict is verdict
    same = series("stops", "higher", 0.0)
    same = Series.of_values(same.definition, {name: list(BASE) for name in ("base", "instruct")}).grouped(["one"] * 60)
    assert judged_differences([same], "instruct", "base")["stops"].verdict is Verdict.NO_DIFFERENCE
    assert judged.why == "60 items in 20 groups (2.1 effective): too few groups for a claim"
    assert judged.to_json()["why"] == judged.why


def test_interval_and_p_value_that_disagree_are_told() -> None:
    stops = series("stops", "higher", 1.0)
    judged = judged_differences([stops], "instruct", "base")["stops"]
    assert (judged.verdict, judged.why) == (Verdict.BETTER, None)
    by_interval = replace(
        judged, p_corrected=0.2, n_metrics=14, verdict=verdict_of(judged.difference.estimate, 0.2, "higher")
    )
    assert by_interval.verdict is Verdict.NO_DIFFERENCE
    assert by_interval.why == "the interval excludes zero, but p corrected for 14 metrics is not below 0.05"
    wide = replace(judged.difference, estimate=Estimate(1.0, (-0.1, 2.0), 60))
    by_test = replace(judged, difference=wide, verdict=verdict_of(wide.estimate, 0.01, "higher"), p_corrected=0.01)
    assert by_test.why == "the corrected p is below 0.05, but the interval includes zero"


def test_what_is_no_number_shows_nothing() -> None:
    nan = float("nan")
    assert verdict_of(Estimate(nan, (nan, nan), 20), 0.001, "lower") is Verdict.NO_DIFFERENCE
    assert verdict_of(Estimate(0.2, (0.1, 0.3), 20), nan, "higher") is Verdict.NO_DIFFERENCE
