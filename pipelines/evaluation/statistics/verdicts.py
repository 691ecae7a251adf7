"""From intervals and p-values to words: better, worse, no difference shown, changed, too few groups; and why not."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from pipelines.evaluation.statistics.intervals import Estimate
from pipelines.evaluation.statistics.metric_definition import MetricDefinition
from pipelines.evaluation.statistics.series import Difference, Series
from pipelines.evaluation.statistics.significance import PermutationTest, holm

SIGNIFICANT = 0.05


class Verdict(StrEnum):
    """What a paired difference shows."""

    BETTER = "better"
    WORSE = "worse"
    NO_DIFFERENCE = "no difference shown"
    CHANGED = "changed"  # there is a difference, and the metric has no good direction
    TOO_FEW_GROUPS = "too few groups"  # of rows that depend on each other: no claim can rest on them


@dataclass(frozen=True)
class JudgedDifference:
    """A difference with its p-value corrected for `n_metrics` of the model, and the word for it."""

    label: str
    decoding: str | None
    definition: MetricDefinition
    difference: Difference
    test: PermutationTest
    p_corrected: float
    n_metrics: int
    verdict: Verdict

    @property
    def is_nothing(self) -> bool:
        """Whether the two models are equal on every item."""
        return self.difference.estimate.value == 0 and not self.difference.n_higher and not self.difference.n_lower

    @property
    def why(self) -> str | None:
        """Why no difference is claimed where the interval or the test alone might show one; None where they agree."""
        estimate = self.difference.estimate
        if self.verdict is Verdict.TOO_FEW_GROUPS:
            counts = f"{estimate.n_groups} groups ({estimate.effective_groups:.1f} effective)"
            return f"{estimate.n} items in {counts}: too few groups for a claim"
        if self.verdict is Verdict.NO_DIFFERENCE and _is_clear(estimate):
            return f"the interval excludes zero, but p corrected for {self.n_metrics} metrics is not below 0.05"
        if self.verdict is Verdict.NO_DIFFERENCE and self.p_corrected < SIGNIFICANT:
            return "the corrected p is below 0.05, but the interval includes zero"
        return None

    def to_json(self) -> dict[str, Any]:
        """What the test and the correction say, in `differences` of comparison.json."""
        record = {**self.test.to_json(), "p_holm": self.p_corrected, "verdict": self.verdict.value}
        return record | ({"why": self.why} if self.why else {})


def verdict_of(estimate: Estimate, p_corrected: float, better: str) -> Verdict:
    """The word for a difference: it is shown if the interval is clear of zero and the corrected p-value below 5%."""
    if estimate.has_too_few_groups and estimate.value != 0:
        return Verdict.TOO_FEW_GROUPS
    if not (_is_clear(estimate) and p_corrected < SIGNIFICANT):  # said so that NaN shows nothing
        return Verdict.NO_DIFFERENCE
    if better == "neither":
        return Verdict.CHANGED
    return Verdict.BETTER if (estimate.value > 0) == (better == "higher") else Verdict.WORSE


def judged_differences(series: Sequence[Series], model: str, base: str) -> dict[str, JudgedDifference]:
    """The differences of `model` to `base` by metric, where both have it, judged together.

    A metric measured a second time by sampled answers is no further metric: those are corrected among themselves.
    """
    judged: dict[str, JudgedDifference] = {}
    for is_repeat in (False, True):
        family = {
            one: (difference, difference.test)
            for one in series
            if one.is_repeat is is_repeat
            and (difference := one.difference(model, base)) is not None
            and difference.test is not None
        }
        corrected = holm({one.name: test.p_value for one, (_, test) in family.items()})
        for one, (difference, test) in family.items():
            p_corrected = corrected[one.name]
            verdict = verdict_of(difference.estimate, p_corrected, one.definition.better)
            judged[one.name] = JudgedDifference(
                one.label, one.decoding, one.definition, difference, test, p_corrected, len(family), verdict
            )
    return {one.name: judged[one.name] for one in series if one.name in judged}


def _is_clear(estimate: Estimate) -> bool:
    low, high = estimate.ci95
    return low > 0 or high < 0
