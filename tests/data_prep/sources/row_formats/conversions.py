"""Read rows as the programs do: recognized by their first rows, converted, in the fields of their kind."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from data_prep.dataset_folder import DatasetKind, RejectedRow
from data_prep.sources.raw_rows import read_raw_rows
from data_prep.sources.row_columns import choose_conversion
from data_prep.sources.rows import SourceRow


@dataclass
class Converted:
    format_name: str | None
    rows: list[SourceRow]
    rejected: list[RejectedRow]
    unread: Counter[str]

    @property
    def fields(self) -> list[dict[str, Any]]:
        return [row.fields for row in self.rows]

    @property
    def reasons(self) -> dict[str, str]:
        return {row.source_row: row.reason for row in self.rejected}


def convert(
    rows: Sequence[dict[str, Any]],
    kind: DatasetKind = DatasetKind.INSTRUCTIONS,
    format_name: str | None = None,
    n_head: int = 100,
) -> Converted:
    """Convert `rows`, numbered from 1."""
    conversion = choose_conversion(rows[:n_head], kind, {}, "rows", format_name)
    unread: Counter[str] = Counter()
    numbered = ((str(number), row) for number, row in enumerate(rows, start=1))
    items = list(read_raw_rows(numbered, conversion, "rows", unread))
    kept = [item for item in items if isinstance(item, SourceRow)]
    return Converted(conversion.format_name, kept, [i for i in items if isinstance(i, RejectedRow)], unread)
