"""Replace private texts of a row by typed marks such as `<EMAIL_ADDRESS>`, or reject the row."""

from bisect import bisect
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from data_prep.cleaning.row_texts import RowText
from data_prep.cleaning.step import Changed, Rejected, StepFunction, Verdict
from pipelines.errors import UserError


class Action(StrEnum):
    """What a step does with a row that contains a private text."""

    REPLACE = "replace"
    REJECT = "reject"


@dataclass(frozen=True, slots=True)
class Found:
    """A private text at `start:end`. `type` is the word of its mark, such as `EMAIL_ADDRESS`."""

    type: str
    start: int
    end: int


FindAll = Callable[[str], Iterable[Found]]


def marking_step(name: str, action: str, find: FindAll, may_contain: Callable[[str], bool]) -> StepFunction:
    """Return a step that replaces all that `find` finds in texts for which `may_contain` is true, or rejects the row
    with the reason `name`.

    A text that occurs again in the row gets the same mark; the second distinct text of a type is `<TYPE_2>`, the third
    `<TYPE_3>`. Raises `UserError` for an unknown action.
    """
    if action not in list(Action):
        raise UserError(f"{name}: action is {action!r}, expected replace or reject", "choose one of the two")

    def check(texts: Sequence[RowText]) -> Verdict:
        if not may_contain("\n".join([one.text for one in texts])):  # most rows: one test instead of one for each text
            return None
        suspects = [number for number, one in enumerate(texts) if may_contain(one.text)]
        found = {number: spans for number in suspects if (spans := _without_overlaps(find(texts[number].text)))}
        if not found:
            return None
        counts = Counter(span.type.lower() for spans in found.values() for span in spans)
        if action == Action.REJECT:
            return Rejected(name, dict(counts), is_secret=True)
        marks = _Marks()
        new = [marks.replace(one.text, found.get(number, ())) for number, one in enumerate(texts)]
        return Changed(new, counts, is_secret=True)

    return check


def _without_overlaps(spans: Iterable[Found]) -> list[Found]:
    """Return `spans` from left to right; of two that overlap, the one that comes first in `spans`."""
    kept: list[Found] = []
    for span in spans:
        place = bisect(kept, span.start, key=lambda one: one.start)
        after_left = place == 0 or kept[place - 1].end <= span.start
        if after_left and (place == len(kept) or span.end <= kept[place].start):
            kept.insert(place, span)
    return kept


class _Marks:
    """The marks of one row."""

    def __init__(self) -> None:
        self._marks: dict[tuple[str, str], str] = {}
        self._n_of_type: Counter[str] = Counter()

    def replace(self, text: str, spans: Sequence[Found]) -> str:
        pieces, end = [], 0
        for span in spans:
            pieces += [text[end : span.start], self._mark(span.type, text[span.start : span.end])]
            end = span.end
        return "".join([*pieces, text[end:]])

    def _mark(self, type_: str, private: str) -> str:
        key = (type_, "".join(filter(str.isalnum, private.casefold())))
        if key not in self._marks:
            self._n_of_type[type_] += 1
            number = self._n_of_type[type_]
            self._marks[key] = f"<{type_}>" if number == 1 else f"<{type_}_{number}>"
        return self._marks[key]
