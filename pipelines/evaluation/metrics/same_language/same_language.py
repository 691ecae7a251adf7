"""Whether an answer is in the language of its prompt: a local `evaluate` module.

metric = evaluate.load("pipelines/evaluation/metrics/same_language")
metric.compute(predictions=["It is Paris."], prompts=["What is the capital of France?"])
"""

from pipelines.evaluation.answer_checks.language import same_language
from pipelines.evaluation.metrics.answer_metric import PromptMetric

_DESCRIPTION = """
By py3langid, where both languages have a probability of one half or more. Does not apply to code, to fewer than 20
letters, and to prompts that speak of languages, whose answers may rightly be in another.
"""

_CITATION = """
M. Lui and T. Baldwin: langid.py: An Off-the-shelf Language Identification Tool (ACL 2012, demonstrations).
"""


class SameLanguage(PromptMetric):
    """The metric that `evaluate.load` finds in this file."""

    description = _DESCRIPTION
    citation = _CITATION
    is_flag = True

    def check(self, answer: str, prompt: str) -> bool | None:
        """Whether both are in one language."""
        return same_language(answer, prompt)
