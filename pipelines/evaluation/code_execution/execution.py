"""Run the Python of answers with their tests, several at a time, each in its own sandbox."""

import math
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue

from pipelines.evaluation.code_execution.sandbox import (
    Outcome,
    RunLimits,
    RunResult,
    refuse_unless_sandboxed,
    run_sources,
)
from pipelines.evaluation.metrics.python_answer import code_of
from pipelines.evaluation.prompts.code_tests import CodeTests
from pipelines.evaluation.prompts.prompt import Prompt
from pipelines.evaluation.statistics.metric_definition import Group, MetricDefinition
from pipelines.inference.generation import Answer

EXECUTION_METRICS = (
    MetricDefinition(
        "runs", "runs", "share", "higher", "share of answers whose code runs without an error", Group.EXECUTION, True
    ),
    MetricDefinition(
        "passes_tests", "passes its tests", "share", "higher",
        "share of answers that pass all tests given with their prompt", Group.EXECUTION, True,
    ),
)  # fmt: skip


def pass_at_k(n: int, c: int, k: int) -> float:
    """Return the unbiased estimate of pass@k from `n` samples of which `c` passed: 1 - C(n - c, k) / C(n, k).

    M. Chen et al., Evaluating Large Language Models Trained on Code (arXiv:2107.03374, 2021), equation 1. Raises
    `ValueError` unless 0 <= c <= n and 1 <= k <= n.
    """
    if not 0 <= c <= n or not 1 <= k <= n:
        raise ValueError(f"pass@k needs 0 <= c <= n and 1 <= k <= n, got n = {n}, c = {c}, k = {k}")
    return 1.0 - math.comb(n - c, k) / math.comb(n, k)


def pass_at_k_definition(k: int) -> MetricDefinition:
    """Return the metric pass@k for one k."""
    meaning = f"probability that at least one of {k} sampled answers passes all tests, estimated without bias"
    return MetricDefinition(f"pass_at_{k}", f"pass@{k}", "share", "higher", meaning, Group.EXECUTION, is_flag=True)


def run_texts(
    texts: Sequence[str],
    tests: Sequence[CodeTests | None],
    limits: RunLimits | None = None,
    n_workers: int | None = None,
) -> list[RunResult]:
    """Run the Python of each answer `texts[i]` with `tests[i]`; results are in the same order. `n_workers` run at a
    time, by default one for each processor. Raises `UserError` if there is no sandbox."""
    refuse_unless_sandboxed()
    n_workers = n_workers or len(os.sched_getaffinity(0))
    workers: SimpleQueue[int] = SimpleQueue()
    for number in range(n_workers):
        workers.put(number)

    def run(text: str, own: CodeTests | None) -> RunResult:
        sources = _sources_of(text, own)
        if sources is None:
            return RunResult(False, None if own is None else False, Outcome.NO_CODE)
        worker = workers.get()
        try:
            return run_sources(sources, limits or RunLimits(), worker)
        finally:
            workers.put(worker)

    with ThreadPoolExecutor(n_workers) as pool:
        return list(pool.map(run, texts, tests))


def execution_results(
    prompts: Sequence[Prompt], answers: Sequence[Sequence[Answer]], limits: RunLimits | None = None
) -> list[list[RunResult | None]]:
    """Run all answers to all prompts; None where the prompt asks for no Python and has no tests."""
    pairs = list(zip(prompts, answers, strict=True))
    asked = [(answer.text, prompt.tests) for prompt, own in pairs for answer in own if prompt.asks_for_code]
    results = iter(run_texts([text for text, _ in asked], [tests for _, tests in asked], limits))
    return [[next(results) if prompt.asks_for_code else None for _ in own] for prompt, own in pairs]


def _sources_of(text: str, tests: CodeTests | None) -> dict[str, str] | None:
    """Return what runs for an answer, in order, by the name that a reason gives; None if it has no statement."""
    code = code_of(text)
    if all(not line.strip() or line.lstrip().startswith("#") for line in code.splitlines()):
        return None
    if tests is None:
        return {"answer": code}
    before, answer = tests.program_of(text, code)
    numbered = {f"test {number}": test for number, test in enumerate(tests.statements, 1)}
    return {"before": before, "answer": answer, "setup": tests.setup, **numbered}
