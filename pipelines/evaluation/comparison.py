"""Series of all models -> the measured part of comparison.json. Nothing here loads or runs a model: `measuring` does.

Figures rest on the prompts that are `counted`, each metric on those of them to which it applies.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from pipelines.evaluation.beyond import BeyondPlan, beyond_details, beyond_series
from pipelines.evaluation.measuring import MeasuredModel
from pipelines.evaluation.prompts import Prompt
from pipelines.evaluation.reference_likelihood import likelihood_series, prompt_style_figures
from pipelines.evaluation.response_series import response_series
from pipelines.evaluation.series import Series
from pipelines.evaluation.statistics import Estimate
from pipelines.evaluation.verdicts import JudgedDifference, judged_differences, sentence_of


def comparison_of(
    prompts: Sequence[Prompt],
    models: Sequence[MeasuredModel],
    responses: Sequence[Mapping[str, Any]],
    further: Sequence[Series] = (),
) -> dict[str, Any]:
    """The measured part of comparison.json: models, metric_definitions, differences, sentences, flips, categories.

    The first model is the base; differences are the others minus it, on the items where both have the metric.
    `further` are series beside those of the answers and of the reference's likelihood.
    """
    lines = [line for line in responses if line["counted"]]
    names = [model.name for model in models]
    groups = [prompt.dependence for prompt in prompts if prompt.counted]
    of_prompts = _page_order([*response_series(lines, names), likelihood_series(prompts, models)])
    of_prompts = [one.grouped(groups) for one in of_prompts]
    figures = {one: {name: one.figure(name) for name in names} for one in [*of_prompts, *further]}
    series = [one for one, found in figures.items() if any(found.values())]
    base, *others = names
    judged = {name: judged_differences(series, name, base) for name in others}
    return {
        "models": {
            model.name: _model_record(model, {one.name: figures[one][model.name] for one in series}) for model in models
        },
        "metric_definitions": {one.name: _definition_record(one) for one in series},
        "differences": {
            name: {metric: _difference_record(one) for metric, one in found.items()} for name, found in judged.items()
        },
        "sentences": {name: sentence_of(found) for name, found in judged.items()},
        "flips": {name: _flips(series, lines, name, base) for name in others},
        "categories": _categories([one for one in of_prompts if one in series], lines, names),
        "base_prompt_styles": {
            style: estimate.to_json() for style, estimate in prompt_style_figures(prompts, models[0]).items()
        },
    }


def beyond_of(
    prompts: Sequence[Prompt], models: Sequence[MeasuredModel], plan: BeyondPlan
) -> tuple[list[Series], dict[str, Any]]:
    """What was measured beyond the task, as series and as `details` of comparison.json."""
    counted = [prompt for prompt in prompts if prompt.counted]
    measured = {model.name: model.beyond for model in models if model.beyond is not None}
    answers = {
        model.name: [answer for answer, prompt in zip(model.greedy, prompts, strict=True) if prompt.counted]
        for model in models
    }
    return (
        beyond_series(counted, measured, answers, plan),
        beyond_details(counted, measured, answers, plan),
    )


def _page_order(series: Sequence[Series]) -> list[Series]:
    """Greedy answers, the reference's likelihood, then what rests on samples."""
    return sorted(series, key=lambda one: ("greedy", None, "sampled").index(one.decoding))


def _difference_record(judged: JudgedDifference) -> dict[str, Any]:
    one = judged.difference
    record = {
        **one.estimate.to_json(),
        **judged.test.to_json(),
        "p_holm": judged.p_corrected,
        "verdict": judged.verdict.value,
    }
    if judged.definition.better != "neither" and one.n_equal is not None:
        n_wins, n_losses = one.n_higher, one.n_lower
        if judged.definition.better == "lower":
            n_wins, n_losses = n_losses, n_wins
        record |= {"n_wins": n_wins, "n_ties": one.n_equal, "n_losses": n_losses}
    if one.relative:
        record["relative"] = one.relative.to_json()
    return record


def _flips(series: Sequence[Series], lines: Sequence[Mapping[str, Any]], model: str, base: str) -> dict[str, Any]:
    """The prompts on which a yes-or-no check of the greedy answer turned, by metric."""
    flips: dict[str, Any] = {}
    for one in series:
        if one.definition.is_flag and one.decoding == "greedy":
            change = one.item_values(model) - one.item_values(base)
            gained, lost = ([lines[place]["id"] for place in (change == sign).nonzero()[0]] for sign in (1, -1))
            if gained or lost:
                flips[one.name] = {"gained": gained, "lost": lost}
    return flips


def _categories(series: Sequence[Series], lines: Sequence[Mapping[str, Any]], names: Sequence[str]) -> dict[str, Any]:
    """The figures of each category of prompts, where there are several."""
    places: dict[str, list[int]] = {}
    for place, line in enumerate(lines):
        if line["category"]:
            places.setdefault(line["category"], []).append(place)
    if len(places) < 2:
        return {}
    base, *others = names
    record = {}
    for category, own in places.items():
        parts = [one.among(own) for one in series]
        figures = {name: {one.name: one.figure(name) for one in parts} for name in names}
        changes = {name: {one.name: one.difference(name, base, tested=False) for one in parts} for name in others}
        record[category] = {
            "n": len(own),
            "models": {
                name: {metric: figure.to_json() for metric, figure in found.items() if figure}
                for name, found in figures.items()
            },
            "differences": {
                name: {metric: change.estimate.to_json() for metric, change in found.items() if change}
                for name, found in changes.items()
            },
        }
    return record


def _model_record(model: MeasuredModel, figures: Mapping[str, Estimate | None]) -> dict[str, Any]:
    return {
        "role": model.role.value,
        "path": model.path,
        "fingerprint": model.fingerprint,
        "computed_in": model.computed_in,
        "prompt_style": model.prompt_style.value,
        "metrics": {metric: figure.to_json() for metric, figure in figures.items() if figure},
    }


def _definition_record(series: Series) -> dict[str, Any]:
    one = series.definition
    return {
        "label": one.label,
        "unit": one.unit,
        "better": one.better,
        "decoding": series.decoding,
        "meaning": one.meaning,
        "group": one.group.value,
    }
