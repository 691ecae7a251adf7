"""The words follow from the intervals and the corrected p-values, and from nothing else."""

import numpy as np

from pipelines.evaluation.metric_definition import MetricDefinition
from pipelines.evaluation.series import Series
from pipelines.evaluation.statistics import Estimate
from pipelines.evaluation.verdicts import Verdict, judged_differences, sentence_of, verdict_of

BASE = np.random.default_rng(7).normal(0, 1, 60)
NOISE = np.tile([0.1, -0.1], 30)


def series(label: str, better: str, shift: float) -> Series:
    """A metric on which the instruct model is higher by `shift` on the mean of 60 prompts."""
    definition = MetricDefinition(label, label, "ratio", better, label)
    return Series.of_values(definition, {"base": list(BASE), "instruct": list(BASE + shift + NOISE)})


def sentence(*measured: Series) -> str:
    return sentence_of(judged_differences(measured, "instruct", "base"))


def test_the_word_needs_an_interval_clear_of_zero_and_a_corrected_p_value_below_5_percent() -> None:
    clear, unclear = Estimate(0.2, (0.1, 0.3), 50), Estimate(0.2, (-0.1, 0.5), 50)
    assert verdict_of(clear, 0.01, "higher") is Verdict.BETTER
    assert verdict_of(clear, 0.01, "lower") is Verdict.WORSE
    assert verdict_of(clear, 0.01, "neither") is Verdict.CHANGED
    assert verdict_of(clear, 0.06, "higher") is Verdict.NO_DIFFERENCE
    assert verdict_of(unclear, 0.01, "higher") is Verdict.NO_DIFFERENCE


def test_the_sentence_counts_the_measures_that_have_a_direction_and_names_the_worse_ones() -> None:
    said = sentence(
        series("stops", "higher", 1.0),
        series("bits", "lower", -1.0),
        series("echo", "lower", 1.0),
        series("language", "higher", 0.0),
        series("length", "neither", 2.0),
    )
    assert said == "better on 2 of 4 measures, worse on 1 (echo), no difference shown on 1, changed in length, n = 60"


def test_a_model_compared_with_itself_shows_no_difference_at_all() -> None:
    same = series("stops", "higher", 0.0)
    same = Series.of_values(same.definition, {name: list(BASE) for name in ("base", "instruct")})
    judged = judged_differences([same], "instruct", "base")
    assert judged["stops"].difference.estimate.value == 0
    assert judged["stops"].verdict is Verdict.NO_DIFFERENCE
    assert sentence_of(judged) == "no difference at all: equal on every item of all 1 measures, n = 60"


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


def test_without_anything_measured_it_says_so() -> None:
    assert sentence() == "nothing was measured on both models"


def test_what_is_no_number_shows_nothing() -> None:
    nan = float("nan")
    assert verdict_of(Estimate(nan, (nan, nan), 20), 0.001, "lower") is Verdict.NO_DIFFERENCE
    assert verdict_of(Estimate(0.2, (0.1, 0.3), 20), nan, "higher") is Verdict.NO_DIFFERENCE
