"""Whether an answer defines the Python function that was asked for: a local `evaluate` module.

metric = evaluate.load("pipelines/evaluation/metrics/defines_requested_name")
metric.compute(predictions=["def add(a, b): ..."], prompts=["Write a Python function add(a, b)."])
"""

from pipelines.evaluation.answer_checks.python_answer import python_checks, requested_function
from pipelines.evaluation.metrics.answer_metric import PromptMetric

_DESCRIPTION = """
Whether the longest start of the answer that parses defines the function that the instruction names. Does not apply
where the instruction names none. Nothing is executed.
"""


class DefinesRequestedName(PromptMetric):
    """The metric that `evaluate.load` finds in this file."""

    description = _DESCRIPTION
    is_flag = True

    def check(self, answer: str, prompt: str) -> bool | None:
        """None where the prompt names no function."""
        requested = requested_function(prompt)
        return python_checks(answer, requested).defines_requested_name if requested else None
