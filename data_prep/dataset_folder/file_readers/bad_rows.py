"""What a reader yields for a row, and raises for a file, that cannot be read."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pipelines.errors import UserError


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that cannot be read: `reason` is a word such as `not_json`, `details` say where it is in the file."""

    reason: str
    problem: str
    fix: str
    details: Mapping[str, Any] = field(default_factory=dict)

    def error(self) -> UserError:
        """Return the row as an error."""
        return UserError(self.problem, self.fix)


class UnreadableFile(UserError):
    """A file of which no further row can be read; `reason` and `details` are those of a `BadRow`."""

    def __init__(
        self,
        problem: str,
        fix: str | None = None,
        *,
        reason: str = "unreadable",
        details: Mapping[str, Any] | None = None,
        finding: str | None = None,
    ) -> None:
        super().__init__(problem, fix, finding=finding)
        self.reason, self.details = reason, details or {}


Row = dict[str, Any]
Read = Row | BadRow


def row_over_limit(place: str, max_bytes: int, **details: Any) -> BadRow:
    """Return the reject of a row with more bytes than `max_bytes`; `place` names it."""
    size = max_bytes >> 20
    return BadRow(
        f"row_over_{size}_mb",
        f"{place} is longer than {size} MB",
        "check that its rows are on separate lines, or raise --max_row_mb",
        details,
    )


def row_not_utf8(place: str, **details: Any) -> BadRow:
    """Return the reject of a row with bytes that are not UTF-8; `place` names it."""
    fix = "convert the file, for example with `iconv -f latin1 -t utf-8`"
    return BadRow("not_utf8", f"{place} is not UTF-8 text", fix, details)
