"""What every reader returns: rows with their provenance, and rejected rows."""

import hashlib
from dataclasses import dataclass
from typing import Any

from data_prep.dataset_folder import RejectedRow


@dataclass(frozen=True, slots=True)
class SourceRow:
    """One row as read: `fields` are the dataset's own columns, rows with equal `same_as` (16 bytes) are duplicates."""

    fields: dict[str, Any]
    source: str
    source_row: str
    group: str
    same_as: bytes

    def columns(self) -> dict[str, Any]:
        """Return the row in the final columns of its dataset kind."""
        return {**self.fields, "source": self.source, "source_row": self.source_row, "group": self.group}

    def rejected(self, reason: str, with_fields: bool = True) -> RejectedRow:
        """Return this row as a rejected one."""
        return RejectedRow(self.source, self.source_row, reason, dict(self.fields) if with_fields else None)


Item = SourceRow | RejectedRow


def normalized(text: str) -> str:
    """Return `text` without differences of case and white space."""
    return " ".join(text.casefold().split())


def digest(text: str) -> bytes:
    """Return 16 bytes that stand for `text`, the same on every machine."""
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def group_of_text(text: str) -> str:
    """Return the group of an independent row: equal texts (after `normalized`) are never in two splits."""
    return group_of_normalized(normalized(text))


def group_of_normalized(text: str) -> str:
    """Return the group of a text that went through `normalized`."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]
