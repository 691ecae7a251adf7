"""Distinct words of an answer: a local `evaluate` module.

metric = evaluate.load("pipelines/evaluation/metrics/distinct_1")
metric.compute(predictions=["so so so so so so", "One by one."])
"""

from pipelines.evaluation.answer_checks.repetition import distinct
from pipelines.evaluation.metrics.answer_metric import AnswerMetric

_DESCRIPTION = """
Distinct words and single symbols over all of them, within each answer. It falls with length, and noise has the most:
neither direction is good by itself. Does not apply to an empty answer.
"""

_CITATION = """
J. Li et al.: A Diversity-Promoting Objective Function for Neural Conversation Models (NAACL 2016).
"""


class Distinct1(AnswerMetric):
    """The metric that `evaluate.load` finds in this file."""

    description = _DESCRIPTION
    citation = _CITATION

    def check(self, answer: str) -> float | None:
        """The share of distinct words."""
        return distinct(answer, 1)
