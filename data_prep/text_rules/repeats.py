"""Find texts that repeat themselves: loops of words, repeated sentences or lines, long runs of one character.

The idea is of the repetition filters of Gopher (J. Rae et al. 2021, table A1). Their limits are for web pages; tables,
code, drawings in characters, songs and lists of labels repeat more than they allow, so only repeated prose counts here,
and only where it is most of a text, or does not stop before its end.
"""

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

MIN_CHARACTERS = 100
_LONG_TEXT = 2_000
_PIECE = 20  # characters that are searched in the whole text: finding a piece is faster than counting words
MAX_SHARE = 0.75  # of a text in repeats

_N_WORDS = 4
_MIN_COPIES = 4
_MIN_COPIES_AT_THE_END = 6  # songs end in a line sung four times
_END_SHARE = 0.4
_MIN_RUN = 110  # a googol has 100 zeros
_WORD = re.compile("[\u3040-\u30ff\u4e00-\u9fff]|[^\\W\\d_]{2,}")  # Chinese and Japanese are written without spaces
_UNIT_END = re.compile(r"(?<=[.!?])\s+|(?<=[。！？])\s*|\n")
_MIN_UNIT_WORDS = 4  # shorter lines are cells, labels and brackets


def _quarters(text: str) -> tuple[int, int, int]:
    """Return 3 places of a text. Every run of a quarter of the text has one of them in it."""
    quarter = len(text) // 4
    return quarter, 2 * quarter, 3 * quarter


def may_repeat(text: str) -> bool:
    """Whether pieces of the text are in it twice: of 3 places one, then of 20 places five.

    Code repeats many short pieces, so those of a long text are longer.
    """
    length = _PIECE if len(text) < _LONG_TEXT else 2 * _PIECE
    if all(text.count(text[at : at + length]) < 2 for at in _quarters(text)):
        return False
    places = range(0, len(text) - length, max(1, (len(text) - length) // 20))
    return sum(text.count(text[at : at + length]) > 1 for at in places) >= 5


def repeats(text: str, max_share: float) -> tuple[str, float] | None:
    """Return which repeats make up more of a text than they may, and their share: a run of one character, a piece of
    some words in a row, sentences or lines that were there before."""
    n_visible = max(1, len(text) - sum(map(text.count, " \n\t")))
    shares = ((what, allowed * max_share, n_chars / n_visible) for what, allowed, n_chars in _repeats(text, max_share))
    return next(((what, share) for what, allowed, share in shares if share > allowed), None)


def _repeats(text: str, max_share: float) -> Iterator[tuple[str, float, int]]:
    """Yield each kind of repeats, how much of `max_share` it may have, and its visible characters."""
    yield "run_of_one_character", _END_SHARE, max(_run_around(text, at) for at in _quarters(text))
    words = text.split()
    # the share of known groups of words bounds the others, and is counted in a tenth of their time
    is_in_words = len(words) > len(text) / 30  # unlike Chinese
    known_share = 1 - len(set(_grams(words))) / max(1, len(words) - _N_WORDS + 1) if is_in_words else 1.0
    if known_share > _END_SHARE * max_share / 2:
        loops = list(_loops(words))
        yield "loop_to_the_end", _END_SHARE, sum(loop.n_chars for loop in loops if loop.is_at_the_end)
        yield "loop", 1.0, sum(loop.n_chars for loop in loops)
    if known_share > max_share / 2:
        yield "sentences", 1.0, sum(_repeated_sentences(text))


def _run_around(text: str, place: int) -> int:
    """Return how often the letter, digit or accent at `place` is there in a row: rules and drawings are symbols."""
    character = text[place]
    if not (character.isalnum() or unicodedata.combining(character)):
        return 0
    before, after = text[:place], text[place:]
    n = len(before) - len(before.rstrip(character)) + len(after) - len(after.lstrip(character))
    return n if n >= _MIN_RUN else 0


def _repeated_sentences(text: str) -> Iterator[int]:
    """Yield the visible characters of each sentence or line of prose that was there before."""
    seen: set[str] = set()
    for unit in _UNIT_END.split(text):
        key = "".join(unit.split())
        if key in seen:
            if len(_WORD.findall(unit)) >= _MIN_UNIT_WORDS:
                yield len(key)
        else:
            seen.add(key)


@dataclass(frozen=True, slots=True)
class _Loop:
    n_chars: int  # without the first copy
    is_at_the_end: bool


def _grams(words: Sequence[str]) -> Iterator[tuple[str, ...]]:
    return zip(*(words[first:] for first in range(_N_WORDS)), strict=False)


def _loops(words: Sequence[str]) -> Iterator[_Loop]:
    """Yield each loop: a run of words of which each begins the same four words as the word one period before it."""
    last: dict[tuple[str, ...], int] = {}
    period = start = place = 0
    for place, gram in enumerate(_grams(words)):
        distance = place - last.get(gram, place)
        last[gram] = place
        if distance != period:
            yield from _loop(words, start, place + _N_WORDS - 1, period)
            period, start = distance, place
    yield from _loop(words, start, place + _N_WORDS, period)


def _loop(words: Sequence[str], start: int, end: int, period: int) -> Iterator[_Loop]:
    if not period or end - start < (_MIN_COPIES - 1) * period:
        return
    piece = words[start : start + period]
    # a few words with commas or bars between them are a list of labels or a row of cells
    is_list = period < _N_WORDS and any(word.endswith((",", ";", "|")) for word in piece)
    if not is_list and any(map(_WORD.search, piece)):
        is_at_the_end = end == len(words) and end - start >= (_MIN_COPIES_AT_THE_END - 1) * period
        yield _Loop(sum(map(len, words[start:end])), is_at_the_end)
