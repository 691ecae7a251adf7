"""KTO: one answer for each row, and whether it is desirable."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from data_prep.conversation import ALIASES, CONVERSATION_COLUMNS, UnreadableRowError, holds_messages, read_messages
from data_prep.conversation.messages import Message, content_text
from data_prep.dataset_folder import DatasetKind
from data_prep.sources.row_formats.row_format import (
    ConvertedRow,
    ForeignFormat,
    NumberedRow,
    Row,
    asks_and_answers,
    first_of,
    fits_nearly_all,
    is_false,
    is_true,
    without,
)
from data_prep.sources.rows import digest, normalized

UNDESIRABLE, NO_OPPOSITE, NO_LABEL = "undesirable_answer", "no_opposite_answer", "label_is_not_true_or_false"
_LABELS = ("label", "kto_tag")
_READ = (*CONVERSATION_COLUMNS, *_LABELS, *ALIASES["instruction"], *ALIASES["input"], *ALIASES["output"])


def _recognizes(columns: Sequence[str], head: Sequence[Row]) -> bool:
    """A `label` of 0 or 1 counts only beside a `completion`, KTO's own column: else it may be a class."""
    label = next((name for name in _LABELS if name in columns), None)
    has_answers = any(name in columns for name in ("completion", *CONVERSATION_COLUMNS))
    if label is None or not (has_answers or (label == "kto_tag" and asks_and_answers(columns))):
        return False
    labeled = [row for row in head if row.get(label) not in (None, "")]
    words = ("true", "false", "0", "1") if "completion" in columns else ("true", "false")
    return fits_nearly_all(labeled, lambda row: label != "label" or str(row[label]).lower() in words)


def _label(row: Row) -> bool | None:
    value = first_of(row, _LABELS)
    return True if is_true(value) else False if is_false(value) else None


def _convert(rows: Iterable[NumberedRow], kind: DatasetKind) -> Iterator[ConvertedRow]:
    return _pairs(rows) if kind is DatasetKind.PREFERENCES else _desirable(rows)


def _desirable(rows: Iterable[NumberedRow]) -> Iterator[ConvertedRow]:
    for source_row, row in rows:
        label = _label(row)
        if label:
            yield source_row, {**without(row, _LABELS)}
        else:
            yield source_row, NO_LABEL if label is None else UNDESIRABLE


def _pairs(rows: Iterable[NumberedRow]) -> Iterator[ConvertedRow]:
    """Pair each answer with the first waiting one of the same prompt and the other label."""
    waiting: dict[tuple[bytes, bool], list[tuple[str, Row, Any]]] = {}
    for source_row, row in rows:
        label = _label(row)
        try:
            if label is None:
                raise UnreadableRowError(NO_LABEL)
            prompt, answer = _prompt_and_answer(row)
        except UnreadableRowError as error:
            yield source_row, str(error)
            continue
        asked = [
            str(row.get("system")),
            str(row.get("tools")),
            *(f"{one['role']}: {content_text(one)}" for one in prompt),
        ]
        key = digest(normalized("\0".join(asked)))
        if opposite := waiting.get((key, not label)):
            other_row, other, other_answer = opposite.pop(0)
            if not opposite:
                del waiting[key, not label]
            better, worse = (answer, other_answer) if label else (other_answer, answer)
            yield f"{other_row}+{source_row}", {**without(other, _READ), "prompt": prompt, **_sides(better, worse)}
        else:
            waiting.setdefault((key, label), []).append((source_row, row, answer))
    for left in waiting.values():
        yield from ((source_row, NO_OPPOSITE) for source_row, _, _ in left)


def _sides(better: Message, worse: Message) -> dict[str, Any]:
    return {"chosen": [better], "rejected": [worse]}


def _prompt_and_answer(row: Row) -> tuple[list[Message], Message]:
    talk, asked, given, answer = (
        first_of(row, names)
        for names in (CONVERSATION_COLUMNS, ALIASES["instruction"], ALIASES["input"], ALIASES["output"])
    )
    if talk is None:
        request = f"{asked}\n\n{given}" if given and isinstance(asked, str) else asked
        messages = [*_as_messages(request, "user"), *_as_messages(answer, "assistant")]
    else:
        messages = read_messages(talk)[0] + (_as_messages(answer, "assistant") if answer is not None else [])
    if messages[-1]["role"] != "assistant":
        raise UnreadableRowError("no_answer")
    return messages[:-1], messages[-1]


def _as_messages(value: Any, role: str) -> list[Message]:
    if holds_messages(value):
        return read_messages(value if isinstance(value, list | str) else [value])[0]
    return read_messages([{"role": role, "content": value}])[0]


KTO = ForeignFormat(
    "kto",
    "prompt or messages, completion, and a label: true for a desirable answer",
    (DatasetKind.INSTRUCTIONS, DatasetKind.PREFERENCES),
    _recognizes,
    _convert,
    whole_file_for=(DatasetKind.PREFERENCES,),
)
