"""The table of metrics: all models on one scale with intervals, and each one's paired difference from the base."""

from dataclasses import dataclass

from pipelines.report.charts import ceiling
from pipelines.report.comparison_record import Better, Comparison, Difference, Measure, Model, Verdict
from pipelines.report.figures import (
    Figure,
    Unit,
    difference_interval_text,
    difference_text,
    interval_text,
    p_value_text,
    relative_text,
    value_text,
)


@dataclass(frozen=True)
class Mark:
    """A model's value on a row's scale: the text, and the bar and interval in percent of the scale."""

    model: str
    value: str
    interval: str
    at: float
    low: float
    high: float


@dataclass(frozen=True)
class Effect:
    """A model's difference from the base as printed; what the record leaves out is empty or None."""

    model: str
    difference: str
    interval: str
    relative: str
    p_value: str
    tally: tuple[int, int, int] | None
    verdict: Verdict | None


@dataclass(frozen=True)
class Row:
    """One metric. `marks` has the base first; a model without the metric has None in both tuples."""

    label: str
    direction: str
    n: int | None
    marks: tuple[Mark | None, ...]
    effects: tuple[Effect | None, ...]
    scale_end: str


@dataclass(frozen=True)
class Group:
    """Rows that look at the same thing; `is_sampled` tells those of sampled answers."""

    title: str
    rows: tuple[Row, ...]
    is_sampled: bool


_DIRECTIONS = {
    Better.HIGHER: "higher is better",
    Better.LOWER: "lower is better",
    Better.NEITHER: "no better direction",
}


def measure_groups(comparison: Comparison) -> list[Group]:
    """The rows by the record's groups, first all of greedy answers and likelihoods, then those of sampled answers."""
    rows: dict[tuple[bool, str], list[Row]] = {}
    for measure in sorted(comparison.compared, key=lambda one: one.decoding == "sampled"):
        rows.setdefault((measure.decoding == "sampled", measure.group), []).append(_row(comparison, measure))
    return [Group(title, tuple(some), is_sampled) for (is_sampled, title), some in rows.items()]


def sampled_settings(comparison: Comparison) -> str:
    """ "sampled answers (temperature 0.7, top-p 0.95, 2 for each prompt)"."""
    sampled = comparison.record["decoding"].get("sampled") or {}
    words = {"temperature": "temperature {}", "top_p": "top-p {}", "num_samples": "{} for each prompt"}
    settings = [text.format(sampled[key]) for key, text in words.items() if sampled.get(key) is not None]
    return f"sampled answers ({', '.join(settings)})" if settings else "sampled answers"


def _row(comparison: Comparison, measure: Measure) -> Row:
    name, models = measure.name, comparison.models
    known = [model.figures[name] for model in models if name in model.figures]
    end = 1.0 if measure.unit is Unit.SHARE else ceiling(max(figure.high for figure in known))
    counts = [model.differences[name].figure.n for model in comparison.others if name in model.differences]
    return Row(
        label=measure.full_label,
        direction=_DIRECTIONS[measure.better],
        n=max((n for n in counts if n is not None), default=None),
        marks=tuple(
            _mark(model.name, model.figures[name], measure.unit, end) if name in model.figures else None
            for model in models
        ),
        effects=tuple(
            _effect(model, measure, model.differences[name]) if name in model.differences else None
            for model in comparison.others
        ),
        scale_end="100%" if measure.unit is Unit.SHARE else f"{end:g}",
    )


def _mark(model: str, figure: Figure, unit: Unit, end: float) -> Mark:
    at, low, high = (max(0.0, min(100.0, 100 * number / end)) for number in (figure.value, figure.low, figure.high))
    return Mark(model, value_text(figure.value, unit), interval_text(figure, unit), at, low, high)


def _effect(model: Model, measure: Measure, difference: Difference) -> Effect:
    return Effect(
        model=model.name,
        difference=difference_text(difference.figure, measure.unit),
        interval=difference_interval_text(difference.figure, measure.unit),
        relative=relative_text(difference.relative) if difference.relative else "",
        p_value="" if difference.p_value is None else p_value_text(difference.p_value),
        tally=difference.tally,
        verdict=difference.verdict,
    )
