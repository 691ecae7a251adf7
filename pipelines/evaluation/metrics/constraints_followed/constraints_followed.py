"""Share of its prompt's verifiable instructions that an answer follows: a local `evaluate` module.

metric = evaluate.load("pipelines/evaluation/metrics/constraints_followed")
metric.compute(predictions=["a, b"], constraints=[["no_commas", {"kind": "n_words", "at_most": 9}]])
"""

from typing import Any

from pipelines.evaluation.answer_checks.constraints import follows, given_constraints
from pipelines.evaluation.metrics.answer_metric import ConstraintMetric
from pipelines.evaluation.statistics.intervals import N_RESAMPLES, bootstrap_ratio

_DESCRIPTION = """
value is the mean over prompts of the share of a prompt's constraints that its answer follows. instruction_level (n,
value, ci95) is IFEval's strict accuracy at the level of instructions, each of which weighs the same: n counts
instructions, the bootstrap draws prompts. Does not apply to a prompt without any.
"""

_CITATION = """
J. Zhou et al.: Instruction-Following Evaluation for Large Language Models (arXiv:2311.07911, 2023).
"""


class ConstraintsFollowed(ConstraintMetric):
    """The metric that `evaluate.load` finds in this file."""

    description = _DESCRIPTION
    citation = _CITATION

    def check(self, answer: str, constraints: Any) -> float | None:
        """The share of them that is followed."""
        followed = [follows(answer, constraint) for constraint in given_constraints(constraints)]
        return sum(followed) / len(followed) if followed else None

    def _compute(self, *, seed: int = 0, n_resamples: int = N_RESAMPLES, **given: Any) -> dict[str, Any]:
        found = super()._compute(seed=seed, n_resamples=n_resamples, **given)
        shares = zip(found["values"], given["constraints"], strict=True)
        pairs = [(share, len(given_constraints(one))) for share, one in shares if share is not None]
        n_followed, n_asked = [round(share * n) for share, n in pairs], [n for _, n in pairs]
        level: dict[str, Any] = {"n": sum(n_asked), "value": None, "ci95": None}
        if len(pairs) >= 2:
            ratio = bootstrap_ratio(n_followed, n_asked, seed=seed, n_resamples=n_resamples)
            level |= {"value": ratio.value, "ci95": list(ratio.ci95)}
        return {**found, "instruction_level": level}
