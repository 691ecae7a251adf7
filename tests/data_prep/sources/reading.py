"""Read a source as the engine does, and keep all of it."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from data_prep.dataset_folder import DatasetKind, RejectedRow
from data_prep.sources import ReadCounts, ReadOptions, SourceRow, Unit, plan_source, read_unit


@dataclass
class ReadSource:
    """The units of a source and what they hold."""

    entry: dict[str, Any]
    units: list[Unit]
    rows: list[SourceRow] = field(default_factory=list)
    rejected: list[RejectedRow] = field(default_factory=list)
    counts: ReadCounts = field(default_factory=ReadCounts)

    @property
    def outputs(self) -> list[str]:
        """The answer of each row."""
        return [row.fields["output"] for row in self.rows]

    @property
    def places(self) -> list[str]:
        """The source_row of each row."""
        return [row.source_row for row in self.rows]

    @property
    def reasons(self) -> list[tuple[str, str]]:
        """The source_row and reason of each rejected row."""
        return [(row.source_row, row.reason) for row in self.rejected]


def read_source(source: Path | str, kind: DatasetKind = DatasetKind.INSTRUCTIONS, **options: Any) -> ReadSource:
    """All of a source, unit by unit."""
    chosen = ReadOptions(kind, **options)
    plan = plan_source(str(source), chosen, Path(source).name)
    read = ReadSource(plan.entry, list(plan.units))
    for unit in read.units:
        for item in read_unit(unit, chosen, read.counts):
            (read.rows if isinstance(item, SourceRow) else read.rejected).append(item)  # type: ignore[arg-type]
    read.rejected = [*plan.rejected, *read.rejected]
    return read


def rows_of(outputs: Iterable[Any]) -> list[dict[str, Any]]:
    """One instruction for each answer."""
    return [{"instruction": f"Ask for {number}", "output": output} for number, output in enumerate(outputs)]


def json_lines(rows: Iterable[Mapping[str, Any]]) -> bytes:
    """The rows as JSON lines in UTF-8."""
    return b"".join(json.dumps(row, ensure_ascii=False).encode("utf-8", "surrogatepass") + b"\n" for row in rows)


def write(path: Path, content: bytes | str) -> Path:
    """`path`, written with its folders."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path
