"""The table of metrics: the values of all models, and each instruct model's paired difference from the base."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pipelines.report.charts.charts import ceiling
from pipelines.report.comparison_record import Better, Comparison, Difference, Measure, Model, Verdict
from pipelines.report.figures import (
    Unit,
    difference_interval_text,
    difference_text,
    interval_text,
    relative_text,
    value_text,
)

MIN_PROMPTS = 20  # a row of fewer is folded away, and so is one that is zero for every model


@dataclass(frozen=True)
class Value:
    """A model's value of one metric, as printed."""

    model: str
    value: str
    interval: str


@dataclass(frozen=True)
class Effect:
    """A model's difference from the base as printed, and its place on the row's scale, in percent from the left; what
    the record leaves out is empty or None. `notes` has the difference from each further baseline, and what the record
    says against the verdict."""

    model: str
    difference: str
    interval: str
    relative: str
    p_value: str
    tally: tuple[int, int, int] | None
    verdict: Verdict | None
    notes: tuple[str, ...]
    at: float
    low: float
    high: float


@dataclass(frozen=True)
class Row:
    """One metric. `values` has the base first; a model without the metric has None there and in `effects`, which has
    the instruct models alone. Zero is in the middle of the scale, which ends at `scale_end`."""

    label: str
    direction: str
    n: str
    values: tuple[Value | None, ...]
    effects: tuple[Effect | None, ...]
    scale_end: str


@dataclass(frozen=True)
class Group:
    """Rows that look at the same thing."""

    title: str
    rows: tuple[Row, ...]


@dataclass(frozen=True)
class MeasureTables:
    """The rows to see first; those that say little (zero for all models, or of few prompts); those of samples."""

    shown: tuple[Group, ...]
    folded: tuple[Group, ...]
    sampled: tuple[Group, ...]


_DIRECTIONS = {
    Better.HIGHER: "higher is better",
    Better.LOWER: "lower is better",
    Better.NEITHER: "no better direction",
}


def measure_tables(comparison: Comparison) -> MeasureTables:
    """All metrics that the base and an instruct model have, by the record's groups. Differences in one unit share a
    scale within each table."""
    parts: dict[str, list[Measure]] = {"shown": [], "folded": [], "sampled": []}
    for measure in comparison.compared:
        is_folded = _says_little(comparison, measure)
        parts["sampled" if measure.decoding == "sampled" else "folded" if is_folded else "shown"].append(measure)
    return MeasureTables(**{name: _groups(comparison, measures) for name, measures in parts.items()})


def _says_little(comparison: Comparison, measure: Measure) -> bool:
    counts = [
        model.differences[measure.name].figure.n for model in comparison.others if measure.name in model.differences
    ]
    is_of_few = any(n is not None and n < MIN_PROMPTS for n in counts)
    return is_of_few or not any(
        model.figures[measure.name].value for model in comparison.models if measure.name in model.figures
    )


def sampled_settings(comparison: Comparison) -> str:
    """ "sampled answers (temperature 0.7, top-p 0.95, 2 for each prompt)"."""
    sampled = comparison.record["decoding"].get("sampled") or {}
    words = {"temperature": "temperature {}", "top_p": "top-p {}", "num_samples": "{} for each prompt"}
    settings = [text.format(sampled[key]) for key, text in words.items() if sampled.get(key) is not None]
    return f"sampled answers ({', '.join(settings)})" if settings else "sampled answers"


def _groups(comparison: Comparison, measures: Sequence[Measure]) -> tuple[Group, ...]:
    ends: dict[Unit, float] = {}
    for measure in measures:
        differences = [model.differences.get(measure.name) for model in comparison.others]
        reach = max(max(abs(one.figure.low), abs(one.figure.high)) for one in differences if one is not None)
        ends[measure.unit] = max(ends.get(measure.unit, 0.0), reach)
    rows: dict[str, list[Row]] = {}
    for measure in measures:
        factor = 100 if measure.unit is Unit.SHARE else 1
        rows.setdefault(measure.group, []).append(
            _row(comparison, measure, ceiling(factor * ends[measure.unit]) / factor)
        )
    return tuple(Group(title, tuple(some)) for title, some in rows.items())


def _row(comparison: Comparison, measure: Measure, end: float) -> Row:
    name = measure.name
    differences = [model.differences[name] for model in comparison.others if name in model.differences]
    return Row(
        label=measure.full_label,
        direction=_DIRECTIONS[measure.better],
        n=max(differences, key=lambda one: one.figure.n or 0).figure.n_text,
        values=tuple(_value(model, measure) for model in comparison.models),
        effects=tuple(
            _effect(model, measure, model.differences[name], end) if name in model.differences else None
            for model in comparison.others
        ),
        scale_end=f"{100 * end:g} points" if measure.unit is Unit.SHARE else f"{end:g}",
    )


def _value(model: Model, measure: Measure) -> Value | None:
    figure = model.figures.get(measure.name)
    if figure is None:
        return None
    return Value(model.name, value_text(figure.value, measure.unit), interval_text(figure, measure.unit))


def _effect(model: Model, measure: Measure, difference: Difference, end: float) -> Effect:
    figure = difference.figure
    at, low, high = (50 + 50 * max(-1.0, min(1.0, one / end)) for one in (figure.value, figure.low, figure.high))
    return Effect(
        model=model.name,
        difference=difference_text(figure, measure.unit),
        interval=difference_interval_text(figure, measure.unit),
        relative=relative_text(difference.relative) if difference.relative else "",
        p_value=difference.p_text,
        tally=difference.tally,
        verdict=difference.verdict,
        notes=tuple(_notes(model, measure, difference)),
        at=at,
        low=low,
        high=high,
    )


def _notes(model: Model, measure: Measure, difference: Difference) -> Iterator[str]:
    if difference.why:
        yield difference.why
    for baseline, found in model.against.items():
        if other := found.get(measure.name):
            change = difference_text(other.figure, measure.unit)
            verdict = f", {other.verdict.value}" if other.verdict else ""
            yield f"from {baseline}: {change} {difference_interval_text(other.figure, measure.unit)}{verdict}"
