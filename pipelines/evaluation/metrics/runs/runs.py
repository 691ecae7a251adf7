"""Whether the Python of an answer runs: a local `evaluate` module.

    metric = evaluate.load("pipelines/evaluation/metrics/runs")
    metric.compute(predictions=["print(1)", "print(one)"], run_code=True)

It executes what a model wrote, in confined child processes, and only if told to.
"""

from typing import Any

from pipelines.evaluation.code_execution import DEFAULT_LIMITS, refuse_unless_told_to_run, run_texts
from pipelines.evaluation.metrics.answer_metric import AnswerMetric
from pipelines.evaluation.statistics.intervals import N_RESAMPLES

_DESCRIPTION = """
Whether executing the code of the answer, out of its first fenced Python block and dedented, raises nothing and ends in
time. Each answer runs by itself in a child process without network, environment or files but an empty folder. An
answer without a statement does not run.
"""


class Runs(AnswerMetric):
    """The metric that `evaluate.load` finds in this file."""

    description = _DESCRIPTION
    is_flag = True
    inputs = "    predictions: the answers.\n    run_code: has to be true.\n    limits: the `RunLimits` of an answer."

    def check(self, answer: str, **options: Any) -> bool:
        """Whether one answer runs."""
        return run_texts([answer], [None], **options)[0].runs

    def _compute(
        self, *, seed: int = 0, n_resamples: int = N_RESAMPLES, run_code: bool = False, **given: Any
    ) -> dict[str, Any]:
        refuse_unless_told_to_run(run_code)
        answers = given["predictions"]
        results = run_texts(answers, [None] * len(answers), given.get("limits", DEFAULT_LIMITS))
        values = [result.runs for result in results]
        return {**self._estimate(values, seed, n_resamples), "n_errors": 0, "values": values}
