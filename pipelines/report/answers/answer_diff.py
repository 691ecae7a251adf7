"""Two answers as one text with what was removed and added: by lines for code, by words for prose. Capped in size."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from enum import StrEnum

from pipelines.report.visible_text import visible

MAX_CHARACTERS = 4_000
# SequenceMatcher takes quadratic time on texts without anything in common: 1,000 prompts must not take a minute.
MAX_PIECES = 400
# Below this share of the shorter answer the difference is two texts side by side, which the page already shows.
MIN_COMMON_SHARE = 0.1
_WORDS = re.compile(r"\s+|\w+|[^\w\s]")
_LINES = re.compile(r"[^\n]*\n|[^\n]+")


class Change(StrEnum):
    """What became of a piece of the first text."""

    KEPT = "kept"
    REMOVED = "removed"
    ADDED = "added"


@dataclass(frozen=True)
class Run:
    """A stretch of text with one fate."""

    change: Change
    text: str


@dataclass(frozen=True)
class AnswerDiff:
    """The runs from the first text to the second; none, and why, where they are not worth showing."""

    runs: tuple[Run, ...]
    reason: str = ""
    is_by_line: bool = False


def answer_diff(before: str, after: str, *, by_line: bool) -> AnswerDiff:
    """What turns `before` into `after`, made visible; a reason instead where there is nothing to see or too much."""
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
    runs = tuple(_merged(_runs(matcher, first, second)))
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


def _merged(runs: Iterator[Run]) -> Iterator[Run]:
    """A lone space kept between two changes belongs to them: otherwise each word is marked by itself."""
    removed = added = ""
    for run in runs:
        if run.change is Change.REMOVED:
            removed += run.text
        elif run.change is Change.ADDED:
            added += run.text
        elif (removed or added) and run.text == " ":
            removed, added = removed + " ", added + " "
        else:
            yield from _changed(removed, added)
            removed = added = ""
            yield run
    yield from _changed(removed, added)


def _changed(removed: str, added: str) -> Iterator[Run]:
    if removed:
        yield Run(Change.REMOVED, removed)
    if added:
        yield Run(Change.ADDED, added)
