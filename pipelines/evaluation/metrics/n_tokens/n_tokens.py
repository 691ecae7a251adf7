"""Length of an answer in tokens: a local `evaluate` module.

metric = evaluate.load("pipelines/evaluation/metrics/n_tokens")
metric.compute(predictions=[[17, 4, 2], [8, 8, 8]], end_token_ids=[2])
"""

from collections.abc import Sequence

from pipelines.evaluation.metrics.answer_metric import TokenMetric

_DESCRIPTION = """
Generated tokens before the first end token; models of different tokenizers count differently.
"""


class NTokens(TokenMetric):
    """The metric that `evaluate.load` finds in this file."""

    description = _DESCRIPTION

    def check(self, token_ids: Sequence[int], *, end_token_ids: Sequence[int]) -> int:
        """The number of tokens, end token excluded."""
        ends = (place for place, token_id in enumerate(token_ids) if token_id in end_token_ids)
        return next(ends, len(token_ids))
