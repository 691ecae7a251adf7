"""Whether an answer ends by going round in a circle: a local `evaluate` module.

metric = evaluate.load("pipelines/evaluation/metrics/ends_in_loop")
metric.compute(predictions=["so so so so so so", "One by one."])
"""

from pipelines.evaluation.answer_checks.repetition import ends_in_loop
from pipelines.evaluation.metrics.answer_metric import AnswerMetric

_DESCRIPTION = """
Whether the answer ends in one stretch said three times or more, at least 40 characters long (100 of symbols alone). The
last 6,000 characters are looked at.
"""


class EndsInLoop(AnswerMetric):
    """The metric that `evaluate.load` finds in this file."""

    description = _DESCRIPTION
    is_flag = True

    def check(self, answer: str) -> bool:
        """Whether it ends in a loop."""
        return ends_in_loop(answer)
