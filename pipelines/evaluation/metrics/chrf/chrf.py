"""Overlap of runs of characters with the reference: a local `evaluate` module.

metric = evaluate.load("pipelines/evaluation/metrics/chrf")
metric.compute(predictions=["The sky."], references=["sky"])
"""

from pipelines.evaluation.answer_checks.reference_answer import chrf
from pipelines.evaluation.metrics.answer_metric import ReferenceMetric

_DESCRIPTION = """
chrF by sacrebleu's defaults (runs of 1 to 6 characters without spaces, F2) for each answer, over 100: from 0 to 1. The
mean over answers, not the corpus figure that sacrebleu reports. An empty reference is an error.
"""

_CITATION = """
M. Popović: chrF: character n-gram F-score for automatic MT evaluation (WMT 2015).
M. Post: A Call for Clarity in Reporting BLEU Scores (WMT 2018).
"""


class ChrF(ReferenceMetric):
    """The metric that `evaluate.load` finds in this file."""

    description = _DESCRIPTION
    citation = _CITATION

    def against(self, answer: str, references: list[str]) -> float:
        """The best over all references."""
        return chrf(answer, references)
