"""Overlap of the words of answer and reference: a local `evaluate` module.

metric = evaluate.load("pipelines/evaluation/metrics/token_f1")
metric.compute(predictions=["The sky."], references=["sky"])
"""

from pipelines.evaluation.answer_checks.reference_answer import token_f1
from pipelines.evaluation.metrics.answer_metric import ReferenceMetric

_DESCRIPTION = """
Harmonic mean of precision and recall over the words, as bags, of the texts in lower case, without ASCII punctuation and
without a, an, the. An empty reference is an error.
"""

_CITATION = """
P. Rajpurkar et al.: SQuAD: 100,000+ Questions for Machine Comprehension of Text (EMNLP 2016), section 6.1.
"""


class TokenF1(ReferenceMetric):
    """The metric that `evaluate.load` finds in this file."""

    description = _DESCRIPTION
    citation = _CITATION

    def against(self, answer: str, references: list[str]) -> float:
        """The best over all references."""
        return token_f1(answer, references)
