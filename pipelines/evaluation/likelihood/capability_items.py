"""Items that test a base's knowledge without a chat template: minimal pairs, and multiple choice."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipelines.errors import UserError
from pipelines.evaluation.statistics.row_groups import group_of
from pipelines.files import is_utf8


@dataclass(frozen=True)
class CapabilityItem:
    """Choices of which number `answer` is right: continuations of `context`, or whole sentences where it is None.

    Items of one `group` depend on each other.
    """

    context: str | None
    choices: tuple[str, ...]
    answer: int
    category: str | None = None
    group: str | None = None


def capability_item(row: Mapping[str, Any], where: str) -> CapabilityItem:
    """Read the item in a row.

    Either `good` and `bad`, two sentences; or `choices` (a list) and `answer` (its index from 0, or its letter) with
    `context` or `prompt`, which the choice continues, or `question`, which becomes "Question: ...\\nAnswer:" after the
    `context`. A space comes before a choice. Keeps `category` (or `subject`) and `group`. Raises `UserError` otherwise.
    """
    category = row.get("category") or row.get("subject")
    named = None if category is None else str(category)
    if "good" in row or "bad" in row:
        good, bad = row.get("good"), row.get("bad")
        if not (isinstance(good, str) and isinstance(bad, str) and good and bad) or good == bad:
            raise _error(where, "needs two different texts in `good` and `bad`")
        _check_utf8([good, bad], where)
        return CapabilityItem(None, (good, bad), 0, named, group_of(row))
    choices = row.get("choices")
    if not isinstance(choices, list) or len(choices) < 2 or not all(isinstance(one, str) and one for one in choices):
        found = f"the columns {', '.join(map(str, row)) or '(none)'}" if choices is None else repr(choices)[:80]
        raise _error(where, f"has {found}, expected `good` and `bad`, or a list of two or more texts in `choices`")
    context = _context(row, where)
    _check_utf8([context, *choices], where)
    answer = _answer(row.get("answer"), len(choices), where)
    return CapabilityItem(context, tuple(choices), answer, named, group_of(row))


def _context(row: Mapping[str, Any], where: str) -> str:
    parts = {name: row.get(name) or "" for name in ("context", "prompt", "question")}
    if not all(isinstance(text, str) for text in parts.values()) or not any(parts.values()):
        raise _error(where, "needs a text in `question`, `context` or `prompt`")
    before = "\n\n".join(text for text in (parts["context"], parts["prompt"]) if text)
    if not parts["question"]:
        return before
    return f"{before}\n\nQuestion: {parts['question']}\nAnswer:".lstrip("\n")


def _answer(answer: Any, n_choices: int, where: str) -> int:
    place = -1
    if isinstance(answer, int) and not isinstance(answer, bool):
        place = answer
    elif isinstance(answer, str) and answer.strip().isdecimal():
        place = int(answer)
    elif isinstance(answer, str) and len(answer.strip().upper()) == 1:
        place = ord(answer.strip().upper()) - ord("A")
    if not 0 <= place < n_choices:
        raise _error(where, f"has the answer {answer!r}, expected an index from 0 to {n_choices - 1}, or its letter")
    return place


def _check_utf8(texts: Sequence[str], where: str) -> None:
    if not all(map(is_utf8, texts)):
        raise _error(where, "has half of a surrogate pair, which is not valid text")


def _error(where: str, problem: str) -> UserError:
    return UserError(f"{where} {problem}", "fix that row of --capability")
