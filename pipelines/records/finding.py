"""Findings of the doctor: an id, the evidence, why it matters, and the fix."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

MAX_EVIDENCE = 3  # rows shown for one finding


class Severity(StrEnum):
    """ERROR ruins a run, WARNING is likely to harm it, NOTE is worth knowing and never stops or alarms."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


@dataclass(frozen=True)
class LabelledToken:
    """One token as the model reads it; `trained` if it is in the loss."""

    text: str
    token_id: int
    trained: bool


@dataclass(frozen=True)
class Evidence:
    """One place where a fault is seen: a row by its number in the split (from 0), or something of the recipe."""

    text: str
    row: int | None = None
    split: str | None = None
    tokens: tuple[LabelledToken, ...] = ()

    def to_json(self, *, with_text: bool) -> dict[str, Any]:
        """The place, and what is seen there."""
        place = {"text": self.text if with_text else "", "row": self.row, "split": self.split}
        shown = self.tokens if with_text else ()
        return {**place, "tokens": [[token.text, token.token_id, token.trained] for token in shown]}


@dataclass(frozen=True)
class Finding:
    """A fault. `why` is one sentence; `remedy` is the recipe line, flag or command that fixes it.

    `fix` is given where the remedy is certain: recipe keys with the value they must have, `None` for a key that must
    go. `n_rows` is how many of the rows seen are concerned, None where it is no matter of rows.
    """

    id: str
    severity: Severity
    summary: str
    why: str
    remedy: str
    evidence: tuple[Evidence, ...] = ()
    n_rows: int | None = None
    fix: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self, *, with_rows: bool = True) -> dict[str, Any]:
        """The finding as written to run.json and by `doctor.py --json`; of evidence in rows the numbers alone where
        `with_rows` is false."""
        return {
            "id": self.id,
            "severity": self.severity.value,
            "summary": self.summary,
            "why": self.why,
            "remedy": self.remedy,
            "n_rows": self.n_rows,
            "fix": dict(self.fix),
            "evidence": [one.to_json(with_text=with_rows or one.row is None) for one in self.evidence],
        }
