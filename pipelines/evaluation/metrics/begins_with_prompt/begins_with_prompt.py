"""Whether an answer begins by repeating the prompt: a local `evaluate` module.

metric = evaluate.load("pipelines/evaluation/metrics/begins_with_prompt")
metric.compute(predictions=["It is Paris."], prompts=["What is the capital of France?"])
"""

from pipelines.evaluation.answer_checks.prompt_echo import begins_with_prompt
from pipelines.evaluation.metrics.answer_metric import PromptMetric

_DESCRIPTION = """
Whether the answer begins with the instruction's first eight words and symbols, or with all of a shorter one, whatever
their case and spaces. Does not apply to one of fewer than four.
"""


class BeginsWithPrompt(PromptMetric):
    """The metric that `evaluate.load` finds in this file."""

    description = _DESCRIPTION
    is_flag = True

    def check(self, answer: str, prompt: str) -> bool | None:
        """Whether it begins with the prompt."""
        return begins_with_prompt(answer, prompt)
