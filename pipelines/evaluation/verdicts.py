"""From intervals and p-values to words: better, worse, no difference shown, changed; and one sentence for a model."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from pipelines.evaluation.metric_definition import MetricDefinition
from pipelines.evaluation.series import Difference, Series
from pipelines.evaluation.significance import PermutationTest, holm
from pipelines.evaluation.statistics import Estimate

SIGNIFICANT = 0.05
_MAX_NAMED = 3


class Verdict(StrEnum):
    """What a paired difference shows."""

    BETTER = "better"
    WORSE = "worse"
    NO_DIFFERENCE = "no difference shown"
    CHANGED = "changed"  # there is a difference, and the metric has no good direction


@dataclass(frozen=True)
class JudgedDifference:
    """A difference with its p-value corrected for all metrics of the model, and the word for it."""

    label: str
    decoding: str | None
    definition: MetricDefinition
    difference: Difference
    test: PermutationTest
    p_corrected: float
    verdict: Verdict

    @property
    def is_nothing(self) -> bool:
        """Whether the two models are equal on every item."""
        return self.difference.estimate.value == 0 and not self.difference.n_higher and not self.difference.n_lower


def verdict_of(estimate: Estimate, p_corrected: float, better: str) -> Verdict:
    """The word for a difference: it is shown if the interval is clear of zero and the corrected p-value below 5%."""
    low, high = estimate.ci95
    is_clear = low > 0 or high < 0
    if not (is_clear and p_corrected < SIGNIFICANT):  # said so that NaN shows nothing
        return Verdict.NO_DIFFERENCE
    if better == "neither":
        return Verdict.CHANGED
    return Verdict.BETTER if (estimate.value > 0) == (better == "higher") else Verdict.WORSE


def judged_differences(series: Sequence[Series], model: str, base: str) -> dict[str, JudgedDifference]:
    """The differences of `model` to `base` by metric, where both have it, judged together."""
    found = {one: one.difference(model, base) for one in series}
    known = {one: difference for one, difference in found.items() if difference is not None}
    tests = {one.name: difference.test for one, difference in known.items() if difference.test is not None}
    corrected = holm({name: test.p_value for name, test in tests.items()})
    return {
        one.name: JudgedDifference(
            one.label,
            one.decoding,
            one.definition,
            difference,
            tests[one.name],
            corrected[one.name],
            verdict_of(difference.estimate, corrected[one.name], one.definition.better),
        )
        for one, difference in known.items()
    }


def sentence_of(judged: Mapping[str, JudgedDifference]) -> str:
    """ "better on 4 of 6 measures, worse on 1 (repetition), no difference shown on 1, n = 200", over the measures that
    have a direction; those without one, such as length, are told apart where they changed. Sampled answers are in the
    tables: counted here, they would count most measures twice."""
    if not judged:
        return "nothing was measured on both models"
    n_items = next(iter(judged.values())).difference.estimate.n  # the first on a page applies to every prompt
    if all(one.is_nothing for one in judged.values()):
        return f"no difference at all: equal on every item of all {len(judged)} measures, n = {n_items}"
    told = [one for one in judged.values() if one.decoding != "sampled"]
    labels = {verdict: [one.label for one in told if one.verdict is verdict] for verdict in Verdict}
    n_directed = sum(one.definition.better != "neither" for one in told)
    parts = [f"better on {len(labels[Verdict.BETTER])} of {n_directed} measures"]
    if worse := labels[Verdict.WORSE]:
        parts.append(f"worse on {len(worse)} ({_named(worse)})")
    n_open = n_directed - len(labels[Verdict.BETTER]) - len(worse)
    if n_open:
        parts.append(f"no difference shown on {n_open}")
    if changed := labels[Verdict.CHANGED]:
        parts.append(f"changed in {_named(changed)}")
    return ", ".join([*parts, f"n = {n_items}"])


def _named(labels: Sequence[str]) -> str:
    rest = len(labels) - _MAX_NAMED
    return ", ".join(labels[:_MAX_NAMED]) + (f" and {rest} more" if rest > 0 else "")
