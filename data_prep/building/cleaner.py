"""Apply the chosen row steps to a row, and describe what they rejected or changed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from data_prep.cleaning.registry import ROW_STEPS, ChosenStep
from data_prep.cleaning.row_texts import RowText, row_texts, with_texts
from data_prep.cleaning.step import Changed, Rejected, StepFunction
from data_prep.dataset_folder import RejectedRow
from data_prep.sources import SourceRow, group_of_question, same_as_of

_EXCERPT_CHARS = 200
_BEFORE_THE_CHANGE = 60


@dataclass(frozen=True)
class ChangedRow:
    """What one step changed in a row: counts, and an excerpt of the first changed text before and after."""

    step: str
    counts: Mapping[str, int]
    before: str | None = None
    after: str | None = None

    def to_json(self, row: SourceRow) -> dict[str, Any]:
        """Return the line of changed.jsonl."""
        line = {"source": row.source, "source_row": row.source_row, "step": self.step, "counts": dict(self.counts)}
        return line if self.before is None else {**line, "before": self.before, "after": self.after}


class Cleaner:
    """The row steps of one build, made once in each process."""

    def __init__(self, steps: Sequence[ChosenStep]) -> None:
        """Raise `UserError` for options that cannot be used."""
        self._steps: list[tuple[str, StepFunction]] = [
            (step.name, ROW_STEPS[step.name].make(step.options)) for step in steps if step.name in ROW_STEPS
        ]

    def clean(self, row: SourceRow) -> tuple[SourceRow | RejectedRow, list[ChangedRow], list[RowText]]:
        """Return the row with its changes and texts, or the reason why it is left out."""
        texts = row_texts(row.fields)
        changes: list[ChangedRow] = []
        is_secret = False
        for name, step in self._steps:
            verdict = step(texts)
            if verdict is None:
                continue
            is_secret = is_secret or verdict.is_secret
            if isinstance(verdict, Rejected):
                return self._rejected(row, texts, name, verdict, is_secret), [], texts
            changes.append(_change(name, texts, verdict))
            texts = [replace(old, text=new) for old, new in zip(texts, verdict.texts, strict=True)]
        if not changes:
            return row, [], texts
        fields = with_texts(row.fields, [one.text for one in texts])
        if is_secret:  # an excerpt of another step could hold part of the secret
            changes = [ChangedRow(one.step, one.counts) for one in changes]
        group = row.group  # a group that follows from the question follows from the cleaned question
        if group == group_of_question(row.fields):
            group = group_of_question(fields)
        return replace(row, fields=fields, group=group, same_as=same_as_of(fields)), changes, texts

    def _rejected(
        self, row: SourceRow, texts: Sequence[RowText], step: str, verdict: Rejected, is_secret: bool
    ) -> RejectedRow:
        """The rejected row with its content, unless that is a document, or a step finds a secret in it.

        An excerpt among the details could hold part of the secret too: then only the numbers are kept.
        """
        holds_secret = self._holds_secret(texts)
        with_content = "text" not in row.fields and not is_secret and not holds_secret
        hides_details = holds_secret and not verdict.is_secret
        details = {
            key: value for key, value in verdict.details.items() if not (hides_details and isinstance(value, str))
        }
        fields = dict(row.fields) if with_content else None
        return RejectedRow(row.source, row.source_row, verdict.reason, fields, {"step": step, **details})

    def _holds_secret(self, texts: Sequence[RowText]) -> bool:
        return any(
            verdict is not None and verdict.is_secret
            for name, step in self._steps
            if name in SECRET_STEPS
            for verdict in [step(texts)]
        )


SECRET_STEPS = ("personal_data", "presidio", "secrets")


def _change(step: str, texts: Sequence[RowText], changed: Changed) -> ChangedRow:
    if changed.is_secret:
        return ChangedRow(step, changed.counts)
    old, new = next((one.text, new) for one, new in zip(texts, changed.texts, strict=True) if one.text != new)
    same = next((place for place, (one, other) in enumerate(zip(old, new, strict=False)) if one != other), len(new))
    start = max(0, same - _BEFORE_THE_CHANGE)
    return ChangedRow(step, changed.counts, old[start : start + _EXCERPT_CHARS], new[start : start + _EXCERPT_CHARS])
