"""Whether a model ended its answer: a local `evaluate` module.

metric = evaluate.load("pipelines/evaluation/metrics/stopped_by_itself")
metric.compute(predictions=[[17, 4, 2], [8, 8, 8]], end_token_ids=[2])
"""

from collections.abc import Sequence

from pipelines.evaluation.metrics.answer_metric import TokenMetric

_DESCRIPTION = """
Whether an end token is among the generated ones; an answer without one was cut by the token limit.
"""


class StoppedByItself(TokenMetric):
    """The metric that `evaluate.load` finds in this file."""

    description = _DESCRIPTION
    is_flag = True

    def check(self, token_ids: Sequence[int], *, end_token_ids: Sequence[int]) -> bool:
        """Whether there is an end token."""
        return any(token_id in end_token_ids for token_id in token_ids)
