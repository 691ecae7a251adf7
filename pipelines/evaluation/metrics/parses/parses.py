"""Whether an answer is Python: a local `evaluate` module.

metric = evaluate.load("pipelines/evaluation/metrics/parses")
metric.compute(predictions=["so so so so so so", "One by one."])
"""

from pipelines.evaluation.answer_checks.python_answer import parses
from pipelines.evaluation.metrics.answer_metric import AnswerMetric

_DESCRIPTION = """
Whether the answer, out of its first fenced Python block and dedented, parses as a whole and holds a statement. Nothing
is executed. More than 30,000 characters do not parse.
"""


class Parses(AnswerMetric):
    """The metric that `evaluate.load` finds in this file."""

    description = _DESCRIPTION
    is_flag = True

    def check(self, answer: str) -> bool:
        """Whether it parses."""
        return parses(answer)
