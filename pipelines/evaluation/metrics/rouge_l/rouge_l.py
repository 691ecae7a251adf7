"""Longest common subsequence of words with the reference: a local `evaluate` module.

metric = evaluate.load("pipelines/evaluation/metrics/rouge_l")
metric.compute(predictions=["The sky."], references=["sky"])
"""

from pipelines.evaluation.answer_checks.reference_answer import rouge_l
from pipelines.evaluation.metrics.answer_metric import ReferenceMetric

_DESCRIPTION = """
F-measure by the rouge-score library, words being runs of letters and digits of any script in lower case, not stemmed.
The mean over answers, not a figure of the corpus. Beyond 1,000 words a lower bound. An empty reference is an error.
"""

_CITATION = """
C.-Y. Lin: ROUGE: A Package for Automatic Evaluation of Summaries (2004).
"""


class RougeL(ReferenceMetric):
    """The metric that `evaluate.load` finds in this file."""

    description = _DESCRIPTION
    citation = _CITATION

    def against(self, answer: str, references: list[str]) -> float:
        """The best over all references."""
        return rouge_l(answer, references)
