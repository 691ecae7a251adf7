"""Whether an answer comes to the right number: a local `evaluate` module.

metric = evaluate.load("pipelines/evaluation/metrics/numeric_answer")
metric.compute(predictions=["That makes $1,200."], references=["... #### 1200"])
"""

from pipelines.evaluation.answer_checks.numeric_answer import numeric_answer
from pipelines.evaluation.metrics.answer_metric import ReferenceMetric

_DESCRIPTION = """
The number after the last ####, else the last number, of answer and reference; equal exactly. Thousands as 1,234,
decimals, signs, currencies and fractions are understood, units left out. A reference without a number is an error.
"""

_CITATION = """
K. Cobbe et al.: Training Verifiers to Solve Math Word Problems (arXiv:2110.14168, 2021).
"""


class NumericAnswer(ReferenceMetric):
    """The metric that `evaluate.load` finds in this file."""

    description = _DESCRIPTION
    citation = _CITATION
    is_flag = True

    def against(self, answer: str, references: list[str]) -> bool:
        """Whether it is the number of one of the references."""
        return any(numeric_answer(answer, reference) for reference in references)
