"""Why a row is left out: empty, too long, or seen before."""

from collections.abc import Callable, Iterable
from itertools import compress

from data_prep.dataset_folder import RejectedRow, group_position
from data_prep.sources import SourceRow

RejectReason = Callable[[SourceRow], str | None]

_ANSWERS = ("output", "chosen", "rejected")


def reject_reason_empty(row: SourceRow) -> str | None:
    """`empty_` and the first empty column, such as `empty_output`; an empty input is allowed."""
    return next((f"empty_{name}" for name, value in row.fields.items() if name != "input" and not value.strip()), None)


def reject_reason_too_long(max_output_chars: int | None) -> RejectReason:
    """`output_too_long` and the like for answers over the limit; None lets all pass."""

    def reason(row: SourceRow) -> str | None:
        if max_output_chars is None:
            return None
        answers = (name for name in _ANSWERS if len(row.fields.get(name, "")) > max_output_chars)
        return next((f"{name}_too_long" for name in answers), None)

    return reason


def reject_reason_equal_answers(row: SourceRow) -> str | None:
    """`chosen_equals_rejected` for a pair of answers that differ in outer white space at most: it prefers nothing."""
    return "chosen_equals_rejected" if row.fields["chosen"].strip() == row.fields["rejected"].strip() else None


def reject_reason_duplicate() -> RejectReason:
    """`duplicate` for every row but the first with the same `same_as`."""
    seen: set[int] = set()

    def reason(row: SourceRow) -> str | None:
        key = hash(row.same_as)
        if key in seen:
            return "duplicate"
        seen.add(key)
        return None

    return reason


def filter_rows(
    rows: Iterable[SourceRow], reasons: Iterable[RejectReason]
) -> tuple[list[SourceRow], list[RejectedRow]]:
    """Rows that no reason rejects, and the others with the first reason that does. Texts of a corpus are not kept."""
    checks = list(reasons)
    kept, rejected = [], []
    for row in rows:
        reason = next((found for check in checks if (found := check(row)) is not None), None)
        if reason is None:
            kept.append(row)
        else:
            rejected.append(row.rejected(reason, with_fields="text" not in row.fields))
    return kept, rejected


def sample_rows(rows: list[SourceRow], limit: int | None, seed: int) -> tuple[list[SourceRow], list[RejectedRow]]:
    """A seeded sample of at most `limit` rows, in their order; the others are rejected as `over_limit`."""
    if limit is None or len(rows) <= limit:
        return rows, []
    places = [group_position(f"{row.source}\0{row.source_row}", seed) for row in rows]
    chosen = set(sorted(range(len(rows)), key=places.__getitem__)[:limit])
    left_out = compress(rows, (number not in chosen for number in range(len(rows))))
    return [rows[number] for number in sorted(chosen)], [row.rejected("over_limit", False) for row in left_out]
