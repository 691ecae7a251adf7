"""The difference of two answers: by lines for code, by words for prose, up to a maximum size."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from enum import StrEnum

from pipelines.files.visible_text import visible

MAX_CHARACTERS = 4_000
# SequenceMatcher takes quadratic time on texts without anything in common: 1,000 prompts must not take a minute.
MAX_PIECES = 400
# Below this share of the shorter answer the difference is two texts side by side, which the page already shows.
MIN_COMMON_SHARE = 0.1
_WORDS = re.compile(r"\s+|\w+|[^\w\s]")
_LINES = re.compile(r"[^\n]*\n|[^\n]+")


class Change(StrEnum):
    """The kind of a piece of the difference."""

    KEPT = "kept"
    REMOVED = "removed"
    ADDED = "added"


@dataclass(frozen=True)
class Run:
    """A piece of text and its kind."""

    change: Change
    text: str


@dataclass(frozen=True)
class AnswerDiff:
    """The runs from the first text to the second, or the `reason` why none are shown."""

    runs: tuple[Run, ...]
    reason: str = ""
    is_by_line: bool = False


def answer_diff(before: str, after: str, *, by_line: bool) -> AnswerDiff:
    """The difference from `before` to `after`, made visible; a reason where it is empty or too large."""
    if before == after:
        return AnswerDiff((), "The two answers are the same.")
    if max(len(before), len(after)) > MAX_CHARACTERS:
        return AnswerDiff((), f"An answer is longer than {MAX_CHARACTERS:,} characters.")
    pattern = _LINES if by_line else _WORDS
    first, second = pattern.findall(before), pattern.findall(after)
    if max(len(first), len(second)) > MAX_PIECES:
        pieces = "lines" if by_line else "words"
        return AnswerDiff((), f"An answer has more than {MAX_PIECES} {pieces}, spaces and marks counted.")
    matcher = SequenceMatcher(None, first, second, autojunk=False)
    runs = tuple(_runs(matcher, first, second))
    kept = sum(len(run.text.strip()) for run in runs if run.change is Change.KEPT)
    if not kept or kept < MIN_COMMON_SHARE * min(len(before.strip()), len(after.strip())):
        return AnswerDiff((), "The two answers have almost nothing in common.")
    shown = (Run(run.change, visible(_signed(run) if by_line else run.text)) for run in runs)
    return AnswerDiff(tuple(shown), is_by_line=by_line)


def _signed(run: Run) -> str:
    sign = {Change.KEPT: "  ", Change.REMOVED: "− ", Change.ADDED: "+ "}[run.change]
    lines = run.text.removesuffix("\n").split("\n")
    return "".join(f"{sign}{line}\n" for line in lines)


def _runs(matcher: SequenceMatcher[str], first: Sequence[str], second: Sequence[str]) -> Iterator[Run]:
    for operation, a, b, c, d in matcher.get_opcodes():
        if operation == "equal":
            yield Run(Change.KEPT, "".join(first[a:b]))
            continue
        if a < b:
            yield Run(Change.REMOVED, "".join(first[a:b]))
        if c < d:
            yield Run(Change.ADDED, "".join(second[c:d]))
