"""Metric tables -> the measured part of comparison.json. No model is loaded or run here.

Figures use the `counted` prompts, each metric those of them to which it applies in all models: figures in a row, and
the difference between them, are of the same prompts.

A figure is `{"value", "ci95": [low, high], "n", "n_groups"}`. Where prompts share groups, `effective_groups` is Kish's
number, and `too_few_groups: true` means that the figure supports no claim (see `row_groups`). The fields:

- `models`: by name `role`, `path`, `step` (of a checkpoint, else None), `fingerprint`, `prompt_style`, `engine`
  (`name`, `host` and `model` of the server that answered, None without), and `metrics`, a figure each;
- `metric_definitions`: `label`, `unit`, `better`, `decoding`, `meaning`, `group` (its table), and `aspect`: form,
  correctness or lost;
- `warnings`: a list of `id` and `text`, for the top of a page: `empty_answers` (over 10% of a model's answers),
  `no_chat_template` (of any model), `few_prompts` (below 20), `too_few_groups`, `served` (no likelihoods);
- `differences`: of each instruct model to the base, by metric, a figure with `values` (of both models), `p_value`,
  `p_floor` (the smallest p-value that the test can give) and `p_at_floor` (then print "<="), `p_holm` (corrected for
  the metrics of the model; sampled repeats are corrected among themselves), `verdict`, `why` (where interval, p-value
  and number of groups do not agree), `n_wins`, `n_ties`, `n_losses`, and `relative`, a figure;
- `summary`: of each instruct model `form`, `correctness` and `lost`, each with `text`, `metric` (None where nothing
  was measured), `worse` (labels of further metrics that are worse), and for the metric `value` (the model's),
  `difference`, `ci95`, `n`, `n_groups`, `p` (Holm's), `p_at_floor`, `verdict`, and `against`: the same and the
  baseline's `value` for each baseline;
- `sentences`: the lines of the summary as one;
- `few_shot`: name and examples of the few-shot base, or `why_not`; `against`: for that baseline by name `differences`,
  `summary` and `sentences` of the instruct models against it;
- `flips`, `categories`;
- `base_prompt_styles`: bits per byte of the base in each prompt style; `is_headline` marks the one in `metrics`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from pipelines.evaluation.compare.measuring import MeasuredModel
from pipelines.evaluation.compare.metric_tables import answer_tables, likelihood_table, prompt_style_figures
from pipelines.evaluation.compare.summary import Differences, Values, sentence_of, summary_of, warnings_of
from pipelines.evaluation.likelihood.evaluation_data import EvaluationData
from pipelines.evaluation.likelihood.likelihood_measures import likelihood_measures
from pipelines.evaluation.prompts.few_shot import FewShotPool
from pipelines.evaluation.prompts.prompt import Prompt
from pipelines.evaluation.statistics.corrected_differences import CorrectedDifference, corrected_differences
from pipelines.evaluation.statistics.intervals import Estimate
from pipelines.evaluation.statistics.metric_table import MetricTable
from pipelines.hub.model_names import Role
from pipelines.hub.model_ref import checkpoint_step


def comparison_of(
    prompts: Sequence[Prompt],
    models: Sequence[MeasuredModel],
    responses: Sequence[Mapping[str, Any]],
    further: Sequence[MetricTable] = (),
    pool: FewShotPool | None = None,
) -> dict[str, Any]:
    """The measured part of comparison.json, whose fields are described at the top of this module.

    The first model is the base; those of neither the base's role nor an instruct model's are further baselines.
    `further` are tables besides those of the answers and of the reference's likelihood.
    """
    lines = [line for line in responses if line["counted"]]
    names = [model.name for model in models]
    further_baselines = [model.name for model in models[1:] if model.role not in (Role.BASE, Role.INSTRUCT)]
    baselines = [names[0], *further_baselines]
    groups = [prompt.dependence for prompt in prompts if prompt.counted]
    of_prompts = [*answer_tables(lines, names), likelihood_table(prompts, models)]
    of_prompts.sort(key=lambda one: ("greedy", None, "sampled").index(one.decoding))  # the order of a page
    of_prompts = [one.with_groups(groups).on_shared_items() for one in of_prompts]
    measured = [*of_prompts, *(one.on_shared_items() for one in further)]
    figures = {one: {name: one.figure(name) for name in names} for one in measured}
    tables = [one for one, found in figures.items() if any(found.values())]
    base = baselines[0]
    others = [name for name in names if name not in baselines]
    differences = {name: {one: corrected_differences(tables, name, one) for one in baselines} for name in others}
    values = {
        name: {one.name: figure.value for one in tables if (figure := figures[one][name]) is not None} for name in names
    }
    return {
        "models": {
            model.name: _model_record(model, {one.name: figures[one][model.name] for one in tables}) for model in models
        },
        "metric_definitions": {one.name: _definition_record(one) for one in tables},
        "warnings": warnings_of(prompts, models),
        **_against_first(differences, values),
        "against": {
            baseline: _against_first({name: {baseline: found[baseline]} for name, found in differences.items()}, values)
            for baseline in further_baselines
        },
        "flips": {name: _flips(tables, lines, name, base) for name in others},
        "categories": _categories([one for one in of_prompts if one in tables], lines, names),
        "base_prompt_styles": prompt_style_figures(prompts, models[0]),
        "few_shot": _few_shot_record(models, pool or FewShotPool(0)),
    }


def further_measures(
    prompts: Sequence[Prompt], models: Sequence[MeasuredModel], data: EvaluationData
) -> tuple[list[MetricTable], dict[str, Any]]:
    """P(end), calibration, forgetting and memorization, as tables and as `details` of comparison.json."""
    counted = [prompt for prompt in prompts if prompt.counted]
    scores = {model.name: model.scores for model in models if model.scores is not None}
    answers = {
        model.name: [answer for answer, prompt in zip(model.greedy, prompts, strict=True) if prompt.counted]
        for model in models
    }
    return likelihood_measures(counted, scores, answers, data)


def _few_shot_record(models: Sequence[MeasuredModel], pool: FewShotPool) -> dict[str, Any]:
    few_shot = models[-1]
    if few_shot.few_shot is None:
        return {"why_not": pool.why_not or "no example fits into the base's positions"}
    return {"name": few_shot.name, **few_shot.few_shot.to_json()}


def _against_first(differences: Mapping[str, Mapping[str, Differences]], values: Values) -> dict[str, Any]:
    """`differences`, `summary` and `sentences` of each model against the first of its baselines."""
    records, summary, sentences = {}, {}, {}
    for name, found in differences.items():
        baseline = next(iter(found))
        records[name] = {
            metric: _difference_record(one) | {"values": {of: values[of][metric] for of in (name, baseline)}}
            for metric, one in found[baseline].items()
        }
        summary[name] = summary_of(found, values, name)
        sentences[name] = sentence_of(found[baseline], summary[name])
    return {"differences": records, "summary": summary, "sentences": sentences}


def _difference_record(corrected: CorrectedDifference) -> dict[str, Any]:
    one = corrected.difference
    record = {**one.estimate.to_json(), **corrected.to_json()}
    if corrected.definition.better != "neither" and one.n_equal is not None:
        n_wins, n_losses = one.n_higher, one.n_lower
        if corrected.definition.better == "lower":
            n_wins, n_losses = n_losses, n_wins
        record |= {"n_wins": n_wins, "n_ties": one.n_equal, "n_losses": n_losses}
    if one.relative:
        record["relative"] = one.relative.to_json()
    return record


def _flips(tables: Sequence[MetricTable], lines: Sequence[Mapping[str, Any]], model: str, base: str) -> dict[str, Any]:
    """The prompts on which a yes-or-no check of the greedy answer changed, by metric."""
    flips: dict[str, Any] = {}
    for one in tables:
        if one.definition.is_flag and one.decoding == "greedy":
            change = one.item_values(model) - one.item_values(base)
            gained, lost = ([lines[place]["id"] for place in (change == sign).nonzero()[0]] for sign in (1, -1))
            if gained or lost:
                flips[one.name] = {"gained": gained, "lost": lost}
    return flips


def _categories(
    tables: Sequence[MetricTable], lines: Sequence[Mapping[str, Any]], names: Sequence[str]
) -> dict[str, Any]:
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
        parts = [one.subset(own) for one in tables]
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
        "step": checkpoint_step(model.path),
        "fingerprint": model.fingerprint,
        "computed_in": model.computed_in,
        "engine": dict(model.engine) if model.engine else None,
        "prompt_style": model.prompt_style.value,
        "metrics": {metric: figure.to_json() for metric, figure in figures.items() if figure},
    }


def _definition_record(table: MetricTable) -> dict[str, Any]:
    one = table.definition
    return {
        "label": one.label,
        "unit": one.unit,
        "better": one.better,
        "decoding": table.decoding,
        "meaning": one.meaning,
        "group": one.group.value,
        "aspect": one.group.aspect.value,
    }
