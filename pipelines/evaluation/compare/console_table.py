"""The figures of comparison.json as lines of text, for the terminal."""

from collections.abc import Mapping
from typing import Any

from pipelines.evaluation.statistics.significance import p_value_text


def comparison_table(record: Mapping[str, Any]) -> str:
    """One line for each metric, with models and differences in columns; then warnings and the summary of each model."""
    names = list(record["models"])
    rows = [["metric", *names]]
    for name in record["differences"]:
        rows[0] += [f"{name} - {names[0]} (95% interval)", "p", "n", ""]
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
    warnings = (f"warning: {one['text']}" for one in record.get("warnings", ()))
    said = (
        f"{name}, {aspect}: {line['text']}"
        for name, summary in record["summary"].items()
        for aspect, line in summary.items()
    )
    return "\n".join([*(line.rstrip() for line in lines), *warnings, *said])


def _difference_cells(figure: Mapping[str, Any] | None, unit: str) -> list[str]:
    """The difference with its interval, its corrected p-value, the number of items, and the verdict."""
    if figure is None:
        return ["-", "", "", ""]
    low, high = (_shown(end, unit) for end in figure["ci95"])
    sign = "+" if figure["value"] > 0 else ""
    relative = f", {figure['relative']['value']:+.1%}" if "relative" in figure else ""
    return [
        f"{sign}{_shown(figure['value'], unit)} [{low}, {high}]{relative}",
        p_value_text(figure["p_holm"], is_at_floor=figure["p_at_floor"]).removeprefix("p ").removeprefix("= "),
        f"{figure['n']}" + (f" in {figure['n_groups']} groups" if figure["n_groups"] != figure["n"] else ""),
        figure["verdict"],
    ]


def _shown(value: float, unit: str) -> str:
    decimals = {"bits_per_byte": 3, "ratio": 3}.get(unit, 1)
    return f"{value:.1%}" if unit == "share" else f"{value:.{decimals}f}"
