"""Length of an answer in words: a local `evaluate` module.

metric = evaluate.load("pipelines/evaluation/metrics/n_words")
metric.compute(predictions=["so so so so so so", "One by one."])
"""

from pipelines.evaluation.answer_checks.text_units import words
from pipelines.evaluation.metrics.answer_metric import AnswerMetric

_DESCRIPTION = """
Runs of letters, digits and underscores; a text without spaces is one word.
"""


class NWords(AnswerMetric):
    """The metric that `evaluate.load` finds in this file."""

    description = _DESCRIPTION

    def check(self, answer: str) -> int:
        """The number of words."""
        return len(words(answer))
