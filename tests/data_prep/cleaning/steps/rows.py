"""Run one cleaning step over a row."""

from collections.abc import Mapping, Sequence
from typing import Any

from data_prep.cleaning.row_texts import row_texts, with_texts
from data_prep.cleaning.step import Changed, Rejected, RowStep, Verdict


def verdict(steps: Sequence[RowStep], name: str, fields: Mapping[str, Any], **options: Any) -> Verdict:
    """What the step `name` says to a row."""
    step = next(one for one in steps if one.name == name)
    return step.make(step.options(**options))(row_texts(fields))


def reason(steps: Sequence[RowStep], name: str, fields: Mapping[str, Any], **options: Any) -> str | None:
    """The reason for which the step rejects a row, None if it stays."""
    found = verdict(steps, name, fields, **options)
    assert found is None or isinstance(found, Rejected)
    return None if found is None else found.reason


def cleaned(steps: Sequence[RowStep], name: str, text: str, **options: Any) -> tuple[str, dict[str, int]]:
    """An answer as the step leaves it, and the counts."""
    fields = {"instruction": "Ask.", "input": "", "output": text}
    found = verdict(steps, name, fields, **options)
    assert found is None or isinstance(found, Changed)
    return (text, {}) if found is None else (with_texts(fields, found.texts)["output"], dict(found.counts))


def answered(output: str, instruction: str = "Ask.", given: str = "") -> dict[str, str]:
    """A row of an instruction dataset."""
    return {"instruction": instruction, "input": given, "output": output}
