"""The measured part of comparison.json with both baselines: the base as it is, and the base after examples."""

from collections.abc import Mapping, Sequence
from typing import Any

from pipelines.evaluation.compare.comparison import comparison_of
from pipelines.evaluation.compare.measuring import MeasuredModel
from pipelines.evaluation.prompts.few_shot import FewShotPool
from pipelines.evaluation.prompts.prompt_sets import Prompt
from pipelines.evaluation.statistics.metric_table import MetricTable


def comparison_with_baselines(
    prompts: Sequence[Prompt],
    models: Sequence[MeasuredModel],
    responses: Sequence[Mapping[str, Any]],
    further: Sequence[MetricTable],
    pool: FewShotPool,
) -> dict[str, Any]:
    """`comparison_of` all models, of which the few-shot base is the last, if there is one.

    `few_shot` has its name and examples; without a few-shot base, in `why_not`, the reason.
    """
    found = comparison_of(prompts, models, responses, further)
    few_shot = models[-1]
    if few_shot.few_shot is None:
        return {**found, "few_shot": {"why_not": pool.why_not or "no example fits into the base's positions"}}
    return {**found, "few_shot": {"name": few_shot.name, **few_shot.few_shot.to_json()}}
