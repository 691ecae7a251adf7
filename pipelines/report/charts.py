"""Scales and the loss curve, as percentages of a plot area: the page draws them in SVG at any width."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

# More points than pixels only make the file larger; means of runs of points keep the curve's shape.
MAX_POINTS = 400


@dataclass(frozen=True)
class Tick:
    """A labelled place on an axis, in percent of its length."""

    position: float
    label: str


@dataclass(frozen=True)
class Curve:
    """One line of a chart: (x, y) in percent from the left and from the top, and its first, lowest and last value."""

    name: str
    points: tuple[tuple[float, float], ...]
    first: tuple[float, float]
    lowest: tuple[float, float]
    last: tuple[float, float]

    @property
    def path(self) -> str:
        """The `d` attribute of an SVG path."""
        return "M" + "L".join(f"{x:.2f} {y:.2f}" for x, y in self.points)


@dataclass(frozen=True)
class LossChart:
    """Training and evaluation loss over optimizer steps."""

    curves: tuple[Curve, ...]
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]


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


def loss_chart(log_history: Iterable[Mapping[str, Any]]) -> LossChart | None:
    """The chart of transformers' `log_history`, None where it has fewer than two training losses."""
    history = list(log_history)
    series = {name: _series(history, key) for name, key in (("training", "loss"), ("evaluation", "eval_loss"))}
    if len(series["training"]) < 2:
        return None
    every = [point for points in series.values() for point in points]
    end = max(step for step, _ in every)
    low, high, y_step = _spread([loss for _, loss in every])
    x_step = max(1.0, nice_step(end, 5))
    decimals = len(f"{y_step:.6f}".rstrip("0").partition(".")[2])

    def placed(step: float, loss: float) -> tuple[float, float]:
        return 100 * step / end, 100 * (high - loss) / (high - low)

    return LossChart(
        curves=tuple(
            Curve(
                name=name,
                points=tuple(placed(*point) for point in _thinned(points)),
                first=points[0],
                lowest=min(points, key=lambda point: point[1]),
                last=points[-1],
            )
            for name, points in series.items()
            if points
        ),
        x_ticks=tuple(Tick(100 * at / end, f"{at:,.0f}") for at in _multiples(0, end, x_step)),
        y_ticks=tuple(
            Tick(100 * (high - at) / (high - low), f"{at:.{decimals}f}") for at in _multiples(low, high, y_step)
        ),
    )


def _series(history: list[Mapping[str, Any]], key: str) -> list[tuple[float, float]]:
    """(step, loss) in order of steps; a resumed run may log a step twice, and then the later entry counts."""
    found = {row["step"]: row[key] for row in history if "step" in row and isinstance(row.get(key), (int, float))}
    return sorted((step, loss) for step, loss in found.items() if math.isfinite(loss) and step > 0)


def _spread(values: Sequence[float]) -> tuple[float, float, float]:
    low, high = min(values), max(values)
    step = nice_step(max(high - low, 1e-3 * max(abs(high), 1.0)), 6)
    return math.floor(low / step) * step, (math.floor(high / step) + 1) * step, step


def _multiples(low: float, high: float, step: float) -> list[float]:
    first = math.ceil(low / step - 1e-9)
    return [number * step for number in range(first, math.floor(high / step + 1e-9) + 1)]


def _thinned(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    size = math.ceil(len(points) / MAX_POINTS)
    runs = [points[at : at + size] for at in range(0, len(points), size)]
    return [(sum(step for step, _ in run) / len(run), sum(loss for _, loss in run) / len(run)) for run in runs]
