"""Near duplicates between two sets of rows: which held-out rows are training rows but for case, marks or small edits.

Candidates come from an inverted index of the held-out rows' word shingles (Broder 1997, "On the resemblance and
containment of documents"), which the training rows stream past; only candidates are compared word by word, as Lee et
al. 2022 ("Deduplicating Training Data Makes Language Models Better") do after MinHash. Two things keep rows made from a
template apart, which resemble each other by any such measure and are different tasks all the same. Shingles that many
training rows have say nothing (a template's own words are common, what fills it is not). And what differs must be
harmless: a request and its answer are both compared, numbers and identifiers count in full.
"""

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from enum import IntEnum

_EDGE = 1_000  # characters at each end of a text that are indexed: rows that agree in both ends are compared whole
_COMMON = 10  # training rows that may share a shingle, and one more for each thousand rows, before it says nothing
_MIN_SHARE = 0.4  # of a row's telling shingles in the other one: one typo breaks three of the six in a row of 8 words
_TEMPLATED = 0.5  # of a row's shingles that are telling: a row with fewer is a template's
_MIN_TELLING = 3  # such shingles: with fewer, two rows can share them by chance
_N_CANDIDATES = 3  # compared for each held-out row
_LONG = 50  # words from which a text may differ in some and still be the same
_NUMBERS_FROM = 200  # words from which a changed number is an edit and not another task
_FEW = 0.03  # of the words of a long request
_FEW_OF_ANSWER = 0.1  # of the words of an answer: checked only where the request is the same but for typos
_TELLING_ANSWER = 20  # words from which an equal answer is no chance
_SHORT_ANSWER = 8  # words below which equal answers are labels: "yes", "positive"
_REWORDED = 0.4  # of a request's words, where a long answer is the same
_SAME_DOCUMENT = 0.8  # Jaccard similarity of shingles, as Lee et al. 2022
_ALIGNED = 400  # words that are aligned one by one at most, which takes the square of their number
_COMPARED = 5_000  # characters at each end of a text that are compared: a document of 20,000 takes 5 ms
_MIN_TYPO = 4  # letters: shorter words that differ in one are other words

# words, numbers whole (3.5), one ideograph or syllable each, and marks that change what is meant; no punctuation
_CJK = "\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af"
_MARKS = r"[+<>=%&^~|@$\\/]|-(?=\s?\d)|(?<=\w)#|(?<=[\w) ])\*(?=[\w( ])"
_NUMBER = r"\d+(?:[.,:]\d+)+"
_PUNCTUATION = (
    "\u00a1\u00ab\u00b7\u00bb\u00bf\u060c\u061b\u061f\u0964\u0965\u200b-\u205e\u3000-\u3030\ufe00-\ufe0f\ufeff"
)
_ASCII_WORDS = re.compile(rf"{_NUMBER}|\w+|{_MARKS}")
_WORDS = re.compile(rf"{_NUMBER}|[{_CJK}]|[^\W{_CJK}]+|{_MARKS}|[^\w\s\x00-\x7f{_PUNCTUATION}]")


class Similarity(IntEnum):
    """How alike two rows are, the surest last."""

    REQUEST = 0  # the request is equal but for case, white space and punctuation; the answer is another
    EDITED = 1  # request and answer are the same but for typos or a few words
    EQUAL = 2  # request and answer are equal but for case, white space and punctuation


@dataclass(frozen=True)
class Row:
    """What is compared: a request (empty for plain text) and an answer."""

    request: str
    answer: str


@dataclass(frozen=True)
class NearDuplicate:
    """Places in the held-out rows and in the training rows of two that are near."""

    held_out: int
    train: int
    similarity: Similarity


def words_of(text: str) -> list[str]:
    """The words, numbers and telling marks of `text`, without case."""
    text = text.replace("'", "").replace("’", "")
    if text.isascii():
        return _ASCII_WORDS.findall(text.lower())
    return _WORDS.findall(unicodedata.normalize("NFKC", text).casefold())


def near_duplicates(train: Sequence[Row], held_out: Sequence[Row]) -> list[NearDuplicate]:
    """At most one pair for each held-out row, with the likest training row, in the order of the held-out rows."""
    train_edges = [_edges(row) for row in train]
    held_out_edges = [_edges(row) for row in held_out]
    same_request = _same_request(train_edges, held_out_edges)
    pairs = {}
    for place, others in same_request.items():
        if (pair := _likest(place, others, train, held_out)) is not None:
            pairs[place] = pair
    left = {place: edges for place, edges in enumerate(held_out_edges) if place not in pairs}
    for place, others, templated in _candidates(train_edges, left):
        if (pair := _likest(place, others, train, held_out, templated)) is not None:
            pairs[place] = pair
    return [pairs[place] for place in sorted(pairs)]


def similarity(one: Row, other: Row, templated: bool = False) -> Similarity | None:
    """How alike two rows are; None where they are different tasks.

    Of `templated` rows, most of whose words many rows have, one other word is another task: a typo alone is none.
    """
    a, b, x, y = (
        words_of(_ends_of(text, _COMPARED)) for text in (one.request, other.request, one.answer, other.answer)
    )
    if a == b and x == y:
        return Similarity.EQUAL if a or x else None
    if not a and not b:
        is_same = differs_in_typos(x, y) if templated else _is_same_document(x, y)
        return Similarity.EDITED if is_same else None
    if a == b:
        is_edited = differs_in_typos(x, y) or _differs_in_few(x, y, _FEW_OF_ANSWER)
        return Similarity.EDITED if is_edited and min(len(x), len(y)) >= _SHORT_ANSWER else Similarity.REQUEST
    return Similarity.EDITED if _has_typos(a, x, b, y) or (not templated and _is_edited(a, x, b, y)) else None


def _has_typos(a: Sequence[str], x: Sequence[str], b: Sequence[str], y: Sequence[str]) -> bool:
    """Whether request `a` is `b` but for typos, and the answers `x` and `y` are not two different ones."""
    is_label = len(x) < _MIN_TYPO and len(a) < _SHORT_ANSWER
    if is_label or not differs_in_typos(a, b):
        return False
    return x == y or differs_in_typos(x, y) or _differs_in_few(x, y, _FEW_OF_ANSWER)


def _is_edited(a: Sequence[str], x: Sequence[str], b: Sequence[str], y: Sequence[str]) -> bool:
    """Whether request `a` with answer `x` is `b` with `y`: a telling answer was kept, or few words were changed."""
    if x == y and len(x) >= _TELLING_ANSWER and _share_of_difference(a, b) <= _REWORDED and _names(a) == _names(b):
        return True
    # one passage with two questions is two tasks, which can have the same short answer
    return min(len(x), len(y)) >= _SHORT_ANSWER and _differs_in_few_of_many(a, b) and (
        x == y or differs_in_typos(x, y) or _differs_in_few(x, y, _FEW)
    )  # fmt: skip


def differs_in_typos(a: Sequence[str], b: Sequence[str]) -> bool:
    """Whether two texts' words are the same but for a letter here and there, a space or a small word more."""
    n_words = min(len(a), len(b))
    allowed = max(1, n_words // 5)
    if n_words > _ALIGNED or abs(len(a) - len(b)) > allowed or _n_different(a, b) > 2 * allowed + 1:
        return False
    changed = 0
    for what, i, j, k, m in SequenceMatcher(None, a, b, autojunk=False).get_opcodes():
        if what != "equal":
            changed += max(j - i, m - k)
            if not _is_slip(a[i:j], b[k:m]):
                return False
    return changed <= allowed


def _is_slip(a: Sequence[str], b: Sequence[str]) -> bool:
    """Whether a piece that was replaced, added or left out changes no task."""
    if "".join(a) == "".join(b) and not _names([*a, *b]):
        return True
    if not a or not b:
        return all(len(word) < _MIN_TYPO and word.isalpha() and not re.match(f"[{_CJK}]", word) for word in (*a, *b))
    return len(a) == len(b) and all(map(_is_typo, a, b))


def _is_typo(a: str, b: str) -> bool:
    """Whether two words differ in one letter, or in two neighbours that changed places."""
    short, long = sorted((a, b), key=len)
    if not (a.isalpha() and b.isalpha()) or len(long) - len(short) > 1:
        return False
    if long.startswith(short):
        return not re.match(f"[{_CJK}]", long)  # a, an; animal, animals
    if len(short) < _MIN_TYPO:
        return False
    i = next(i for i, (p, q) in enumerate(zip(short, long, strict=False)) if p != q)
    if len(short) < len(long):
        return short[i:] == long[i + 1 :]
    return short[i + 1 :] == long[i + 1 :] or (
        short[i : i + 2] == long[i : i + 2][::-1] and short[i + 2 :] == long[i + 2 :]
    )


def _differs_in_few_of_many(a: Sequence[str], b: Sequence[str]) -> bool:
    n_words = min(len(a), len(b))
    if n_words < _LONG or not _differs_in_few(a, b, _FEW):
        return False
    return n_words >= _NUMBERS_FROM or _names(a) == _names(b)


def _differs_in_few(a: Sequence[str], b: Sequence[str], share: float) -> bool:
    return min(len(a), len(b)) >= _TELLING_ANSWER and _share_of_difference(a, b) <= share


def _share_of_difference(a: Sequence[str], b: Sequence[str]) -> float:
    """Words of one that the other lacks, of all words: one word changed is one."""
    return _n_different(a, b) / max(1, len(a) + len(b))


def _n_different(a: Sequence[str], b: Sequence[str]) -> int:
    counts = Counter(a)
    counts.subtract(b)
    return sum(map(abs, counts.values()))


def _names(words: Iterable[str]) -> Counter[str]:
    """The words that are no plain words: numbers, identifiers, marks."""
    return Counter(word for word in words if not word.isalpha())


def _is_same_document(a: Sequence[str], b: Sequence[str]) -> bool:
    if min(len(a), len(b)) < _LONG:
        return differs_in_typos(a, b)
    one, other = set(zip(a, a[1:], a[2:], strict=False)), set(zip(b, b[1:], b[2:], strict=False))
    return len(one & other) >= _SAME_DOCUMENT * len(one | other)


@dataclass(frozen=True)
class _Edges:
    """The words at both ends of a row's request and answer, and how long the texts are."""

    request: tuple[str, ...]
    answer: tuple[str, ...]

    def shingles(self) -> Iterator[int]:
        """Three words in a row, over the request and on into the answer, as hashes: millions of tuples are slow."""
        words = self.request + self.answer
        return map(hash, zip(words, words[1:], words[2:], strict=False))


def _edges(row: Row) -> _Edges:
    return _Edges(tuple(words_of(_ends_of(row.request, _EDGE))), tuple(words_of(_ends_of(row.answer, _EDGE))))


def _ends_of(text: str, n_characters: int) -> str:
    return text if len(text) <= 2 * n_characters else f"{text[:n_characters]}\n{text[-n_characters:]}"


def _same_request(train: Sequence[_Edges], held_out: Sequence[_Edges]) -> dict[int, list[int]]:
    """For held-out rows by their place, the training rows that ask the same, those of the same answer first."""
    wanted = {_asked(edges) for edges in held_out} - {()}
    places: dict[tuple[str, ...], list[int]] = defaultdict(list)
    for place, edges in enumerate(train):
        if _asked(edges) in wanted:
            places[_asked(edges)].append(place)
    return {
        place: sorted(others, key=lambda other: train[other].answer != edges.answer)[:_N_CANDIDATES]
        for place, edges in enumerate(held_out)
        if (others := places.get(_asked(edges)))
    }


def _asked(edges: _Edges) -> tuple[str, ...]:
    return edges.request or edges.answer


def _likest(
    place: int, others: Iterable[int], train: Sequence[Row], held_out: Sequence[Row], templated: bool = False
) -> NearDuplicate | None:
    """The pair of held-out row `place` with the likest of some training rows, None if it is like none."""
    best = None
    for other in others:
        found = similarity(held_out[place], train[other], templated)
        if found is not None and (best is None or found > best.similarity):
            best = NearDuplicate(place, other, found)
        if best is not None and best.similarity is not Similarity.REQUEST:
            break
    return best


def _candidates(train: Sequence[_Edges], held_out: Mapping[int, _Edges]) -> Iterator[tuple[int, list[int], bool]]:
    """Held-out rows by their place with the training rows that share most of what is particular to them.

    The last value says whether the row is made from a template: most of its shingles are common.
    """
    found = _rows_of_shingles(train, {shingle for edges in held_out.values() for shingle in edges.shingles()})
    most = _COMMON + len(train) // 1_000
    for place, edges in held_out.items():
        shingles = set(edges.shingles())
        telling = [rows for shingle in shingles if len(rows := found.get(shingle, [])) <= most]
        hits = Counter(row for rows in telling for row in rows)
        enough = max(_MIN_TELLING, _MIN_SHARE * len(telling))
        best = [row for row, n_hits in hits.most_common(_N_CANDIDATES) if n_hits >= enough]
        if best:
            yield place, best, len(telling) < _TEMPLATED * len(shingles)


def _rows_of_shingles(train: Sequence[_Edges], wanted: set[int]) -> dict[int, list[int]]:
    """The training rows that have each of the `wanted` shingles. Of copies the first: they would make it common."""
    found: dict[int, list[int]] = defaultdict(list)
    first_of: dict[_Edges, int] = {}
    for place, edges in enumerate(train):
        if first_of.setdefault(edges, place) == place:
            for shingle in wanted.intersection(edges.shingles()):
                found[shingle].append(place)
    return found
