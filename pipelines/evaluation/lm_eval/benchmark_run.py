"""Run one model over tasks of lm-evaluation-harness: every metric with its standard error and its values by item.

The harness gets the loaded model, with the same adapter, tokens and chat template as in every other measurement.
"""

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from numbers import Real
from typing import Any
from unittest.mock import patch

import torch
import transformers

from pipelines.endpoint.client import Endpoint
from pipelines.errors import UserError
from pipelines.evaluation.lm_eval.served_harness_model import as_served_harness_model, one_line_server_errors
from pipelines.evaluation.lm_eval.tasks import one_line_errors
from pipelines.evaluation.statistics.row_groups import group_of
from pipelines.inference.served_model import ServedModel
from pipelines.modeling import LoadedModel

N_BOOTSTRAPS = 1_000  # of the harness, for the standard error of metrics that are not means


@dataclass(frozen=True)
class BenchmarkPlan:
    """How tasks are run: `limit` items of each (None: all), drawn with `seed`, `batch_size` at a time. The models named
    in `engines` are asked there."""

    limit: int | None = None
    batch_size: int = 8
    seed: int = 0
    engines: Mapping[str, Endpoint] = field(default_factory=dict)


@dataclass(frozen=True)
class MetricOutcome:
    """One metric of one task; `value` is None if it is not finite.

    `items` has a numerator and a denominator for each item, and the value is the ratio of their sums: the denominators
    are 1 for a mean and bytes for bits per byte. It is None for a group and for other metrics. `groups` has a label for
    each item if all documents of the task have a `group`: items of one group are resampled together.
    """

    task: str
    version: str
    n_shot: int
    metric: str
    better: str
    n: int
    value: float | None
    stderr: float | None
    items: tuple[tuple[float, float], ...] | None
    groups: tuple[str, ...] | None = None


def run_tasks(
    loaded: LoadedModel | ServedModel, tasks: Mapping[str, Any], plan: BenchmarkPlan, *, with_template: bool
) -> list[MetricOutcome]:
    """Return all metrics of `tasks` (of `load_tasks`) for one model, groups first.

    Without a template, few-shot examples are text before the item; with one, each is a user and an assistant turn.
    Raises `UserError` for a task that does not fit the model.
    """
    from lm_eval.evaluator import evaluate

    transformers.set_seed(plan.seed)
    for task in tasks["tasks"].values():
        task.set_fewshot_seed(plan.seed)  # all models see the same examples before the same item
    if isinstance(loaded, ServedModel):
        harness_model = as_served_harness_model(loaded, tasks, plan.seed, with_template=with_template)
    else:
        harness_model = as_harness_model(loaded, plan.batch_size, with_template)
    with one_line_errors(list(tasks["tasks"])), one_line_server_errors(loaded.name):
        drawn = None
        if plan.limit is not None:  # drawn, because the first N may all be of one kind
            sizes = {name: len(task.eval_docs) for name, task in tasks["tasks"].items()}
            drawn = {
                name: sorted(random.Random(plan.seed).sample(range(n), min(plan.limit, n))) for name, n in sizes.items()
            }
        found = evaluate(
            harness_model,
            dict(tasks),
            samples=drawn,
            bootstrap_iters=N_BOOTSTRAPS,
            apply_chat_template=with_template,
            fewshot_as_multiturn=with_template,
            confirm_run_unsafe_code=True,  # load_tasks refused such tasks unless the user allowed them
        )
    return _outcomes(found, tasks)


def as_harness_model(loaded: LoadedModel, batch_size: int, with_template: bool) -> Any:
    """Wrap the model for the harness. Log-softmax is computed in float32, also for a model in bfloat16. A chat template
    writes all special tokens itself: the tokenizer must not add a BOS."""
    from lm_eval.models.huggingface import HFLM

    if loaded.tokenizer.eos_token_id is None:
        problem = f"the tokenizer of {loaded.path} has no eos_token, which lm-evaluation-harness needs"
        raise UserError(problem, "set eos_token in its tokenizer_config.json")
    # The harness ties weights again, which fails if an adapter trained tokens of a tied embedding.
    with patch.object(loaded.model, "tie_weights", lambda: None):
        return HFLM(
            pretrained=loaded.model,
            tokenizer=loaded.tokenizer,
            backend="causal",
            batch_size=batch_size,
            softmax_dtype=torch.float32,
            add_bos_token=False if with_template else None,
        )


def _outcomes(found: Mapping[str, Any], tasks: Mapping[str, Any]) -> list[MetricOutcome]:
    outcomes = []
    for name in [*tasks.get("groups", {}), *tasks["tasks"]]:
        values = found["results"].get(name, {})
        for key, value in values.items():
            metric, comma, filter_name = key.partition(",")
            if not comma or metric.endswith("_stderr") or not isinstance(value, Real):
                continue
            samples = [one for one in found["samples"].get(name, []) if one["filter"] == filter_name and metric in one]
            items = _items(tasks["tasks"].get(name), samples, metric)
            is_higher_better = found["higher_is_better"].get(name, {}).get(metric)
            outcomes.append(
                MetricOutcome(
                    task=name,
                    version=str(found["versions"].get(name)),
                    n_shot=int(found["n-shot"].get(name, 0)),
                    metric=metric if filter_name == "none" else f"{metric} ({filter_name})",
                    better={None: "neither", True: "higher", False: "lower"}[is_higher_better],
                    n=len(items) if items is not None else int(values["sample_len"]),
                    value=_finite(value),
                    stderr=_finite(values.get(f"{metric}_stderr,{filter_name}")),
                    items=items,
                    groups=_groups(samples) if items is not None else None,
                )
            )
    return outcomes


def _finite(value: Any) -> float | None:
    """Return the number, None if it is missing or not finite (JSON has no such numbers)."""
    return float(value) if isinstance(value, Real) and math.isfinite(value) else None


def _groups(samples: Sequence[Mapping[str, Any]]) -> tuple[str, ...] | None:
    documents = [one.get("doc") for one in samples]
    groups = tuple(group for one in documents if isinstance(one, Mapping) and (group := group_of(one)))
    return groups if len(groups) == len(documents) else None


def _items(task: Any, samples: Sequence[Mapping[str, Any]], metric: str) -> tuple[tuple[float, float], ...] | None:
    """Return the metric of each item as numerator and denominator, None for a group and for other metrics."""
    from lm_eval.api.metrics import bits_per_byte, mean

    if task is None:
        return None
    values = [one[metric] for one in samples]
    figure = task.aggregation().get(metric, mean)
    if figure is mean and all(_finite(value) is not None for value in values):
        return tuple((float(value), 1.0) for value in values)
    if figure is bits_per_byte:
        return tuple((-float(nats) / math.log(2), float(n_bytes)) for nats, n_bytes in values)
    return None
