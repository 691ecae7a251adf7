"""Running the Python of answers, confined, and counting what passes its tests."""

from pipelines.evaluation.code_execution.code_tests import CodeTests, code_tests_of
from pipelines.evaluation.code_execution.limits import DEFAULT_LIMITS, Outcome, RunLimits, RunResult
from pipelines.evaluation.code_execution.pass_at_k import pass_at_k, pass_at_k_definition
from pipelines.evaluation.code_execution.probes import confinement, refuse_unless_confined
from pipelines.evaluation.code_execution.running import (
    EXECUTION_METRICS,
    execution_checks,
    execution_results,
    refuse_unless_told_to_run,
    run_texts,
)

__all__ = [
    "DEFAULT_LIMITS",
    "EXECUTION_METRICS",
    "CodeTests",
    "Outcome",
    "RunLimits",
    "RunResult",
    "code_tests_of",
    "confinement",
    "execution_checks",
    "execution_results",
    "pass_at_k",
    "pass_at_k_definition",
    "refuse_unless_confined",
    "refuse_unless_told_to_run",
    "run_texts",
]
