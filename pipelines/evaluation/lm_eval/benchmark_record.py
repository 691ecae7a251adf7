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
    """Return `results` of benchmark.json: each metric of every model, and the differences from `base`. A difference is
    paired by item; it is None if the metric is not a mean or ratio over items."""
    by_metric = {model: {(one.task, one.metric): one for one in found} for model, found in outcomes.items()}
    results = []
    for first in outcomes[base]:
        found = {model: metrics.get((first.task, first.metric)) for model, metrics in by_metric.items()}
        values = {model: {"value": one.value, "stderr": one.stderr} for model, one in found.items() if one is not None}
        others = {model: one for model, one in found.items() if model != base}
        result = {key: getattr(first, key) for key in ("task", "version", "n_shot", "metric", "better", "n")}
        result["models"] = values
        result["difference"] = {model: one and _difference(one, first, seed) for model, one in others.items()}
        results.append(result)
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
    arrows = {"higher": " ↑", "lower": " ↓"}
    rows = [("task", "metric", "shots", "items", *models)]
    differences = []
    for result in record["results"]:
        metric = f"{result['metric']}{arrows.get(result['better'], '')}"
        values = [_value_text(result["models"].get(model)) for model in models]
        rows.append((result["task"], metric, str(result["n_shot"]), f"{result['n']:,}", *values))
        for model, one in result["difference"].items():
            if one is not None:
                interval = f"{one['value']:+.4f} [{one['ci95'][0]:+.4f}, {one['ci95'][1]:+.4f}]"
                p_value = p_value_text(one["p_value"], is_at_floor=one["p_at_floor"])
                name = f"{model} minus {models[0]}, {result['task']} {result['metric']}"
                differences.append(f"{name}: {interval}, {p_value}, n = {one['n']:,}")
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([*lines, *differences, *record["notes"]])


def _value_text(found: Mapping[str, Any] | None) -> str:
    if found is None or found["value"] is None:
        return "-"
    return f"{found['value']:.4f}" + (f" ± {found['stderr']:.4f}" if found["stderr"] is not None else "")
