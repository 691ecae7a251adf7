"""Charts over tokens: likelihood of the reference by position, and the calibration of token probabilities."""

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
    curves = []
    for number, (model, rows) in enumerate(found.items()):
        shift = 1.2 * (number - (len(found) - 1) / 2)  # percent: whiskers of different models do not overlap
        at = [(places[_edges(row)] + shift, row) for row in rows]
        whiskers = tuple(
            Whisker(x, *(100 - y.at(end) for end in reversed(row["ci95"]))) for x, row in at if row.get("ci95")
        )
        points = tuple((x, 100 - y.at(row["bits_per_token"])) for x, row in at)
        curves.append(Curve(model, points, models.index(model), whiskers=whiskers))
    title = "Bits per token of the reference answer by position"
    cells = [[Cell(_range_text(*edge)), *(_cell(rows, edge) for rows in found.values())] for edge in edges]
    return Chart(
        title="Likelihood by position in the answer",
        summary=f"{title}: {_first_and_last(found, 'bits_per_token')}",
        x_label="position of the token in the answer",
        y_label="bits per token",
        curves=tuple(curves),
        x_ticks=tuple(Tick(places[edge], _range_text(*edge)) for edge in edges),
        y_ticks=y.ticks(from_top=True),
        table=table_of(title, ("Position", *found), cells),
        explanation="Fewer bits are better; whiskers are 95% intervals over answers.",
    )


def reliability_chart(bins: Bins | None, models: Sequence[str]) -> Chart | None:
    """How often the most likely token was right, against its probability; None without bins."""
    found = {model: bins[model] for model in models if bins and bins.get(model)}
    if not found:
        return None
    axis = Axis(0.0, 100.0, 25.0)
    filled = {  # an empty bin has no accuracy
        model: [row for row in rows if row["n_tokens"] and None not in (row["accuracy"], row["confidence"])]
        for model, rows in found.items()
    }
    rows_of_table = [
        (
            model,
            f"{value_text(row['begin'], Unit.SHARE)} and {value_text(row['end'], Unit.SHARE)}",
            value_text(row["confidence"], Unit.SHARE),
            value_text(row["accuracy"], Unit.SHARE),
            f"{row['n_tokens']:,}",
        )
        for model, rows in filled.items()
        for row in rows
    ]
    head = ("Model", "Probability between", "Mean probability", "Right", "Tokens")
    title = "Reliability of the token probabilities"
    return Chart(
        title=title,
        summary="Share of most likely tokens that were right, by their probability. On the diagonal, "
        "confidence equals accuracy. " + _first_and_last(found, "accuracy"),
        x_label="mean probability of the most likely token, %",
        y_label="right, %",
        curves=tuple(
            Curve(
                model,
                tuple((100 * row["confidence"], 100 - 100 * row["accuracy"]) for row in rows),
                models.index(model),
            )
            for model, rows in filled.items()
            if rows
        ),
        x_ticks=axis.ticks(),
        y_ticks=axis.ticks(from_top=True),
        table=table_of(title, head, rows_of_table, 2),
        has_diagonal=True,
        explanation="On the diagonal, confidence equals accuracy; below it the model is overconfident.",
    )


def _cell(rows: Sequence[Mapping[str, Any]], edge: tuple[Any, Any]) -> Cell:
    row = next((row for row in rows if _edges(row) == edge), None)
    if row is None:
        return Cell(DASH)
    interval = f" [{', '.join(number_text(end, 2) for end in row['ci95'])}]" if row.get("ci95") else ""
    return Cell(number_text(row["bits_per_token"], 2) + interval, f"{row['n_tokens']:,} tokens")


def _edges(row: Mapping[str, Any]) -> tuple[int, int | None]:
    return row["begin"], row["end"]


def _range_text(begin: int, end: int | None) -> str:
    if end is None:
        return f"{begin + 1}+"
    return str(end) if end == begin + 1 else f"{begin + 1}–{end}"


def _first_and_last(found: Bins, key: str) -> str:
    texts = []
    for model, rows in found.items():
        known = [row[key] for row in rows if row[key] is not None]
        if known:
            texts.append(f"{model} from {number_text(known[0], 2)} to {number_text(known[-1], 2)}")
    return "; ".join(texts) + "."
