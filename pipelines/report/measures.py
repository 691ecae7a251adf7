"""The table of metrics: the values of all models, and each instruct model's paired difference from the base."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pipelines.report.charts.charts import ceiling
from pipelines.report.comparison_record import Better, Comparison, Difference, Measure, Model
from pipelines.report.figures import Figure, Unit

MIN_PROMPTS = 20  # a row of fewer is folded away, and so is one that is zero for every model


@dataclass(frozen=True)
class Effect:
    """A model's difference from the base, and its place on the row's scale in percent from the left. `notes` has the
    differences from further baselines, and what the record says against the verdict."""

    model: str
    difference: Difference
    notes: tuple[str, ...]
    at: float
    low: float
    high: float


@dataclass(frozen=True)
class Row:
    """One metric. `values` has the base first; a model without the metric has None there and in `effects`, which has
    the instruct models only. Zero is in the middle of the scale, which ends at `scale_end`."""

    label: str
    direction: str
    n: str
    values: tuple[Figure | None, ...]
    effects: tuple[Effect | None, ...]
    scale_end: str


@dataclass(frozen=True)
class Group:
    """Rows that measure the same aspect."""

    title: str
    rows: tuple[Row, ...]


@dataclass(frozen=True)
class MeasureTables:
    """The rows to see first; those that say little (zero for all models, or few prompts); those of sampled answers."""

    shown: tuple[Group, ...]
    folded: tuple[Group, ...]
    sampled: tuple[Group, ...]


_DIRECTIONS = {
    Better.HIGHER: "higher is better", Better.LOWER: "lower is better", Better.NEITHER: "no better direction",
}  # fmt: skip


def measure_tables(comparison: Comparison) -> MeasureTables:
    """All metrics of the base and an instruct model, in the record's groups. Differences in one unit share a scale
    within each table."""
    parts: dict[str, list[Measure]] = {"shown": [], "folded": [], "sampled": []}
    for measure in comparison.compared:
        is_folded = _says_little(comparison, measure)
        parts["sampled" if measure.decoding == "sampled" else "folded" if is_folded else "shown"].append(measure)
    return MeasureTables(**{name: _groups(comparison, measures) for name, measures in parts.items()})


def sampled_settings(comparison: Comparison) -> str:
    """ "sampled answers (temperature 0.7, top-p 0.95, 2 for each prompt)"."""
    sampled = comparison.record["decoding"].get("sampled") or {}
    words = {"temperature": "temperature {}", "top_p": "top-p {}", "num_samples": "{} for each prompt"}
    settings = [text.format(sampled[key]) for key, text in words.items() if sampled.get(key) is not None]
    return f"sampled answers ({', '.join(settings)})" if settings else "sampled answers"


def _differences(comparison: Comparison, measure: Measure) -> list[Difference]:
    return [model.differences[measure.name] for model in comparison.others if measure.name in model.differences]


def _says_little(comparison: Comparison, measure: Measure) -> bool:
    counts = [one.figure.n for one in _differences(comparison, measure)]
    values = [model.figures[measure.name].value for model in comparison.models if measure.name in model.figures]
    return any(n is not None and n < MIN_PROMPTS for n in counts) or not any(values)


def _groups(comparison: Comparison, measures: Sequence[Measure]) -> tuple[Group, ...]:
    ends: dict[Unit, float] = {}
    for measure in measures:
        figures = [one.figure for one in _differences(comparison, measure)]
        reach = max(max(abs(one.low), abs(one.high)) for one in figures)
        ends[measure.unit] = max(ends.get(measure.unit, 0.0), reach)
    rows: dict[str, list[Row]] = {}
    for measure in measures:
        end = ceiling(measure.unit.factor * ends[measure.unit])
        rows.setdefault(measure.group, []).append(_row(comparison, measure, end))
    return tuple(Group(title, tuple(some)) for title, some in rows.items())


def _row(comparison: Comparison, measure: Measure, end: float) -> Row:
    """`end` is the end of the scale in printed units."""
    name, scale = measure.name, end / measure.unit.factor
    return Row(
        label=measure.full_label,
        direction=_DIRECTIONS[measure.better],
        n=max((one.figure for one in _differences(comparison, measure)), key=lambda one: one.n or 0).n_text,
        values=tuple(model.figures.get(name) for model in comparison.models),
        effects=tuple(
            _effect(model, name, model.differences[name], scale) if name in model.differences else None
            for model in comparison.others
        ),
        scale_end=f"{end:g}" + (" points" if measure.unit is Unit.SHARE else ""),
    )


def _effect(model: Model, name: str, difference: Difference, scale: float) -> Effect:
    figure = difference.figure
    at, low, high = (50 + 50 * max(-1.0, min(1.0, x / scale)) for x in (figure.value, figure.low, figure.high))
    return Effect(model.name, difference, tuple(_notes(model, name, difference)), at, low, high)


def _notes(model: Model, name: str, difference: Difference) -> Iterator[str]:
    if difference.why:
        yield difference.why
    for baseline, found in model.against.items():
        if other := found.get(name):
            verdict = f", {other.verdict.value}" if other.verdict else ""
            yield f"from {baseline}: {other.figure.change_with_interval}{verdict}"
