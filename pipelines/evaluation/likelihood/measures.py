"""One model measured beyond the task, and all models' measurements as series and details."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipelines.evaluation.likelihood.calibration import calibration_series, reliability
from pipelines.evaluation.likelihood.end_probability import ending_series
from pipelines.evaluation.likelihood.forgetting import (
    CapabilityScore,
    capability_details,
    capability_scores,
    capability_series,
    general_likelihoods,
    general_series,
)
from pipelines.evaluation.likelihood.likelihood import DocumentLikelihood
from pipelines.evaluation.likelihood.memorization import longest_overlaps, memorisation_series
from pipelines.evaluation.likelihood.plan import (
    BeyondPlan,
    capability_items,
    describe_capability,
    describe_general,
    describe_training_rows,
    general_documents,
)
from pipelines.evaluation.likelihood.positions import likelihood_by_position
from pipelines.evaluation.likelihood.reference_scores import ReferenceScores, reference_scores
from pipelines.evaluation.prompts.prompt_sets import Prompt
from pipelines.evaluation.statistics.metric_table import MetricTable
from pipelines.evaluation.statistics.row_groups import labels_of
from pipelines.inference.generation import Answer
from pipelines.modeling import LoadedModel, PromptStyle


@dataclass(frozen=True, eq=False)
class BeyondMeasured:
    """What one model did beyond the task.

    `references` has one entry a prompt, None without a reference answer; `general` one a document and `capability` one
    an item of the plan's files, None without such a file.
    """

    references: Sequence[ReferenceScores | None]
    general: Sequence[DocumentLikelihood] | None = None
    capability: Sequence[CapabilityScore] | None = None


def measure_beyond(
    loaded: LoadedModel, prompts: Sequence[Prompt], style: PromptStyle, plan: BeyondPlan, *, batch_size: int = 8
) -> BeyondMeasured:
    """Measure one model while it is in memory; the references behind prompts in `style`, the rest without a template.

    Every process has to call this. Raises `UserError` for files that cannot be measured on, and for a model that gives
    no numbers.
    """
    return BeyondMeasured(
        reference_scores(loaded, prompts, style, batch_size=batch_size),
        general_likelihoods(loaded, general_documents(plan.general), batch_size=batch_size) if plan.general else None,
        capability_scores(loaded, capability_items(plan.capability), batch_size=batch_size)
        if plan.capability
        else None,
    )


def beyond_series(
    prompts: Sequence[Prompt],
    measured: Mapping[str, BeyondMeasured],
    answers: Mapping[str, Sequence[Answer]],
    plan: BeyondPlan,
) -> list[MetricTable]:
    """All series, in the order of a page; those of prompts have one item for each of `prompts`.

    `measured` and `answers` (greedy) hold one entry a prompt for each model, in the order of `prompts`.
    """
    groups = [prompt.dependence for prompt in prompts]
    references = {model: found.references for model, found in measured.items()}
    series = [one.with_groups(groups) for one in ending_series(references) + calibration_series(references)]
    general = {model: found.general for model, found in measured.items() if found.general is not None}
    if plan.general and general:
        series.append(general_series(general).with_groups(labels_of(general_documents(plan.general).groups)))
    capability = {model: found.capability for model, found in measured.items() if found.capability is not None}
    if plan.capability and capability:
        items = capability_items(plan.capability)
        labels = labels_of([item.group for item in items])
        series += [one.with_groups(labels) for one in capability_series(items, capability)]
    if plan.training_rows:
        series += [one.with_groups(groups) for one in memorisation_series(prompts, answers, plan.training_rows)]
    return series


def beyond_details(
    prompts: Sequence[Prompt],
    measured: Mapping[str, BeyondMeasured],
    answers: Mapping[str, Sequence[Answer]],
    plan: BeyondPlan,
) -> dict[str, Any]:
    """`details` of comparison.json: likelihood by position, reliability, strongest overlaps, the files measured on."""
    references = {model: found.references for model, found in measured.items()}
    details: dict[str, Any] = {
        "likelihood_by_position": likelihood_by_position(references, [prompt.dependence for prompt in prompts]),
        "reliability": {model: bins for model, found in references.items() if (bins := reliability(found))},
    }
    capability = {model: found.capability for model, found in measured.items() if found.capability is not None}
    if plan.general:
        details["general"] = describe_general(plan.general)
    if plan.capability and capability:
        figures = capability_details(capability_items(plan.capability), capability)
        details["capability"] = {**describe_capability(plan.capability), **figures}
    if plan.training_rows:
        details["training_rows"] = describe_training_rows(plan.training_rows)
        details["longest_overlaps"] = longest_overlaps(prompts, answers, plan.training_rows)
    return {key: value for key, value in details.items() if value}
