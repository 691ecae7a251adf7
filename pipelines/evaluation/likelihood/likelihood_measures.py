"""What one model's likelihoods show besides its answers (P(end), calibration, forgetting), and memorization."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipelines.evaluation.likelihood.evaluation_files import EvaluationFiles, capability_items, general_documents
from pipelines.evaluation.likelihood.forgetting import (
    CapabilityScore,
    capability_details,
    capability_scores,
    capability_tables,
    general_likelihoods,
    general_table,
)
from pipelines.evaluation.likelihood.likelihood import DocumentLikelihood
from pipelines.evaluation.likelihood.memorization import longest_overlaps, memorization_tables
from pipelines.evaluation.likelihood.reference_metrics import (
    calibration_tables,
    end_tables,
    likelihood_by_position,
    reliability,
)
from pipelines.evaluation.likelihood.reference_scores import ReferenceScores, reference_scores
from pipelines.evaluation.prompts.prompt import Prompt
from pipelines.evaluation.statistics.metric_table import MetricTable
from pipelines.evaluation.statistics.row_groups import labels_of
from pipelines.inference.generation import Answer
from pipelines.modeling import LoadedModel, PromptStyle


@dataclass(frozen=True, eq=False)
class LikelihoodScores:
    """One model's scores. `references` has one entry for each prompt, None without a reference answer; `general` one
    for each document and `capability` one for each item of the files, None without such a file."""

    references: Sequence[ReferenceScores | None]
    general: Sequence[DocumentLikelihood] | None = None
    capability: Sequence[CapabilityScore] | None = None


def likelihood_scores(
    loaded: LoadedModel, prompts: Sequence[Prompt], style: PromptStyle, files: EvaluationFiles, *, batch_size: int = 8
) -> LikelihoodScores:
    """Score one model while it is in memory: references after prompts in `style`, the rest without a template.

    Every process has to call this. Raises `UserError` for files that cannot be measured on, and for a model whose
    outputs are not finite.
    """
    return LikelihoodScores(
        reference_scores(loaded, prompts, style, batch_size=batch_size),
        general_likelihoods(loaded, general_documents(files.general), batch_size=batch_size) if files.general else None,
        capability_scores(loaded, capability_items(files.capability), batch_size=batch_size)
        if files.capability
        else None,
    )


def likelihood_tables(
    prompts: Sequence[Prompt],
    scores: Mapping[str, LikelihoodScores],
    answers: Mapping[str, Sequence[Answer]],
    files: EvaluationFiles,
) -> list[MetricTable]:
    """All tables, in the order of a page; those of prompts have one item for each of `prompts`.

    `scores` and `answers` (greedy) have one entry for each prompt and model, in the order of `prompts`.
    """
    groups = [prompt.dependence for prompt in prompts]
    references = {model: found.references for model, found in scores.items()}
    tables = [one.with_groups(groups) for one in end_tables(references) + calibration_tables(references)]
    general = {model: found.general for model, found in scores.items() if found.general is not None}
    if files.general and general:
        tables.append(general_table(general).with_groups(labels_of(general_documents(files.general).groups)))
    capability = {model: found.capability for model, found in scores.items() if found.capability is not None}
    if files.capability and capability:
        items = capability_items(files.capability)
        labels = labels_of([item.group for item in items])
        tables += [one.with_groups(labels) for one in capability_tables(items, capability)]
    if files.training_rows:
        tables += [one.with_groups(groups) for one in memorization_tables(prompts, answers, files.training_rows)]
    return tables


def likelihood_details(
    prompts: Sequence[Prompt],
    scores: Mapping[str, LikelihoodScores],
    answers: Mapping[str, Sequence[Answer]],
    files: EvaluationFiles,
) -> dict[str, Any]:
    """`details` of comparison.json: likelihood by position, reliability, longest overlaps, the files measured on."""
    references = {model: found.references for model, found in scores.items()}
    details: dict[str, Any] = {
        "likelihood_by_position": likelihood_by_position(references, [prompt.dependence for prompt in prompts]),
        "reliability": {model: bins for model, found in references.items() if (bins := reliability(found))},
        **files.describe(),
    }
    capability = {model: found.capability for model, found in scores.items() if found.capability is not None}
    if files.capability and capability:
        details["capability"] |= capability_details(capability_items(files.capability), capability)
    if files.training_rows:
        details["longest_overlaps"] = longest_overlaps(prompts, answers, files.training_rows)
    return {key: value for key, value in details.items() if value}
