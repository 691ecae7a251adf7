"""What can be read off one answer without a model and without running anything in it: each check by itself, all of them
for a prompt, and what their figures are called."""

from pipelines.evaluation.answer_checks.answer_checks import response_checks
from pipelines.evaluation.answer_checks.definitions import RESPONSE_METRICS

__all__ = ["RESPONSE_METRICS", "response_checks"]
