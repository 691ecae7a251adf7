"""Runs of words that an answer says again: a local `evaluate` module.

metric = evaluate.load("pipelines/evaluation/metrics/repetition")
metric.compute(predictions=["so so so so so so", "One by one."])
"""

from pipelines.evaluation.answer_checks.repetition import repetition
from pipelines.evaluation.metrics.answer_metric import AnswerMetric

_DESCRIPTION = """
1 - distinct 4-grams / 4-grams over words and single symbols; 0 for an answer of fewer than four.
"""


class Repetition(AnswerMetric):
    """The metric that `evaluate.load` finds in this file."""

    description = _DESCRIPTION

    def check(self, answer: str) -> float:
        """The share of runs that occurred before."""
        return repetition(answer)
