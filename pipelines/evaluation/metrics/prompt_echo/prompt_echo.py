"""How much of an answer is the prompt again: a local `evaluate` module.

metric = evaluate.load("pipelines/evaluation/metrics/prompt_echo")
metric.compute(predictions=["It is Paris."], prompts=["What is the capital of France?"])
"""

from pipelines.evaluation.answer_checks.prompt_echo import prompt_echo
from pipelines.evaluation.metrics.answer_metric import PromptMetric

_DESCRIPTION = """
Share of the answer's runs of four words or symbols that the prompt holds, whatever their case; 0 for an answer of fewer
than four.
"""


class PromptEcho(PromptMetric):
    """The metric that `evaluate.load` finds in this file."""

    description = _DESCRIPTION

    def check(self, answer: str, prompt: str) -> float:
        """The share of runs that the prompt holds."""
        return prompt_echo(answer, prompt)
