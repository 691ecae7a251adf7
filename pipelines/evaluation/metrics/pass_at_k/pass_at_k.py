"""pass@k of sampled answers to prompts that come with tests: a local `evaluate` module.

    metric = evaluate.load("pipelines/evaluation/metrics/pass_at_k")
    metric.compute(
        predictions=[["def add(a, b): return a + b", "def add(a, b): return a"]],
        tests=[["assert add(1, 2) == 3"]],
        k=1,
        run_code=True,
    )

It executes what a model wrote, in confined child processes, and only if told to.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import datasets

from pipelines.errors import UserError
from pipelines.evaluation.code_execution import (
    DEFAULT_LIMITS,
    CodeTests,
    RunLimits,
    code_tests_of,
    pass_at_k,
    refuse_unless_told_to_run,
    run_texts,
)
from pipelines.evaluation.metrics.answer_metric import AnswerMetric
from pipelines.evaluation.statistics.intervals import N_RESAMPLES

_DESCRIPTION = """
The probability that at least one of k sampled answers passes all tests of its prompt, estimated for each prompt from
its n samples without bias: 1 - C(n - c, k) / C(n, k), where c samples passed. The figure is the mean over prompts.
"""

_CITATION = """
M. Chen et al.: Evaluating Large Language Models Trained on Code (arXiv:2107.03374, 2021), equation 1.
"""

_INPUTS = """    predictions: for each prompt its sampled answers, at least k.
    tests: for each prompt a list of statements, or its row of MBPP or HumanEval. One that cannot be read, or fewer than
        k answers, is an error.
    k: of pass@k.
    run_code: has to be true.
    limits: the `RunLimits` of an answer."""


class PassAtK(AnswerMetric):
    """The metric that `evaluate.load` finds in this file."""

    description = _DESCRIPTION
    citation = _CITATION
    columns = {"predictions": datasets.Sequence(datasets.Value("string"))}  # noqa: RUF012
    beside = ("tests",)
    inputs = _INPUTS

    def check(self, samples: Sequence[str], tests: CodeTests, k: int = 1, **options: Any) -> float:
        """The estimate for one prompt."""
        passed = [bool(result.passes_tests) for result in run_texts(samples, [tests] * len(samples), **options)]
        return pass_at_k(len(passed), sum(passed), k)

    def _compute(
        self,
        *,
        seed: int = 0,
        n_resamples: int = N_RESAMPLES,
        k: int = 1,
        run_code: bool = False,
        limits: RunLimits = DEFAULT_LIMITS,
        **given: Any,
    ) -> dict[str, Any]:
        refuse_unless_told_to_run(run_code)
        pairs = list(zip(given["predictions"], map(_tests_of, given["tests"]), strict=True))
        countable = [tests is not None and len(samples) >= k for samples, tests in pairs]
        flat = [
            (text, tests)
            for (samples, tests), counts in zip(pairs, countable, strict=True)
            if counts
            for text in samples
        ]
        results = iter(run_texts([text for text, _ in flat], [tests for _, tests in flat], limits))
        values: list[float | None] = []
        for (samples, _), counts in zip(pairs, countable, strict=True):
            n_passed = sum(bool(next(results).passes_tests) for _ in samples) if counts else 0
            values.append(pass_at_k(len(samples), n_passed, k) if counts else None)
        estimate = self._estimate([value for value in values if value is not None], seed, n_resamples)
        return {**estimate, "n_errors": countable.count(False), "values": values}


def _tests_of(given: Mapping[str, Any] | Sequence[str] | CodeTests | None) -> CodeTests | None:
    if isinstance(given, CodeTests):
        return given
    try:
        return code_tests_of(given if isinstance(given, Mapping) else {"tests": given})
    except UserError:
        return None
