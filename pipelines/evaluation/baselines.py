"""The measured part of comparison.json with both baselines: the base as it is, and the base after examples."""

from collections.abc import Mapping, Sequence
from typing import Any

from pipelines.evaluation.comparison import comparison_of
from pipelines.evaluation.few_shot import FewShotPool
from pipelines.evaluation.measuring import MeasuredModel
from pipelines.evaluation.prompts import Prompt
from pipelines.evaluation.series import Series


def comparison_with_baselines(
    prompts: Sequence[Prompt],
    models: Sequence[MeasuredModel],
    responses: Sequence[Mapping[str, Any]],
    further: Sequence[Series],
    pool: FewShotPool,
) -> dict[str, Any]:
    """`comparison_of` the models without examples; the few-shot base, the last of `models`, is added to its `models`.

    `few_shot` has its name and examples, and the instruct models' differences to it and sentences; without a few-shot
    base, in `why_not`, the reason.
    """
    zero_shot = [model for model in models if model.few_shot is None]
    found = comparison_of(prompts, zero_shot, responses, further)
    few_shot = models[-1]
    if few_shot.few_shot is None:
        return {**found, "few_shot": {"why_not": pool.why_not or "no example fits into the base's positions"}}
    against = comparison_of(prompts, [few_shot, *zero_shot[1:]], responses)
    found["models"] = {**found["models"], few_shot.name: against["models"][few_shot.name]}
    record = {"name": few_shot.name, **few_shot.few_shot.to_json()}
    return {**found, "few_shot": {**record, **{key: against[key] for key in ("differences", "sentences")}}}
