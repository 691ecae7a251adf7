"""The paired difference of each prompt, sorted: whether a mean rests on many prompts or on a few."""

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from pipelines.report.charts.charts import MAX_POINTS, Axis, Chart, Curve, Tick, ceiling, nice_step
from pipelines.report.comparison_record import Better, Comparison, Measure
from pipelines.report.figures import Figure, Unit

BITS = "response_bits_per_byte"
MIN_PROMPTS = 2
_MAX_MARKS = 80  # more of them cover each other


def paired_charts(rows: Sequence[Mapping[str, Any]], comparison: Comparison) -> list[Chart]:
    """A chart of each measure that a model's correctness rests on, and of the reference's bits per byte, where
    responses.jsonl has values of single prompts."""
    named = [metric for one in comparison.others for aspect, _, metric in one.summary if aspect == "Correctness"]
    wanted = list(dict.fromkeys([*named, BITS]))
    measures = {measure.name: measure for measure in comparison.compared}
    charts = [_chart(rows, comparison, measures[name]) for name in wanted if name in measures]
    return [chart for chart in charts if chart is not None]


def _chart(rows: Sequence[Mapping[str, Any]], comparison: Comparison, measure: Measure) -> Chart | None:
    names = [model.name for model in comparison.models]
    found = {model.name: _differences(rows, names[0], model.name, measure) for model in comparison.others}
    found = {name: values for name, values in found.items() if len(values) >= MIN_PROMPTS}
    if not found:
        return None
    factor = 100 if measure.unit is Unit.SHARE else 1
    end = ceiling(factor * max(abs(value) for values in found.values() for value in values))
    y = Axis(-end, end, nice_step(2 * end, 4))
    n_most = max(map(len, found.values()))
    curves = tuple(
        Curve(
            name=name,
            points=tuple((x, 100 - y.at(factor * value)) for x, value in _spread(values)),
            number=names.index(name),
            note=_described(values, measure),
            has_marks=len(values) <= _MAX_MARKS,
        )
        for name, values in found.items()
    )
    title = f"{measure.full_label}: difference from {comparison.base.name} on each prompt"
    direction = {Better.HIGHER: "Above zero is better.", Better.LOWER: "Below zero is better."}.get(measure.better, "")
    return Chart(
        title=title,
        summary=f"{title}. {' '.join(f'{curve.name}: {curve.note}' for curve in curves)}",
        x_label="prompts, sorted by their difference",
        y_label="points" if measure.unit is Unit.SHARE else measure.unit.value.replace("_", " "),
        curves=curves,
        x_ticks=(Tick(0, "1"), Tick(100, f"{n_most:,}")),
        y_ticks=y.ticks(from_top=True),
        explanation=direction,
        zero=50.0,
    )


def _differences(rows: Sequence[Mapping[str, Any]], base: str, model: str, measure: Measure) -> list[float]:
    """Sorted differences of the counted prompts for which both models have a value."""
    pairs = [
        [_value(row["answers"].get(name), measure.name) for name in (base, model)]
        for row in rows
        if row.get("counted", True)
    ]
    return sorted(float(after) - float(before) for before, after in pairs if before is not None and after is not None)


def _value(answers: Mapping[str, Any] | None, metric: str) -> float | None:
    answers = answers or {"greedy": {"checks": {}}}
    value = answers.get(BITS) if metric == BITS else answers["greedy"]["checks"].get(metric)
    return value if isinstance(value, (bool, int, float)) else None


def _spread(values: Sequence[float]) -> list[tuple[float, float]]:
    """(percent from the left, value) of at most MAX_POINTS of the sorted `values`, both ends among them."""
    last = len(values) - 1
    n_points = min(len(values), MAX_POINTS)
    places = [round(step * last / (n_points - 1)) for step in range(n_points)]
    return [(100 * place / last, values[place]) for place in places]


def _described(values: Sequence[float], measure: Measure) -> str:
    higher, lower = sum(value > 0 for value in values), sum(value < 0 for value in values)
    middle = median(values)
    equal, n = len(values) - higher - lower, len(values)
    median_text = Figure(middle, middle, middle, unit=measure.unit).change
    return f"higher on {higher:,}, equal on {equal:,}, lower on {lower:,} of {n:,} prompts; median {median_text}."
