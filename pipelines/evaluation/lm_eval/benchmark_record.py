"""Build the results of benchmark.json, with paired differences between models, and the table on the console."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pipelines.evaluation.lm_eval.benchmark_run import MetricOutcome
from pipelines.evaluation.statistics.intervals import paired_difference_of_means, paired_difference_of_ratios
from pipelines.evaluation.statistics.shares import paired_difference_of_shares
from pipelines.evaluation.statistics.significance import p_value_text, permutation_test_of_sums


def benchmark_results(
    outcomes: Mapping[str, Sequence[MetricOutcome]], base: str, seed: int = 0
) -> list[dict[str, Any]]:
    """Return `results` of benchmark.json: each metric of every model, and the differences from `base`.

    A difference is paired by item; it is None if the metric is not a mean or ratio over items.
    """
    by_metric = {model: {(one.task, one.metric): one for one in found} for model, found in outcomes.items()}
    results = []
    for first in outcomes[base]:
        found = {model: metrics.get((first.task, first.metric)) for model, metrics in by_metric.items()}
        results.append(
            {
                "task": first.task,
                "version": first.version,
                "n_shot": first.n_shot,
                "metric": first.metric,
                "better": first.better,
                "n": first.n,
                "models": {
                    model: {"value": one.value, "stderr": one.stderr} for model, one in found.items() if one is not None
                },
                "difference": {
                    model: None if one is None else _difference(one, first, seed)
                    for model, one in found.items()
                    if model != base
                },
            }
        )
    return results


def _difference(one: MetricOutcome, base: MetricOutcome, seed: int) -> dict[str, Any] | None:
    if one.items is None or base.items is None or len(one.items) != len(base.items) or len(one.items) < 2:
        return None
    a, b, groups = np.array(one.items), np.array(base.items), base.groups
    are_means = bool((a[:, 1] == 1).all() and (b[:, 1] == 1).all())
    if not are_means:
        estimate = paired_difference_of_ratios(*a.T, *b.T, groups=groups, seed=seed)
    elif np.isin([a[:, 0], b[:, 0]], [0, 1]).all():
        estimate = paired_difference_of_shares(a[:, 0], b[:, 0], groups)
    else:
        estimate = paired_difference_of_means(a[:, 0], b[:, 0], groups=groups, seed=seed)
    test = permutation_test_of_sums(a, b, lambda sums: sums[0] / sums[1], groups=groups, seed=seed)
    return {**estimate.to_json(), **test.to_json()}


def benchmark_table(record: Mapping[str, Any]) -> str:
    """Return the console table: a line for each metric, with standard errors, then a line for each difference."""
    models = list(record["models"])
    arrows = {"higher": "↑", "lower": "↓"}
    rows = [("task", "metric", "shots", "items", *models)]
    for result in record["results"]:
        figures = [_figure(result["models"].get(model)) for model in models]
        metric = f"{result['metric']} {arrows.get(result['better'], '')}".rstrip()
        rows.append((result["task"], metric, str(result["n_shot"]), f"{result['n']:,}", *figures))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    differences = [
        f"{model} minus {models[0]}, {result['task']} {result['metric']}: {one['value']:+.4f} "
        f"[{one['ci95'][0]:+.4f}, {one['ci95'][1]:+.4f}], "
        f"{p_value_text(one['p_value'], is_at_floor=one['p_at_floor'])}, n = {one['n']:,}"
        for result in record["results"]
        for model, one in result["difference"].items()
        if one is not None
    ]
    return "\n".join([*lines, *differences, *record["notes"]])


def _figure(figure: Mapping[str, Any] | None) -> str:
    if figure is None or figure["value"] is None:
        return "-"
    return f"{figure['value']:.4f}" + (f" ± {figure['stderr']:.4f}" if figure["stderr"] is not None else "")
