"""The metric tables of counted prompts: checks of the answers, pass@k, and the likelihood of the reference answers."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from pipelines.evaluation.code_execution.execution import EXECUTION_METRICS, pass_at_k, pass_at_k_definition
from pipelines.evaluation.compare.measuring import MeasuredModel
from pipelines.evaluation.likelihood.likelihood import DocumentLikelihood
from pipelines.evaluation.metrics.registry import METRICS
from pipelines.evaluation.prompts.prompt import Prompt
from pipelines.evaluation.statistics.intervals import bootstrap_ratio
from pipelines.evaluation.statistics.metric_definition import Group, MetricDefinition
from pipelines.evaluation.statistics.metric_table import MetricTable

BITS_PER_BYTE = MetricDefinition(
    "response_bits_per_byte", "response bits per byte", "bits_per_byte", "lower",
    "bits that the model needs for a byte of the reference answer, end token excluded",
    Group.LIKELIHOOD,
)  # fmt: skip
Lines = Sequence[Mapping[str, Any]]
Likelihoods = Sequence[DocumentLikelihood | None]
_KS = (1, 5, 10, 100)


def answer_tables(lines: Lines, models: Sequence[str]) -> list[MetricTable]:
    """The tables of every check of an answer: greedy ones, then sampled ones (mean over samples), then pass@k."""
    definitions = [*(metric.definition for metric in METRICS.values()), *EXECUTION_METRICS]
    in_pass_at_k = {"passes_tests"}  # its mean over the samples is pass@1
    found = [
        MetricTable.of_values(one, {model: _values(lines, model, one, decoding) for model in models}, decoding=decoding)
        for decoding in ("greedy", "sampled")
        for one in definitions
        if decoding == "greedy" or one.name not in in_pass_at_k
    ]
    n_samples = max((len(answers["samples"]) for line in lines for answers in line["answers"].values()), default=0)
    return found + [_pass_at_k(lines, models, k) for k in _KS if k <= n_samples]


def likelihood_table(prompts: Sequence[Prompt], models: Sequence[MeasuredModel]) -> MetricTable:
    """Bits per byte of the counted prompts' reference answers."""
    found = {model.name: _counted(headline_likelihoods(model, prompts), prompts) for model in models}
    bits = {name: [one.bits if one else None for one in column] for name, column in found.items()}
    n_bytes = {name: [one.n_bytes if one else None for one in column] for name, column in found.items()}
    return MetricTable.of_ratios(BITS_PER_BYTE, bits, n_bytes)


def prompt_style_figures(prompts: Sequence[Prompt], model: MeasuredModel) -> dict[str, dict[str, Any]]:
    """Bits per byte of the reference answers in each prompt style of the model, as figures of the record. `is_headline`
    marks the style of its metrics."""
    headline = headline_likelihoods(model, prompts)
    figures = {}
    for style, found in model.likelihoods.items():
        pairs = zip(found, prompts, strict=True)
        known = [(one, prompt.dependence) for one, prompt in pairs if one is not None and prompt.counted]
        if len(known) >= 2:
            bits, n_bytes = [one.bits for one, _ in known], [one.n_bytes for one, _ in known]
            estimate = bootstrap_ratio(bits, n_bytes, groups=[group for _, group in known])
            figures[style.value] = {**estimate.to_json(), "is_headline": found is headline}
    return figures


def headline_likelihoods(model: MeasuredModel, prompts: Sequence[Prompt]) -> Likelihoods:
    """Those of the model's better prompt style: a base is compared at its best."""
    styles = {style: _mean_bits(_counted(found, prompts)) for style, found in model.likelihoods.items()}
    return model.likelihoods[min(styles, key=lambda style: styles[style])] if styles else [None] * len(prompts)


def _values(lines: Lines, model: str, definition: MetricDefinition, decoding: str) -> list[float | None]:
    values = []
    for line in lines:
        answers = line["answers"][model]
        of_one = [answers["greedy"]] if decoding == "greedy" else answers["samples"]
        known = [float(value) for one in of_one if (value := one["checks"].get(definition.name)) is not None]
        values.append(sum(known) / len(known) if known else None)
    return values


def _pass_at_k(lines: Lines, models: Sequence[str], k: int) -> MetricTable:
    """The probability for each prompt that one of k samples passes all tests."""
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


def _counted(likelihoods: Likelihoods, prompts: Sequence[Prompt]) -> list[DocumentLikelihood | None]:
    return [found for found, prompt in zip(likelihoods, prompts, strict=True) if prompt.counted]


def _mean_bits(likelihoods: Likelihoods) -> float:
    known = [one for one in likelihoods if one is not None]
    return sum(one.bits for one in known) / sum(one.n_bytes for one in known) if known else math.inf
