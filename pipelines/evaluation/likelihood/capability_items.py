"""Items that ask a base what it knows, without a chat template: minimal pairs, and questions with choices."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipelines.errors import UserError
from pipelines.evaluation.statistics.row_groups import group_of
from pipelines.files import is_utf8


@dataclass(frozen=True)
class CapabilityItem:
    """Texts of which number `answer` is right: continuations of `context`, or whole sentences where it is None.

    Items of one `group` depend on each other.
    """

    context: str | None
    choices: tuple[str, ...]
    answer: int
    category: str | None = None
    group: str | None = None


def capability_item(row: Mapping[str, Any], where: str) -> CapabilityItem:
    """The item in a row.

    Either `good` and `bad`, two sentences; or `choices` (a list) and `answer` (the place in it, from 0, or its letter)
    with `context` or `prompt`, which is continued as it is, or `question`, which is asked as
    "Question: ...\\nAnswer:" after the `context` if there is one. A choice follows behind a space. `category` (or
    `subject`) and `group` are kept. Raises `UserError` for a row that is neither.
    """
    category = row.get("category") or row.get("subject")
    named = None if category is None else str(category)
    if "good" in row or "bad" in row:
        pair = (row.get("good"), row.get("bad"))
        if not all(isinstance(text, str) and text for text in pair) or pair[0] == pair[1]:
            raise _refusal(where, "two different texts in `good` and `bad`", "empty, equal or missing ones")
        _refuse_broken([str(text) for text in pair], where)
        return CapabilityItem(None, (str(pair[0]), str(pair[1])), 0, named, group_of(row))
    choices = row.get("choices")
    if not isinstance(choices, list) or len(choices) < 2 or not all(isinstance(one, str) and one for one in choices):
        got = f"the columns {', '.join(map(str, row)) or '(none)'}" if choices is None else repr(choices)[:80]
        raise _refusal(where, "`good` and `bad`, or a list of two or more texts in `choices`", got)
    context = _context(row, where)
    _refuse_broken([context, *choices], where)
    answer = _answer(row.get("answer"), len(choices), where)
    return CapabilityItem(context, tuple(choices), answer, named, group_of(row))


def _context(row: Mapping[str, Any], where: str) -> str:
    parts = {name: row.get(name) or "" for name in ("context", "prompt", "question")}
    if not all(isinstance(text, str) for text in parts.values()) or not any(parts.values()):
        raise _refusal(where, "a text in `question`, `context` or `prompt`", "none")
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
        raise _refusal(where, f"the place of the right choice, 0 to {n_choices - 1}, or its letter", repr(answer))
    return place


def _refuse_broken(texts: Sequence[str], where: str) -> None:
    if not all(map(is_utf8, texts)):
        raise _refusal(where, "text that UTF-8 can hold", "half of a surrogate pair")


def _refusal(where: str, expected: str, got: str) -> UserError:
    return UserError(expected=f"{expected} in {where}", got=got, remedy="mend that row of --capability")
