"""Filters with reject reasons: empty, too long, duplicate; and a seeded sample."""

from collections.abc import Callable, Iterable, Iterator
from itertools import compress

from data_prep.conversation import Conversation, Message, content_text
from data_prep.dataset_folder import RejectedRow, group_position
from data_prep.sources import SourceRow

RejectReason = Callable[[SourceRow], str | None]

_ANSWERS = ("output", "chosen", "rejected")
_NEEDED = ("text", "instruction", *_ANSWERS)


def reject_reason_empty(row: SourceRow) -> str | None:
    """Return `empty_` and the first empty column, such as `empty_output`; an empty input is allowed.

    For a conversation: `empty_prompt` without a question before the first answer, `no_answer` without an answer, and
    `empty_output` if a trained turn is empty.
    """
    if "messages" in row.fields:
        return _reason_empty_conversation(row.fields["messages"])
    texts = {name: value for name, value in row.fields.items() if name in _NEEDED and isinstance(value, str)}
    return next((f"empty_{name}" for name, value in texts.items() if not value.strip()), None)


def _reason_empty_conversation(messages: list[Message]) -> str | None:
    turns = Conversation(messages).assistant_turns
    if not turns:
        return "no_answer"
    if not any(content_text(one).strip() for one in messages[: turns[0]] if one["role"] not in ("system", "developer")):
        return "empty_prompt"
    trained = (messages[turn] for turn in turns if messages[turn].get("weight") != 0)
    return None if all(_has_content(one) for one in trained) else "empty_output"


def _has_content(message: Message) -> bool:
    return bool(content_text(message).strip() or message.get("tool_calls"))


def _answers(row: SourceRow) -> Iterator[tuple[str, str]]:
    """Yield the name and the text of each answer in a row."""
    for message in row.fields.get("messages", ()):
        if message["role"] == "assistant":
            yield "output", content_text(message)
    for name in _ANSWERS:
        value = row.fields.get(name, "")
        yield name, value if isinstance(value, str) else content_text(value[-1])


def reject_reason_too_long(max_output_chars: int | None) -> RejectReason:
    """Return a filter that rejects answers over the limit as `output_too_long`; None: no limit."""

    def reason(row: SourceRow) -> str | None:
        if max_output_chars is None:
            return None
        return next((f"{name}_too_long" for name, text in _answers(row) if len(text) > max_output_chars), None)

    return reason


def reject_reason_duplicate() -> RejectReason:
    """Return a filter that rejects every row but the first with the same `same_as` as `duplicate`."""
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
    """Return the kept rows, and the others with their first reject reason (without the texts of a corpus)."""
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
    """Return a seeded sample of at most `limit` rows, in order; the others are rejected as `over_limit`."""
    if limit is None or len(rows) <= limit:
        return rows, []
    places = [group_position(f"{row.source}\0{row.source_row}", seed) for row in rows]
    chosen = set(sorted(range(len(rows)), key=places.__getitem__)[:limit])
    left_out = compress(rows, (number not in chosen for number in range(len(rows))))
    return [rows[number] for number in sorted(chosen)], [row.rejected("over_limit", False) for row in left_out]
