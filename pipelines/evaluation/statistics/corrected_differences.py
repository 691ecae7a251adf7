"""Differences with corrected p-values, and the verdict: better, worse, no difference shown, changed, too few groups."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from pipelines.evaluation.statistics.intervals import Estimate
from pipelines.evaluation.statistics.metric_definition import MetricDefinition
from pipelines.evaluation.statistics.metric_table import Difference, MetricTable
from pipelines.evaluation.statistics.significance import PermutationTest, holm

SIGNIFICANT = 0.05


class Verdict(StrEnum):
    """The result of a paired difference."""

    BETTER = "better"
    WORSE = "worse"
    NO_DIFFERENCE = "no difference shown"
    CHANGED = "changed"  # a difference of a metric without a better direction
    TOO_FEW_GROUPS = "too few groups"  # of rows that depend on each other, which support no claim


@dataclass(frozen=True)
class CorrectedDifference:
    """A difference with its p-value corrected for `n_metrics` of the model, and its verdict."""

    label: str
    decoding: str | None
    definition: MetricDefinition
    difference: Difference
    test: PermutationTest
    p_corrected: float
    n_metrics: int
    verdict: Verdict

    @property
    def is_zero(self) -> bool:
        """Whether the two models are equal on every item."""
        return self.difference.estimate.value == 0 and not self.difference.n_higher and not self.difference.n_lower

    @property
    def why(self) -> str | None:
        """Why no difference is claimed though the interval or the test alone shows one; None where they agree."""
        estimate = self.difference.estimate
        if self.verdict is Verdict.TOO_FEW_GROUPS:
            counts = f"{estimate.n_groups} groups ({estimate.effective_groups:.1f} effective)"
            return f"{estimate.n} items in {counts}: too few groups for a claim"
        if self.verdict is Verdict.NO_DIFFERENCE and _excludes_zero(estimate):
            return f"the interval excludes zero, but p corrected for {self.n_metrics} metrics is not below 0.05"
        if self.verdict is Verdict.NO_DIFFERENCE and self.p_corrected < SIGNIFICANT:
            return "the corrected p is below 0.05, but the interval includes zero"
        return None

    def to_json(self) -> dict[str, Any]:
        """The test, the correction and the verdict in `differences` of comparison.json."""
        record = {**self.test.to_json(), "p_holm": self.p_corrected, "verdict": self.verdict.value}
        return record | ({"why": self.why} if self.why else {})


def verdict_of(estimate: Estimate, p_corrected: float, better: str) -> Verdict:
    """The verdict: a difference needs an interval that excludes zero and a corrected p-value below 5%."""
    if estimate.has_too_few_groups and estimate.value != 0:
        return Verdict.TOO_FEW_GROUPS
    if not (_excludes_zero(estimate) and p_corrected < SIGNIFICANT):  # NaN is no difference either
        return Verdict.NO_DIFFERENCE
    if better == "neither":
        return Verdict.CHANGED
    return Verdict.BETTER if (estimate.value > 0) == (better == "higher") else Verdict.WORSE


def corrected_differences(tables: Sequence[MetricTable], model: str, base: str) -> dict[str, CorrectedDifference]:
    """The differences of `model` to `base` by metric, where both have it, with p-values corrected together. A metric
    that is repeated on sampled answers is not a further metric: repeats are corrected among themselves."""
    corrected: dict[str, CorrectedDifference] = {}
    for is_repeat in (False, True):
        family = {
            one: (difference, difference.test)
            for one in tables
            if one.is_repeat is is_repeat
            and (difference := one.difference(model, base)) is not None
            and difference.test is not None
        }
        p_values = holm({one.name: test.p_value for one, (_, test) in family.items()})
        for one, (difference, test) in family.items():
            p = p_values[one.name]
            verdict = verdict_of(difference.estimate, p, one.definition.better)
            corrected[one.name] = CorrectedDifference(
                one.label, one.decoding, one.definition, difference, test, p, len(family), verdict
            )
    return {one.name: corrected[one.name] for one in tables if one.name in corrected}


def _excludes_zero(estimate: Estimate) -> bool:
    low, high = estimate.ci95
    return low > 0 or high < 0
