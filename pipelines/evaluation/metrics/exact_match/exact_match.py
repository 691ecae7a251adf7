"""Whether an answer is the reference but for case, punctuation and articles: a local `evaluate` module.

metric = evaluate.load("pipelines/evaluation/metrics/exact_match")
metric.compute(predictions=["The sky."], references=["sky"])
"""

from pipelines.evaluation.answer_checks.reference_answer import exact_match
from pipelines.evaluation.metrics.answer_metric import ReferenceMetric

_DESCRIPTION = """
Texts are compared in lower case, without ASCII punctuation, without a, an, the, with single spaces. An empty reference
is an error. For short references: no long answer is ever the reference to the word.
"""

_CITATION = """
P. Rajpurkar et al.: SQuAD: 100,000+ Questions for Machine Comprehension of Text (EMNLP 2016), section 6.1.
"""


class ExactMatch(ReferenceMetric):
    """The metric that `evaluate.load` finds in this file."""

    description = _DESCRIPTION
    citation = _CITATION
    is_flag = True

    def against(self, answer: str, references: list[str]) -> bool:
        """The best over all references."""
        return exact_match(answer, references)
