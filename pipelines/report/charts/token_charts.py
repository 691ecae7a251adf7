"""Charts over tokens: likelihood of the reference by position, and whether probabilities are what they say."""

from collections.abc import Mapping, Sequence
from typing import Any

from pipelines.report.charts.charts import Axis, Chart, Curve, Tick, Whisker, ceiling, nice_step
from pipelines.report.figures import Unit, number_text, value_text
from pipelines.report.tables import DASH, Cell, table_of

Bins = Mapping[str, Sequence[Mapping[str, Any]]]


def position_chart(bins: Bins | None, models: Sequence[str]) -> Chart | None:
    """Bits per token of the reference answer in bins of its positions, with 95% intervals; None without bins."""
    found = {model: bins[model] for model in models if bins and bins.get(model)}
    edges = sorted({_edges(row) for rows in found.values() for row in rows}, key=lambda edge: edge[0])
    if not edges:
        return None
    places = {edge: 100 * (number + 0.5) / len(edges) for number, edge in enumerate(edges)}
    highest = max(max(row["bits_per_token"], (row.get("ci95") or [0, 0])[1]) for rows in found.values() for row in rows)
    y = Axis(0.0, ceiling(highest), nice_step(ceiling(highest), 4))
    return Chart(
        title="Likelihood by position in the answer",
        summary="Bits per token of the reference answer by position: " + _ends_told(found, "bits_per_token", 2),
        x_label="position of the token in the answer",
        y_label="bits per token",
        curves=tuple(
            _curve(model, models.index(model), rows, places, y, _shift(number, len(found)))
            for number, (model, rows) in enumerate(found.items())
        ),
        x_ticks=tuple(Tick(places[edge], _range_text(*edge)) for edge in edges),
        y_ticks=y.ticks(from_top=True),
        table=table_of(
            "Bits per token of the reference answer by position",
            ("Position", *(f"{model}" for model in found)),
            [(_range_text(*edge), *(_position_cell(rows, edge) for rows in found.values())) for edge in edges],
        ),
        explanation="Fewer bits are better; whiskers are 95% intervals over answers.",
    )


def _curve(
    model: str, number: int, rows: Sequence[Mapping[str, Any]], places: Mapping[Any, float], y: Axis, shift: float
) -> Curve:
    at = [(places[_edges(row)] + shift, row) for row in rows]
    return Curve(
        name=model,
        points=tuple((x, 100 - y.at(row["bits_per_token"])) for x, row in at),
        number=number,
        whiskers=tuple(
            Whisker(x, 100 - y.at(row["ci95"][1]), 100 - y.at(row["ci95"][0])) for x, row in at if row.get("ci95")
        ),
    )


def _shift(number: int, n_models: int) -> float:
    """Percent of the width by which a model's marks stand beside the bin's middle: whiskers do not cover each other."""
    return 1.2 * (number - (n_models - 1) / 2)


def _position_cell(rows: Sequence[Mapping[str, Any]], edge: tuple[Any, Any]) -> Cell:
    row = next((row for row in rows if _edges(row) == edge), None)
    if row is None:
        return Cell(DASH)
    ends = row.get("ci95")
    interval = f" [{number_text(ends[0], 2)}, {number_text(ends[1], 2)}]" if ends else ""
    return Cell(number_text(row["bits_per_token"], 2) + interval, f"{row['n_tokens']:,} tokens")


def reliability_chart(bins: Bins | None, models: Sequence[str]) -> Chart | None:
    """How often the likeliest token was right, against the probability that the model gave it; None without bins."""
    found = {model: bins[model] for model in models if bins and bins.get(model)}
    if not found:
        return None
    axis = Axis(0.0, 100.0, 25.0)
    return Chart(
        title="Reliability of the token probabilities",
        summary="Share of most likely tokens that were right, by their probability. On the diagonal a model is as "
        "sure as it is right. " + _ends_told(found, "accuracy", 2),
        x_label="mean probability of the most likely token, %",
        y_label="right, %",
        curves=tuple(
            Curve(
                name=model,
                points=tuple((100 * row["confidence"], 100 - 100 * row["accuracy"]) for row in rows),
                number=models.index(model),
            )
            for model, rows in ((model, _filled(rows)) for model, rows in found.items())
            if rows
        ),
        x_ticks=axis.ticks(),
        y_ticks=axis.ticks(from_top=True),
        table=table_of(
            "Reliability of the token probabilities",
            ("Model", "Probability between", "Mean probability", "Right", "Tokens"),
            [
                (
                    model,
                    f"{value_text(row['begin'], Unit.SHARE)} and {value_text(row['end'], Unit.SHARE)}",
                    value_text(row["confidence"], Unit.SHARE),
                    value_text(row["accuracy"], Unit.SHARE),
                    f"{row['n_tokens']:,}",
                )
                for model, rows in found.items()
                for row in _filled(rows)
            ],
            2,
        ),
        has_diagonal=True,
        explanation="On the diagonal, confidence equals accuracy; below it the model is overconfident.",
    )


def _filled(rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The bins that hold tokens: an empty one has no accuracy."""
    return [row for row in rows if row["n_tokens"] and row["accuracy"] is not None and row["confidence"] is not None]


def _edges(row: Mapping[str, Any]) -> tuple[int, int | None]:
    return row["begin"], row["end"]


def _range_text(begin: int, end: int | None) -> str:
    if end is None:
        return f"{begin + 1}+"
    return str(end) if end == begin + 1 else f"{begin + 1}–{end}"


def _ends_told(found: Bins, key: str, decimals: int) -> str:
    told = []
    for model, rows in found.items():
        known = [row[key] for row in rows if row[key] is not None]
        if known:
            told.append(f"{model} from {number_text(known[0], decimals)} to {number_text(known[-1], decimals)}")
    return "; ".join(told) + "."
