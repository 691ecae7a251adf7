"""The parts of a dataset folder: kinds, columns, split names, rejected rows and the manifest."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, TypedDict

from pipelines.errors import UserError

MANIFEST_NAME = "manifest.json"
REJECTED_NAME = "rejected.jsonl"
CHANGED_NAME = "changed.jsonl"
SPLITS = ("train", "validation", "test")


class DatasetKind(StrEnum):
    """The kinds of dataset folder; the value is the manifest's `kind`."""

    INSTRUCTIONS = "instructions"
    CONVERSATIONS = "conversations"
    CORPUS = "corpus"
    PREFERENCES = "preferences"


PROVENANCE_COLUMNS = ("source", "source_row", "group")


@dataclass(frozen=True)
class RejectedRow:
    """A row, function or file that was left out: where it came from, the reason, its content if that is short, and
    details such as the cleaning step."""

    source: str
    source_row: str
    reason: str
    row: dict[str, Any] | None = None
    details: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return the line of rejected.jsonl."""
        line = {"source": self.source, "source_row": self.source_row, "reason": self.reason, **self.details}
        return line if self.row is None else {**line, "row": self.row}


@dataclass(frozen=True)
class SplitSizes:
    """Expected shares (0 to 1) of the groups in validation and test; 0 means no such split."""

    validation: float
    test: float

    def __post_init__(self) -> None:
        if not (0 <= self.validation < 1 and 0 <= self.test < 1 and self.validation + self.test < 1):
            problem = f"--validation_size {self.validation} and --test_size {self.test} leave no training split"
            raise UserError(problem, "give shares such as --validation_size 0.05 --test_size 0.05")

    def wanted(self) -> tuple[str, ...]:
        """Return the splits that should not be empty, train first."""
        return tuple(s for s, size in zip(SPLITS, (1.0, self.validation, self.test), strict=True) if size > 0)


class Manifest(TypedDict):
    """The record of a dataset folder, written last: its presence means that the folder is complete."""

    kind: str
    columns: list[str]
    n_rows: dict[str, int]
    n_groups: dict[str, int]
    effective_groups: dict[str, float]
    n_read: int
    n_rejected: dict[str, int]
    rejected_by_source: dict[str, dict[str, int]]
    rejected_by_step: dict[str, int]
    n_changed: dict[str, dict[str, int]]
    lengths: dict[str, Any]
    steps: list[dict[str, Any]]
    unread_columns: dict[str, int]
    content_sha256: dict[str, str]
    sources: list[dict[str, Any]]
    licenses: list[str]
    seed: int
    split_sizes: dict[str, float]
    command: str
    versions: dict[str, str]
