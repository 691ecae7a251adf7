"""Whether an answer says nothing: a local `evaluate` module.

metric = evaluate.load("pipelines/evaluation/metrics/empty_answers")
metric.compute(predictions=["Paris.", "", " \\n"])
"""

from pipelines.evaluation.metrics.answer_metric import AnswerMetric

_DESCRIPTION = """
Whether an answer is empty or holds white space alone.
"""


class EmptyAnswers(AnswerMetric):
    """The metric that `evaluate.load` finds in this file."""

    description = _DESCRIPTION
    is_flag = True

    def check(self, answer: str) -> bool:
        """Whether there is no text."""
        return not answer.strip()
