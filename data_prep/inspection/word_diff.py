"""Compare two texts word by word, for a reader."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import SequenceMatcher

from data_prep.dataset_folder.excerpts import without_keys
from pipelines.files.visible_text import visible

MAX_WORDS = 150
MAX_CHARACTERS = 800
_WORDS = re.compile(r"\s+|\w+|[^\w\s]")


@dataclass(frozen=True)
class Piece:
    """A part of the compared texts: `kind` is `same`, `removed` (only in the first) or `added` (only in the second)."""

    kind: str
    text: str


def word_diff(before: str, after: str, ignore_space: bool = False) -> list[Piece]:
    """Return the pieces of both texts in order, of the first 150 words, spaces and marks of each.

    With `ignore_space`, white space of another kind or length is the same.
    """
    first, second = (_WORDS.findall(without_keys(text)[:MAX_CHARACTERS])[:MAX_WORDS] for text in (before, after))
    return [Piece(kind, visible("".join(words))) for kind, words in _pieces(first, second, ignore_space) if words]


def _pieces(first: list[str], second: list[str], ignore_space: bool) -> Iterator[tuple[str, list[str]]]:
    one, other = ([" " if ignore_space and word.isspace() else word for word in words] for words in (first, second))
    for operation, begin, end, begin_after, end_after in SequenceMatcher(None, one, other, False).get_opcodes():
        if operation == "equal":
            yield "same", first[begin:end]
        else:
            yield "removed", first[begin:end]
            yield "added", second[begin_after:end_after]
