"""Count the lengths of rows by role: percentiles and a histogram in constant memory, added up over processes."""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from data_prep.conversation import content_text

if TYPE_CHECKING:
    from numpy import ndarray

TURNS = "turns"  # counted in messages; every other role in characters
_COLUMNS = {"text": "document", "output": "answer", "chosen": "chosen", "rejected": "rejected"}
_SPEAKERS = {"user": "question", "assistant": "answer"}
_ROLES = ("question", "answer", "chosen", "rejected", "document", TURNS)  # in this order in every table
_EXACT_BELOW = 10_000


def texts_by_role(fields: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield (role, text) of a row in its final columns: document, question, answer, chosen or rejected.

    An answer that only calls tools has no text.
    """
    if isinstance(fields.get("instruction"), str):
        parts = (fields["instruction"], fields.get("input"))
        yield "question", "\n\n".join(part for part in parts if part)
    for column, role in _COLUMNS.items():
        value = fields.get(column)
        if isinstance(value, str):
            yield role, value
        elif isinstance(value, list):  # a chosen or rejected answer as messages
            yield role, "\n\n".join(content_text(message) for message in value)
    for message in fields.get("prompt") or ():
        if message["role"] == "user":
            yield "question", content_text(message)
    for message in fields.get("messages") or ():
        text = content_text(message)
        if message["role"] in _SPEAKERS and (text or not message.get("tool_calls")):
            yield _SPEAKERS[message["role"]], text


class LengthCounts:
    """How often each length occurs, by role. Lengths of 10,000 and more are rounded to three digits, so the counts of
    any number of rows stay small."""

    def __init__(self) -> None:
        self.counts: dict[str, Counter[int]] = {}

    def add(self, role: str, length: int) -> None:
        """Count one length."""
        self.counts.setdefault(role, Counter())[_rounded(length)] += 1

    def add_all(self, role: str, lengths: "ndarray") -> None:
        """Count the lengths of many rows."""
        import numpy as np

        for length, n in zip(*np.unique(lengths, return_counts=True), strict=True):
            self.counts.setdefault(role, Counter())[_rounded(int(length))] += int(n)

    def add_row(self, fields: Mapping[str, Any]) -> None:
        """Count the characters of each text of a row, and the messages of a conversation as `turns`."""
        for role, text in texts_by_role(fields):
            self.add(role, len(text))
        if fields.get("messages"):
            self.add(TURNS, len(fields["messages"]))

    def update(self, other: "LengthCounts") -> None:
        """Add the counts of other rows."""
        for role, counts in other.counts.items():
            self.counts.setdefault(role, Counter()).update(counts)

    def to_json(self) -> dict[str, dict[str, Any]]:
        """Return n, p5, p50, p95, max and histogram of each role. The histogram is a list of [upper limit, count]; the
        limits are 0, 1, 3, 7, 15 and so on, one less than a power of two."""
        return {role: _summary(self.counts[role]) for role in _ROLES if role in self.counts}


def _rounded(length: int) -> int:
    return length if length < _EXACT_BELOW else int(float(f"{length:.3g}"))


def _summary(counts: Counter[int]) -> dict[str, Any]:
    lengths = sorted(counts)
    ranks = list(accumulate(counts[length] for length in lengths))
    histogram: Counter[int] = Counter()
    for length in lengths:
        histogram[2 ** length.bit_length() - 1] += counts[length]
    return {
        "n": ranks[-1],
        **{f"p{percent}": lengths[bisect_left(ranks, percent / 100 * ranks[-1])] for percent in (5, 50, 95)},
        "max": lengths[-1],
        "histogram": [[limit, histogram[limit]] for limit in _limits(histogram)],
    }


def _limits(limits: Iterable[int]) -> list[int]:
    """All limits from the smallest to the largest, also those without a count between them."""
    exponents = [limit.bit_length() for limit in limits]
    return [2**exponent - 1 for exponent in range(min(exponents), max(exponents) + 1)]
