"""The checks of all answers as series: one number for each counted prompt, the mean over its samples where sampled."""

from collections.abc import Mapping, Sequence
from typing import Any

from pipelines.evaluation.code_execution.execution import EXECUTION_METRICS, pass_at_k, pass_at_k_definition
from pipelines.evaluation.metrics.registry import METRICS
from pipelines.evaluation.statistics.metric_definition import MetricDefinition
from pipelines.evaluation.statistics.metric_table import MetricTable

Lines = Sequence[Mapping[str, Any]]
_KS = (1, 5, 10, 100)


def response_series(lines: Lines, models: Sequence[str]) -> list[MetricTable]:
    """The series of every check that applies to an answer: greedy ones, then sampled ones, then pass@k."""
    definitions = [*(metric.definition for metric in METRICS.values()), *EXECUTION_METRICS]
    in_pass_at_k = {"passes_tests"}  # its mean over the samples is pass@1
    found = [
        MetricTable.of_values(one, {model: _values(lines, model, one, decoding) for model in models}, decoding=decoding)
        for decoding in ("greedy", "sampled")
        for one in definitions
        if decoding == "greedy" or one.name not in in_pass_at_k
    ]
    return found + [_pass_at_k(lines, models, k) for k in _KS if k <= _n_samples(lines)]


def _values(lines: Lines, model: str, definition: MetricDefinition, decoding: str) -> list[float | None]:
    values = []
    for line in lines:
        answers = line["answers"][model]
        of_one = [answers["greedy"]] if decoding == "greedy" else answers["samples"]
        known = [float(value) for one in of_one if (value := one["checks"].get(definition.name)) is not None]
        values.append(sum(known) / len(known) if known else None)
    return values


def _pass_at_k(lines: Lines, models: Sequence[str], k: int) -> MetricTable:
    """How probable it is that one of k samples passes all tests, prompt by prompt."""
    values = {}
    for model in models:
        passed = [
            [sample["checks"].get("passes_tests") for sample in line["answers"][model]["samples"]] for line in lines
        ]
        values[model] = [
            None if any(one is None for one in own) or len(own) < k else pass_at_k(len(own), sum(own), k)
            for own in passed
        ]
    return MetricTable.of_values(pass_at_k_definition(k), values, decoding="sampled", has_greedy_version=False)


def _n_samples(lines: Lines) -> int:
    return max((len(answers["samples"]) for line in lines for answers in line["answers"].values()), default=0)
