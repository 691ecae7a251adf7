"""The table of metrics: base and instruct on one scale with intervals, the paired difference, and the word for it."""

from dataclasses import dataclass

from pipelines.report.charts import ceiling
from pipelines.report.figures import (
    Figure,
    Unit,
    difference_interval_text,
    difference_text,
    interval_text,
    relative_text,
    value_text,
)
from pipelines.report.reading import Better, Comparison, Difference, Measure, Model
from pipelines.report.verdicts import Verdict, compared_measures, verdict_of


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
class Row:
    """One metric of one model against the base."""

    label: str
    full_label: str
    direction: str
    n: int | None
    marks: tuple[Mark, Mark]
    scale_end: str
    difference: str
    difference_interval: str
    relative: str | None
    verdict: Verdict


@dataclass(frozen=True)
class Group:
    """Rows that come from the same kind of answer."""

    title: str
    rows: tuple[Row, ...]


_DIRECTIONS = {
    Better.HIGHER: "higher is better",
    Better.LOWER: "lower is better",
    Better.NEITHER: "no better direction",
}


def measure_groups(comparison: Comparison, model: Model) -> list[Group]:
    """The rows of `model`'s table: greedy answers first, then the reference's likelihood, then sampled answers."""
    rows: dict[str | None, list[Row]] = {"greedy": [], None: [], "sampled": []}
    for measure, difference in compared_measures(comparison, model):
        rows.setdefault(measure.decoding, []).append(_row(comparison, model, measure, difference))
    titles = {"greedy": "Greedy answers", None: "Reference answers", "sampled": _sampled_title(comparison)}
    return [Group(titles.get(kind, str(kind)), tuple(some)) for kind, some in rows.items() if some]


def _row(comparison: Comparison, model: Model, measure: Measure, difference: Difference) -> Row:
    figures = (comparison.base.figures[measure.name], model.figures[measure.name])
    end = 1.0 if measure.unit is Unit.SHARE else ceiling(max(figure.high for figure in figures))
    return Row(
        label=measure.label,
        full_label=measure.full_label,
        direction=_DIRECTIONS[measure.better],
        n=difference.figure.n,
        marks=(
            _mark(comparison.base.name, figures[0], measure.unit, end),
            _mark(model.name, figures[1], measure.unit, end),
        ),
        scale_end="100%" if measure.unit is Unit.SHARE else f"{end:g}",
        difference=difference_text(difference.figure, measure.unit),
        difference_interval=difference_interval_text(difference.figure, measure.unit),
        relative=relative_text(difference.relative) if difference.relative else None,
        verdict=verdict_of(difference.figure, measure.better),
    )


def _mark(model: str, figure: Figure, unit: Unit, end: float) -> Mark:
    at, low, high = (max(0.0, min(100.0, 100 * number / end)) for number in (figure.value, figure.low, figure.high))
    return Mark(model, value_text(figure.value, unit), interval_text(figure, unit), at, low, high)


def _sampled_title(comparison: Comparison) -> str:
    sampled = comparison.record["decoding"].get("sampled") or {}
    words = {"temperature": "temperature {}", "top_p": "top-p {}", "num_samples": "{} for each prompt"}
    settings = [text.format(sampled[key]) for key, text in words.items() if sampled.get(key) is not None]
    return f"Sampled answers ({', '.join(settings)})" if settings else "Sampled answers"
