"""The figures of comparison.json as lines of text, for the terminal."""

from collections.abc import Mapping
from typing import Any


def comparison_table(record: Mapping[str, Any]) -> str:
    """The figures of comparison.json as lines of text: one metric a line, models and differences side by side."""
    names = list(record["models"])
    rows = [["metric", *names, *(f"{name} - {names[0]} (95% interval)" for name in record["differences"])]]
    for metric, words in record["metric_definitions"].items():
        row = [words["label"] + (" (sampled)" if words["decoding"] == "sampled" else "")]
        for name in names:
            figure = record["models"][name]["metrics"].get(metric)
            row.append(_shown(figure["value"], words["unit"]) if figure else "-")
        for found in record["differences"].values():
            row.append(_shown_difference(found[metric], words["unit"]) if metric in found else "-")
        rows.append(row)
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = (
        "  ".join(cell.ljust(width) if column == 0 else cell.rjust(width) for column, (cell, width) in enumerate(cells))
        for cells in (list(zip(row, widths, strict=True)) for row in rows)
    )
    return "\n".join(lines)


def _shown(value: float, unit: str) -> str:
    return f"{value:.1%}" if unit == "share" else f"{value:.3f}" if unit == "bits_per_byte" else f"{value:.1f}"


def _shown_difference(figure: Mapping[str, Any], unit: str) -> str:
    low, high = (_shown(end, unit) for end in figure["ci95"])
    sign = "+" if figure["value"] > 0 else ""
    relative = f", {figure['relative']['value']:+.1%}" if "relative" in figure else ""
    return f"{sign}{_shown(figure['value'], unit)} [{low}, {high}]{relative}"
