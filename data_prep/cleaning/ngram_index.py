"""An index of the n-grams of words of evaluation rows, and the search for one of them in a text.

A text that shares `n` words in a row with the index also shares a shorter run, its head, at one of every few places.
Only these places are looked up; the words around a hit are then compared one by one, so that no hash decides.
"""

from array import array
from bisect import bisect
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

MAX_SHARED_ROWS = 4  # an n-gram in more rows of one set is its boilerplate, such as "write a python function to"
DISTINCT_SHARE = 0.6  # words of three letters or more, of all; fewer are `for i in range(n): for j in range(m):`
ENOUGH_WORDS = 50  # of a long evaluation text
MAX_PLACES = 100  # of a head: more are the end of a template
MIN_WORDS = 4  # of a question that is compared as a whole

_NO_WORD = b""  # between two texts: no word equals it
_NONE = -1

Words = Sequence[bytes]


@dataclass(frozen=True, slots=True)
class IndexedText:
    """The words of a text of row `row` of the evaluation set `set_name`. Only questions are compared as a whole."""

    set_name: str
    row: int
    words: Words
    is_question: bool = True


@dataclass(frozen=True, slots=True)
class Match:
    """Where a text was found, the first words that are the same, and the share of the evaluation text that is."""

    set_name: str
    row: int
    words: Words
    overlap: float = 1.0


class NgramIndex:
    """The n-grams of evaluation texts; those in many rows of a set, and those of few distinct words, do not count.

    A text matches if it shares an n-gram with an evaluation text and in all `min_overlap` of its words, or
    `ENOUGH_WORDS`: one sentence of a well-known definition is no copy of the question that quotes it.
    """

    def __init__(self, texts: Iterable[IndexedText], n: int, min_overlap: float = 0.0) -> None:
        self.n = n
        self._min_overlap = min_overlap
        self.n_head = (n + 3) // 2
        self._stride = n - self.n_head + 1
        self._names: list[tuple[str, int]] = []
        self._starts = array("q")  # of each text in `_words`
        self._words: list[bytes] = []
        self._whole: dict[tuple[bytes, ...], Match] = {}
        interned: dict[bytes, bytes] = {}
        for text in texts:
            if len(text.words) >= n:
                self._names.append((text.set_name, text.row))
                self._starts.append(len(self._words))
                self._words += [interned.setdefault(word, word) for word in text.words]
                self._words.append(_NO_WORD)
            elif text.is_question and len(text.words) >= MIN_WORDS:
                self._whole.setdefault(tuple(text.words), Match(text.set_name, text.row, text.words))
        self._counts = self._counting_starts()
        self._last: dict[int, int] = {}  # hash of a head: its last place
        self._previous = array("q", [_NONE]) * len(self._words)  # place of a head: the place before it, same hash
        self._add_heads()

    def find(self, words: Sequence[bytes]) -> Match | None:
        """Return the first evaluation text that matches `words`, or None."""
        row, n_head = tuple(words), self.n_head
        hashes = [hash(row[place : place + n_head]) for place in range(0, len(row) - n_head + 1, self._stride)]
        if self._last.keys().isdisjoint(hashes):
            return None
        seen: set[int] = set()
        for number, hashed in enumerate(hashes):
            found = self._last.get(hashed, _NONE)
            while found != _NONE:
                start = self._shared_ngram(words, number * self._stride, found)
                text = bisect(self._starts, start) - 1
                if start != _NONE and text not in seen:
                    seen.add(text)
                    n_shared, n_words = self._n_shared(row, text)
                    if n_shared >= min(self._min_overlap * n_words, ENOUGH_WORDS):
                        return Match(*self._names[text], self._words[start : start + self.n], n_shared / n_words)
                found = self._previous[found]
        return None

    def _n_shared(self, row: tuple[bytes, ...], text: int) -> tuple[int, int]:
        """Return how many words of an evaluation text are in a run that `row` has too, and how many it has."""
        runs = {row[place : place + self.n_head] for place in range(len(row) - self.n_head + 1)}
        first, end = self._starts[text], self._end(text)
        shared = bytearray(end - first)
        for place in range(first, end - self.n_head + 1):
            if tuple(self._words[place : place + self.n_head]) in runs:
                shared[place - first : place - first + self.n_head] = b"\1" * self.n_head
        return sum(shared), end - first

    def find_whole(self, words: Words) -> Match | None:
        """Return the question of fewer than `n` words that `words` are, or None."""
        return self._whole.get(tuple(words)) if MIN_WORDS <= len(words) < self.n else None

    @property
    def has_short_questions(self) -> bool:
        """Whether any question has fewer than `n` words."""
        return bool(self._whole)

    def _shared_ngram(self, words: Words, place: int, found: int) -> int:
        """Return where an n-gram begins that counts, in the run of equal words around `place` and `found`."""
        left = 0
        while left < place and left < self.n and words[place - left - 1] == self._words[found - left - 1]:
            left += 1
        right, most = 0, min(2 * self.n, len(words) - place)
        while right < most and words[place + right] == self._words[found + right]:
            right += 1
        starts = range(found - left, found + right - self.n + 1)
        return next((start for start in starts if self._counts[start]), _NONE)

    def _counting_starts(self) -> bytearray:
        """Return 1 for each place at which an n-gram begins that counts, else 0.

        Of a row without an n-gram of enough distinct words, those with the most distinct words count.
        """
        n_rows: Counter[tuple[str, int]] = Counter()
        last_row: dict[tuple[str, int], int] = {}
        for number, (set_name, row) in enumerate(self._names):
            for _, hashed in self._hashes(number, self.n):
                if last_row.get((set_name, hashed)) != row:
                    last_row[set_name, hashed] = row
                    n_rows[set_name, hashed] += 1
        n_distinct = bytearray(len(self._words))
        most: dict[tuple[str, int], int] = {}
        for number, name in enumerate(self._names):
            for place, hashed in self._hashes(number, self.n):
                if n_rows[name[0], hashed] <= MAX_SHARED_ROWS:
                    n_distinct[place] = _n_distinct(self._words[place : place + self.n])
                    most[name] = max(most.get(name, 0), n_distinct[place])
        counts = bytearray(len(self._words))
        for number, name in enumerate(self._names):
            least = min(round(DISTINCT_SHARE * self.n), max(most.get(name, 0), 1))
            for place, _ in self._hashes(number, self.n):
                counts[place] = n_distinct[place] >= least
        return counts

    def _hashes(self, number: int, length: int) -> Iterator[tuple[int, int]]:
        """Yield place and hash of each run of `length` words of a text."""
        for place in range(self._starts[number], self._end(number) - length + 1):
            yield place, hash(tuple(self._words[place : place + length]))

    def _end(self, number: int) -> int:
        """Return the place after the last word of a text."""
        return (self._starts[number + 1] if number + 1 < len(self._starts) else len(self._words)) - 1

    def _add_heads(self) -> None:
        """Index the heads that are part of an n-gram that counts; those at many places lead nowhere and take long."""
        heads = [
            (place, hashed) for number in range(len(self._names)) for place, hashed in self._hashes(number, self.n_head)
            if any(self._counts[max(0, place - self.n + self.n_head) : place + 1])
        ]  # fmt: skip
        n_places = Counter(hashed for _, hashed in heads)
        for place, hashed in heads:
            if n_places[hashed] <= MAX_PLACES:
                self._previous[place] = self._last.get(hashed, _NONE)
                self._last[hashed] = place


def _n_distinct(ngram: Words) -> int:
    return len({word for word in ngram if len(word) > 2 and not word.isdigit()})
