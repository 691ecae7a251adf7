"""Whether an answer follows every verifiable instruction of its prompt: a local `evaluate` module.

metric = evaluate.load("pipelines/evaluation/metrics/follows_all_constraints")
metric.compute(predictions=["a, b"], constraints=[["no_commas", {"kind": "n_words", "at_most": 9}]])
"""

from typing import Any

from pipelines.evaluation.answer_checks.constraints import follows, given_constraints
from pipelines.evaluation.metrics.answer_metric import ConstraintMetric

_DESCRIPTION = """
IFEval's strict accuracy per prompt, over the kinds of evaluation/answer_checks/constraint_kinds.py,
IFEval's 25 among them. Does not apply to a prompt without any.
"""

_CITATION = """
J. Zhou et al.: Instruction-Following Evaluation for Large Language Models (arXiv:2311.07911, 2023).
"""


class FollowsAllConstraints(ConstraintMetric):
    """The metric that `evaluate.load` finds in this file."""

    description = _DESCRIPTION
    citation = _CITATION
    is_flag = True

    def check(self, answer: str, constraints: Any) -> bool | None:
        """Whether all are followed."""
        followed = [follows(answer, constraint) for constraint in given_constraints(constraints)]
        return all(followed) if followed else None
