"""What every reader gives: rows with their provenance, and what was left out on the way."""

import hashlib
import re
from dataclasses import dataclass, field
from typing import Any

from data_prep.dataset_folder import RejectedRow


@dataclass(frozen=True)
class SourceRow:
    """One row as read: `fields` are the dataset's own columns, `same_as` is the text by which duplicates are known."""

    fields: dict[str, Any]
    source: str
    source_row: str
    group: str
    same_as: str

    def columns(self) -> dict[str, Any]:
        """The row in the final columns of its dataset kind."""
        return {**self.fields, "source": self.source, "source_row": self.source_row, "group": self.group}

    def rejected(self, reason: str, with_fields: bool = True) -> RejectedRow:
        """This row as a rejected one."""
        return RejectedRow(self.source, self.source_row, reason, dict(self.fields) if with_fields else None)


@dataclass(frozen=True)
class SourceContent:
    """All that one `--source` gave; `entry` is its line in the manifest."""

    rows: list[SourceRow]
    rejected: list[RejectedRow]
    entry: dict[str, Any] = field(default_factory=dict)


def normalised(text: str) -> str:
    """`text` without differences of case and white space."""
    return " ".join(text.casefold().split())


def group_of_text(text: str) -> str:
    """The group of an independent row: equal texts (after `normalised`) are never in two splits."""
    return hashlib.sha256(normalised(text).encode("utf-8", "surrogatepass")).hexdigest()[:16]


def holds_lone_surrogate(text: str) -> bool:
    """Whether `text` cannot be written as UTF-8 (JSON and Python escapes can make such a string)."""
    return re.search(r"[\ud800-\udfff]", text) is not None
