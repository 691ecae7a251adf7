"""How probable the models find the reference answers: each model at the prompt style that suits it better."""

import math
from collections.abc import Sequence
from typing import Any

from pipelines.evaluation.compare.measuring import MeasuredModel
from pipelines.evaluation.likelihood.likelihood import DocumentLikelihood
from pipelines.evaluation.prompts.prompt_sets import Prompt
from pipelines.evaluation.statistics.intervals import bootstrap_ratio
from pipelines.evaluation.statistics.metric_definition import Group, MetricDefinition
from pipelines.evaluation.statistics.metric_table import MetricTable

BITS_PER_BYTE = MetricDefinition(
    "response_bits_per_byte",
    "response bits per byte",
    "bits_per_byte",
    "lower",
    "bits that the model needs for a byte of the reference answer, end token excluded",
    Group.LIKELIHOOD,
)
Likelihoods = Sequence[DocumentLikelihood | None]


def likelihood_series(prompts: Sequence[Prompt], models: Sequence[MeasuredModel]) -> MetricTable:
    """Bits per byte of the counted prompts' reference answers."""
    found = {model.name: counted(headline_likelihoods(model, prompts), prompts) for model in models}
    bits = {name: [bits_of(one) if one else None for one in column] for name, column in found.items()}
    n_bytes = {name: [one.n_bytes if one else None for one in column] for name, column in found.items()}
    return MetricTable.of_ratios(BITS_PER_BYTE, bits, n_bytes)


def prompt_style_figures(prompts: Sequence[Prompt], model: MeasuredModel) -> dict[str, dict[str, Any]]:
    """Bits per byte of the reference answers in each prompt style that the model was given, as figures of the record;
    `is_headline` marks the style that its metrics rest on."""
    headline = headline_likelihoods(model, prompts)
    figures = {}
    for style, found in model.likelihoods.items():
        known = [
            (one, prompt.dependence)
            for one, prompt in zip(found, prompts, strict=True)
            if one is not None and prompt.counted
        ]
        if len(known) >= 2:
            bits, n_bytes = [bits_of(one) for one, _ in known], [one.n_bytes for one, _ in known]
            estimate = bootstrap_ratio(bits, n_bytes, groups=[group for _, group in known])
            figures[style.value] = {**estimate.to_json(), "is_headline": found is headline}
    return figures


def headline_likelihoods(model: MeasuredModel, prompts: Sequence[Prompt]) -> Likelihoods:
    """Those of the prompt style that suits the model better: a base is compared at its best."""
    styles = {style: _mean_bits(counted(found, prompts)) for style, found in model.likelihoods.items()}
    return model.likelihoods[min(styles, key=lambda style: styles[style])] if styles else [None] * len(prompts)


def counted(likelihoods: Likelihoods, prompts: Sequence[Prompt]) -> list[DocumentLikelihood | None]:
    """The likelihoods of the prompts that figures rest on."""
    return [found for found, prompt in zip(likelihoods, prompts, strict=True) if prompt.counted]


def bits_of(likelihood: DocumentLikelihood) -> float:
    """-log2 of the probability."""
    return likelihood.nll_nats / math.log(2)


def _mean_bits(likelihoods: Likelihoods) -> float:
    known = [one for one in likelihoods if one is not None]
    return sum(bits_of(one) for one in known) / sum(one.n_bytes for one in known) if known else math.inf
