"""What models did with the same prompts -> figures with intervals, paired differences, and the two records.

Figures rest on the prompts that are `counted`, each metric on those of them to which it applies. Nothing here loads or
runs a model: `measuring` does.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pipelines.evaluation.generation import Answer
from pipelines.evaluation.likelihood import DocumentLikelihood
from pipelines.evaluation.measuring import MeasuredModel
from pipelines.evaluation.paired_shares import paired_difference_of_shares
from pipelines.evaluation.prompts import Prompt
from pipelines.evaluation.response_checks import RESPONSE_METRICS, MetricDefinition, response_checks
from pipelines.evaluation.statistics import (
    Estimate,
    bootstrap_mean,
    bootstrap_ratio,
    paired_difference_of_means,
    paired_difference_of_ratios,
    paired_relative_change_of_ratios,
    share,
)

BITS_PER_BYTE = MetricDefinition(
    "response_bits_per_byte",
    "response bits per byte",
    "bits_per_byte",
    "lower",
    "bits that the model needs for a byte of the reference answer, end token excluded",
)
SAMPLED = "_sampled"
_YES_OR_NO = {"stopped_by_itself", "parses", "defines_requested_name", "takes_requested_parameters"}
_MIN_PROMPTS = 2  # one prompt has no interval


def responses_of(prompts: Sequence[Prompt], models: Sequence[MeasuredModel]) -> list[dict[str, Any]]:
    """The lines of responses.jsonl: each prompt with every model's answers and their checks."""
    headlines = {model.name: _headline_likelihoods(model, prompts) for model in models}
    lines = []
    for place, prompt in enumerate(prompts):
        requested = prompt.requested
        answers = {}
        for model in models:
            samples = model.samples[place] if model.samples else []
            answers[model.name] = {
                "greedy": _checked(model.greedy[place], prompt),
                "samples": [_checked(answer, prompt) for answer in samples],
                "response_bits_per_byte": _bits_per_byte(headlines[model.name][place]),
            }
        lines.append(
            {
                "id": prompt.id,
                "instruction": prompt.instruction,
                "input": prompt.input,
                "reference": prompt.reference,
                "category": prompt.category,
                "counted": prompt.counted,
                "requested": {"name": requested.name, "parameters": list(requested.parameters)} if requested else None,
                "answers": answers,
            }
        )
    return lines


def comparison_of(
    prompts: Sequence[Prompt], models: Sequence[MeasuredModel], responses: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """The measured part of comparison.json: models, metric_definitions, differences, base_prompt_styles.

    The first model is the base; differences are the others minus it, on the prompts where both have the metric.
    """
    base, others = models[0], models[1:]
    values = {model.name: _values_by_metric(model.name, responses) for model in models}
    likelihoods = {model.name: _counted(_headline_likelihoods(model, prompts), prompts) for model in models}
    figures = {
        model.name: _figures(values[model.name]) | _likelihood_figures(likelihoods[model.name]) for model in models
    }
    differences = {
        model.name: _differences(values[model.name], values[base.name])
        | _likelihood_differences(likelihoods[model.name], likelihoods[base.name])
        for model in others
    }
    styles = {style.value: _ratio(_counted(found, prompts)) for style, found in base.likelihoods.items()}
    return {
        "models": {model.name: _model_record(model, figures[model.name]) for model in models},
        "metric_definitions": {
            name: words for name, words in _definitions().items() if any(name in found for found in figures.values())
        },
        "differences": differences,
        "base_prompt_styles": {name: estimate.to_json() for name, estimate in styles.items() if estimate},
    }


def _checked(answer: Answer, prompt: Prompt) -> dict[str, Any]:
    checks = response_checks(answer.text, answer.n_tokens, answer.stopped, prompt.requested)
    return {"text": answer.text, "n_tokens": answer.n_tokens, "stopped": answer.stopped, "checks": checks}


def _values_by_metric(name: str, responses: Sequence[Mapping[str, Any]]) -> dict[str, list[float | None]]:
    """For each metric one number a counted prompt, the mean over its samples where sampled; None does not apply."""
    answers = [line["answers"][name] for line in responses if line["counted"]]
    values: dict[str, list[float | None]] = {}
    for metric in (definition.name for definition in RESPONSE_METRICS):
        values[metric] = [_number(one["greedy"]["checks"][metric]) for one in answers]
        sampled = [[_number(sample["checks"][metric]) for sample in one["samples"]] for one in answers]
        values[metric + SAMPLED] = [_mean(numbers) for numbers in sampled]
    return values


def _number(value: bool | int | float | None) -> float | None:
    return None if value is None else float(value)


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _figures(values: Mapping[str, list[float | None]]) -> dict[str, Estimate]:
    figures = {}
    for metric, numbers in values.items():
        known = [number for number in numbers if number is not None]
        if len(known) >= _MIN_PROMPTS:
            figures[metric] = share(known) if _are_flags(metric, known) else bootstrap_mean(known)
    return figures


def _differences(
    values: Mapping[str, list[float | None]], base: Mapping[str, list[float | None]]
) -> dict[str, dict[str, Any]]:
    differences = {}
    for metric, numbers in values.items():
        pairs = [(a, b) for a, b in zip(numbers, base[metric], strict=True) if a is not None and b is not None]
        if len(pairs) >= _MIN_PROMPTS:
            first, second = np.array(pairs).T
            flags = _are_flags(metric, [*first, *second])
            difference = paired_difference_of_shares if flags else paired_difference_of_means
            differences[metric] = difference(first, second).to_json()
    return differences


def _are_flags(metric: str, numbers: Sequence[float]) -> bool:
    """Whether the numbers are all yes or no; where samples of a prompt disagree, they are not."""
    return metric.removesuffix(SAMPLED) in _YES_OR_NO and all(number in (0.0, 1.0) for number in numbers)


def _counted(
    likelihoods: Sequence[DocumentLikelihood | None], prompts: Sequence[Prompt]
) -> list[DocumentLikelihood | None]:
    return [found for found, prompt in zip(likelihoods, prompts, strict=True) if prompt.counted]


def _headline_likelihoods(model: MeasuredModel, prompts: Sequence[Prompt]) -> Sequence[DocumentLikelihood | None]:
    """Those of the prompt style that suits the model better: a base is compared at its best."""
    styles = {style: _mean_bits(_counted(found, prompts)) for style, found in model.likelihoods.items()}
    return model.likelihoods[min(styles, key=lambda style: styles[style])] if styles else [None] * len(prompts)


def _mean_bits(likelihoods: Sequence[DocumentLikelihood | None]) -> float:
    known = [one for one in likelihoods if one is not None]
    return sum(_bits(one) for one in known) / sum(one.n_bytes for one in known) if known else math.inf


def _ratio(likelihoods: Sequence[DocumentLikelihood | None]) -> Estimate | None:
    known = [one for one in likelihoods if one is not None]
    if len(known) < _MIN_PROMPTS:
        return None
    return bootstrap_ratio([_bits(one) for one in known], [one.n_bytes for one in known])


def _likelihood_figures(likelihoods: Sequence[DocumentLikelihood | None]) -> dict[str, Estimate]:
    estimate = _ratio(likelihoods)
    return {BITS_PER_BYTE.name: estimate} if estimate else {}


def _likelihood_differences(
    likelihoods: Sequence[DocumentLikelihood | None], base: Sequence[DocumentLikelihood | None]
) -> dict[str, dict[str, Any]]:
    pairs = [(a, b) for a, b in zip(likelihoods, base, strict=True) if a is not None and b is not None]
    if len(pairs) < _MIN_PROMPTS:
        return {}
    columns = np.array([(_bits(a), a.n_bytes, _bits(b), b.n_bytes) for a, b in pairs]).T
    relative = paired_relative_change_of_ratios(*columns).to_json()
    return {BITS_PER_BYTE.name: {**paired_difference_of_ratios(*columns).to_json(), "relative": relative}}


def _bits(likelihood: DocumentLikelihood) -> float:
    return likelihood.nll_nats / math.log(2)


def _bits_per_byte(likelihood: DocumentLikelihood | None) -> float | None:
    return None if likelihood is None else _bits(likelihood) / likelihood.n_bytes


def _model_record(model: MeasuredModel, figures: Mapping[str, Estimate]) -> dict[str, Any]:
    return {
        "role": model.role.value,
        "path": model.path,
        "fingerprint": model.fingerprint,
        "prompt_style": model.prompt_style.value,
        "metrics": {metric: estimate.to_json() for metric, estimate in figures.items()},
    }


def _definitions() -> dict[str, dict[str, Any]]:
    """What each figure in the record means, in the order in which a page shows them."""
    likelihood = {BITS_PER_BYTE.name: (BITS_PER_BYTE, None)}
    greedy = {one.name: (one, "greedy") for one in RESPONSE_METRICS}
    sampled = {one.name + SAMPLED: (one, "sampled") for one in RESPONSE_METRICS}
    return {
        name: {"label": one.label, "unit": one.unit, "better": one.better, "decoding": decoding, "meaning": one.meaning}
        for name, (one, decoding) in (greedy | likelihood | sampled).items()
    }
