"""What a run measured itself on rows held out, before and after: pairs of preferences, bits per byte of a corpus."""

from collections.abc import Iterator, Mapping
from typing import Any

from pipelines.report.comparison_record import figure_of
from pipelines.report.figures import (
    Figure,
    Unit,
    difference_interval_text,
    difference_text,
    interval_text,
    relative_text,
    value_text,
)
from pipelines.report.tables import DASH, Table, table_of

_SHARES = {
    "likelihood_accuracy": "the chosen answer is the likelier one",
    "likelihood_accuracy_normalised": "the same per token",
}


def held_out_table(metrics: Mapping[str, Any]) -> Table | None:
    """`held_out_pairs` and `held_out_bits_per_byte` of run.json's metrics; None for a run that has neither."""
    rows = [*_pairs(metrics.get("held_out_pairs") or {}), *_parts(metrics.get("held_out_bits_per_byte") or {})]
    return table_of("Held out", ("Measure", "Before", "After", "Difference"), rows) if rows else None


def _pairs(record: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    """Preferences: shares of the same pairs, and TRL's reward accuracy, which is chance before."""
    unit = Unit.SHARE
    for key, words in _SHARES.items():
        if found := record.get(key):
            difference = figure_of(found["difference"])
            change = f"{difference_text(difference, unit)} {difference_interval_text(difference, unit)}"
            label = f"{words} (n = {record['n_pairs']:,})"
            yield label, *(_figure(figure_of(found[when]), unit) for when in ("before", "after")), change
    if found := record.get("reward_accuracy"):
        after, over = figure_of(found["after"]), figure_of(found["difference_from_chance"])
        change = f"{difference_text(over, unit)} over chance {difference_interval_text(over, unit)}"
        label = f"reward accuracy (n = {record['n_pairs']:,})"
        yield label, f"chance {value_text(found['chance'], unit)}", _figure(after, unit), change


def _parts(record: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    """A corpus: bits per byte of each part; a model from scratch has nothing before."""
    unit = Unit.BITS_PER_BYTE
    for part, found in record.items():
        yield (
            f"bits per byte, {part} (n = {found['after']['n']:,})",
            _figure(figure_of(found["before"]), unit) if found.get("before") else DASH,
            _figure(figure_of(found["after"]), unit),
            relative_text(figure_of(found["relative"])) if found.get("relative") else DASH,
        )


def _figure(figure: Figure, unit: Unit) -> str:
    return f"{value_text(figure.value, unit)} {interval_text(figure, unit)}"
