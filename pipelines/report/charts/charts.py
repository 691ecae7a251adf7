"""Scales and lines in percent of a plot area; the page draws them in SVG at any width."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipelines.report.tables import Table

# More points than pixels only make the file larger; means of runs of points keep the curve's shape.
MAX_POINTS = 400
_SAW_TOOTH = (
    " The training loss has a sawtooth shape: within each run of up to 50 batches rows go from long to short "
    "(group_by_length), and the loss per token depends on the row's length. The evaluation loss is over all rows."
)


@dataclass(frozen=True)
class Tick:
    """A labelled place on an axis, in percent of its length."""

    position: float
    label: str


@dataclass(frozen=True)
class Whisker:
    """An interval at x, in percent from the left and from the top."""

    x: float
    top: float
    bottom: float


@dataclass(frozen=True)
class Curve:
    """One line; `points` are (x, y) in percent from the left and the top, `number` selects color, dashes and mark
    (those of the model of that number), `note` describes the line in words."""

    name: str
    points: tuple[tuple[float, float], ...]
    number: int
    note: str = ""
    has_marks: bool = True
    whiskers: tuple[Whisker, ...] = ()

    @property
    def path(self) -> str:
        """The `d` attribute of an SVG path."""
        return "M" + "L".join(f"{x:.2f} {y:.2f}" for x, y in self.points)


@dataclass(frozen=True)
class Chart:
    """Lines over one pair of axes. `summary` is the text alternative, `table` has every figure, `zero` is the place of
    a line at zero in percent from the top."""

    title: str
    summary: str
    x_label: str
    y_label: str
    curves: tuple[Curve, ...]
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    table: Table | None = None
    has_diagonal: bool = False
    explanation: str = ""
    zero: float | None = None


@dataclass(frozen=True)
class Axis:
    """A scale from `low` to `high` with a tick at each multiple of `step`."""

    low: float
    high: float
    step: float

    def at(self, value: float) -> float:
        """The place of `value` in percent from the low end, within the axis."""
        return max(0.0, min(100.0, 100 * (value - self.low) / (self.high - self.low)))

    def ticks(self, *, from_top: bool = False) -> tuple[Tick, ...]:
        """A tick at each multiple of the step."""
        decimals = len(f"{self.step:.6f}".rstrip("0").partition(".")[2])
        first, last = math.ceil(self.low / self.step - 1e-9), math.floor(self.high / self.step + 1e-9)
        values = [number * self.step for number in range(first, last + 1)]
        return tuple(Tick(100 - self.at(x) if from_top else self.at(x), f"{x:,.{decimals}f}") for x in values)


def nice_step(span: float, n_wanted: int) -> float:
    """The smallest of 1, 2, 2.5, 5 times a power of ten that divides `span` in at most `n_wanted` parts."""
    least = span / n_wanted
    power = 10.0 ** math.floor(math.log10(least))
    return next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= least * (1 - 1e-9))


def ceiling(value: float) -> float:
    """A round number at or above `value`, for the end of a scale that begins at zero."""
    if value <= 0:
        return 1.0
    step = nice_step(value, 4)
    return round(math.ceil(value / step - 1e-9) * step, 10)


def axis_around(values: Sequence[float]) -> Axis:
    """An axis that holds `values` and need not begin at zero."""
    low, high = min(values), max(values)
    step = nice_step(max(high - low, 1e-3 * max(abs(high), 1.0)), 6)
    return Axis(math.floor(low / step) * step, (math.floor(high / step) + 1) * step, step)


def training_charts(log_history: Iterable[Mapping[str, Any]], *, groups_by_length: bool = False) -> list[Chart]:
    """Charts of the loss and of P(end) from transformers' `log_history`; one with fewer than two points is left out.
    `groups_by_length` says that the rows of a batch had similar lengths."""
    history = list(log_history)
    loss = "Cross-entropy in nats per token that counts in the loss, as the trainer logged it."
    end = "Mean probability of the end token at evaluations: it should be high where held-out answers end, low before."
    charts = [
        _over_steps(
            history, "Loss", "nats per token", {"Training loss": "loss", "Evaluation loss": "eval_loss"},
            loss + (_SAW_TOOTH if groups_by_length else ""), None,
        ),
        _over_steps(
            history, "Probability of the end token", "P(end)",
            {"Where answers end": "eval_p_end", "Inside answers": "eval_p_end_inside"}, end, Axis(0.0, 1.0, 0.25),
        ),
    ]  # fmt: skip
    return [chart for chart in charts if chart is not None]


def _over_steps(
    history: list[Mapping[str, Any]], title: str, unit: str, keys: Mapping[str, str], explanation: str, y: Axis | None
) -> Chart | None:
    series = {name: logged_values(history, key) for name, key in keys.items()}
    every = [point for points in series.values() for point in points]
    if max(map(len, series.values())) < 2:
        return None
    end = max(step for step, _ in every)
    x, is_loss = Axis(0.0, end, max(1.0, nice_step(end, 5))), y is None
    y = y or axis_around([value for _, value in every])
    curves = tuple(
        Curve(
            name=name,
            points=tuple((x.at(step), 100 - y.at(value)) for step, value in _thinned(points)),
            number=number,
            note=_described(points, with_lowest=is_loss),
            has_marks=keys[name] != "loss",
        )
        for number, (name, points) in enumerate(series.items())
        if points
    )
    summary = f"{title} over training steps. " + " ".join(f"{curve.name}: {curve.note}" for curve in curves)
    ticks = x.ticks(), y.ticks(from_top=True)
    return Chart(title, summary, "step", unit, curves, *ticks, explanation=explanation)


def _described(points: Sequence[tuple[float, float]], *, with_lowest: bool) -> str:
    first, last, low = points[0], points[-1], min(points, key=lambda point: point[1])
    text = f"{first[1]:.3f} at step {first[0]:,.0f}, {last[1]:.3f} at step {last[0]:,.0f}"
    return text + (f"; lowest {low[1]:.3f} at step {low[0]:,.0f}." if with_lowest and len(points) > 2 else ".")


def logged_values(history: list[Mapping[str, Any]], key: str) -> list[tuple[float, float]]:
    """(step, finite value) by step; of a step that a resumed run logged twice the later entry counts."""
    found = {row["step"]: row[key] for row in history if "step" in row and isinstance(row.get(key), (int, float))}
    return sorted((step, value) for step, value in found.items() if math.isfinite(value) and step > 0)


def _thinned(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    size = math.ceil(len(points) / MAX_POINTS)
    runs = [points[at : at + size] for at in range(0, len(points), size)]
    return [(sum(step for step, _ in run) / len(run), sum(loss for _, loss in run) / len(run)) for run in runs]
