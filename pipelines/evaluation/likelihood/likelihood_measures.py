"""What one model's likelihoods show besides its answers (P(end), calibration, forgetting), and memorization."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipelines.evaluation.likelihood import forgetting, reference_metrics
from pipelines.evaluation.likelihood.evaluation_data import EvaluationData
from pipelines.evaluation.likelihood.forgetting import CapabilityScore
from pipelines.evaluation.likelihood.likelihood import DocumentLikelihood
from pipelines.evaluation.likelihood.memorization import memorization
from pipelines.evaluation.likelihood.reference_metrics import ReferenceScores
from pipelines.evaluation.prompts.prompt import Prompt
from pipelines.evaluation.statistics.metric_table import MetricTable
from pipelines.evaluation.statistics.row_groups import labels_of
from pipelines.inference.generation import Answer
from pipelines.modeling import LoadedModel, PromptStyle


@dataclass(frozen=True, eq=False)
class LikelihoodScores:
    """One model's scores. `references` has one entry for each prompt, None without a reference answer; `general` one
    for each document and `capability` one for each item, None without such data."""

    references: Sequence[ReferenceScores | None]
    general: Sequence[DocumentLikelihood] | None = None
    capability: Sequence[CapabilityScore] | None = None


def likelihood_scores(
    loaded: LoadedModel, prompts: Sequence[Prompt], style: PromptStyle, data: EvaluationData
) -> LikelihoodScores:
    """Score one model while it is in memory: references after prompts in `style`, the rest without a template. Every
    process has to call this. Raises `UserError` for a model whose outputs are not finite."""
    return LikelihoodScores(
        reference_metrics.reference_scores(loaded, prompts, style),
        forgetting.general_likelihoods(loaded, data.general) if data.general else None,
        forgetting.capability_scores(loaded, data.capability) if data.capability else None,
    )


def likelihood_measures(
    prompts: Sequence[Prompt],
    scores: Mapping[str, LikelihoodScores],
    answers: Mapping[str, Sequence[Answer]],
    data: EvaluationData,
) -> tuple[list[MetricTable], dict[str, Any]]:
    """All tables in the order of a page, and `details` of comparison.json. `scores` and `answers` (greedy) have one
    entry for each prompt and model, in the order of `prompts`."""
    groups = [prompt.dependence for prompt in prompts]
    references = {model: found.references for model, found in scores.items()}
    tables = [
        one.with_groups(groups)
        for one in reference_metrics.end_tables(references) + reference_metrics.calibration_tables(references)
    ]
    details: dict[str, Any] = {
        "likelihood_by_position": reference_metrics.likelihood_by_position(references, groups),
        "reliability": {
            model: bins for model, found in references.items() if (bins := reference_metrics.reliability(found))
        },
        **{name: dict(description) for name, description in data.descriptions.items()},
    }
    general = {model: found.general for model, found in scores.items() if found.general is not None}
    if data.general and general:
        tables.append(forgetting.general_table(general).with_groups(labels_of(data.general.groups)))
    capability = {model: found.capability for model, found in scores.items() if found.capability is not None}
    if data.capability and capability:
        labels = labels_of([item.group for item in data.capability])
        tables += [one.with_groups(labels) for one in forgetting.capability_tables(data.capability, capability)]
        details["capability"] |= forgetting.capability_details(data.capability, capability)
    if data.training_answers is not None:
        found, details["longest_overlaps"] = memorization(prompts, answers, data.training_answers)
        tables += [one.with_groups(groups) for one in found]
    return tables, {key: value for key, value in details.items() if value}
