"""The figures of comparison.json as lines of text, for the terminal."""

from collections.abc import Mapping
from typing import Any


def comparison_table(record: Mapping[str, Any]) -> str:
    """One metric a line, models and differences side by side; then what each model's differences come to, in words."""
    names = list(record["models"])
    rows = [["metric", *names]]
    for name in record["differences"]:
        rows[0] += [f"{name} - {names[0]} (95% interval)", "p", ""]
    for metric, words in record["metric_definitions"].items():
        row = [words["label"] + (" (sampled)" if words["decoding"] == "sampled" else "")]
        for name in names:
            figure = record["models"][name]["metrics"].get(metric)
            row.append(_shown(figure["value"], words["unit"]) if figure else "-")
        for found in record["differences"].values():
            row += _difference_cells(found.get(metric), words["unit"])
        rows.append(row)
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = (
        "  ".join(cell.ljust(width) if column == 0 else cell.rjust(width) for column, (cell, width) in enumerate(cells))
        for cells in (list(zip(row, widths, strict=True)) for row in rows)
    )
    sentences = (f"{name}: {sentence}" for name, sentence in record["sentences"].items())
    return "\n".join([*(line.rstrip() for line in lines), *sentences])


def _difference_cells(figure: Mapping[str, Any] | None, unit: str) -> list[str]:
    """The difference with its interval, its corrected p-value, and the word for it."""
    if figure is None:
        return ["-", "", ""]
    low, high = (_shown(end, unit) for end in figure["ci95"])
    sign = "+" if figure["value"] > 0 else ""
    relative = f", {figure['relative']['value']:+.1%}" if "relative" in figure else ""
    p_value = figure["p_holm"]
    return [
        f"{sign}{_shown(figure['value'], unit)} [{low}, {high}]{relative}",
        "<0.001" if p_value < 0.001 else f"{p_value:.3f}",
        figure["verdict"],
    ]


def _shown(value: float, unit: str) -> str:
    decimals = {"bits_per_byte": 3, "ratio": 3}.get(unit, 1)
    return f"{value:.1%}" if unit == "share" else f"{value:.{decimals}f}"
