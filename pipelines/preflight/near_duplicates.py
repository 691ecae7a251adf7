"""Near duplicates of held-out rows among the training rows: equal but for case, punctuation, typos or a few words.

MinHash over word shingles (rensa) finds candidates, as in Lee et al. 2022 ("Deduplicating Training Data Makes Language
Models Better"), rapidfuzz orders them, and the rules below compare them word by word. Rows made from one template
resemble each other by any such measure and are still different tasks. So a row with many candidates counts as
templated, and what differs must be harmless: request and answer are both compared, numbers and identifiers in full.
"""

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum

from rapidfuzz import fuzz, process
from rapidfuzz.distance import OSA, Levenshtein
from rensa import RMinHash, RMinHashLSH

_EDGE = 1_000  # characters at each end of a text that are indexed
_THRESHOLD, _N_PERMUTATIONS, _N_BANDS = 0.4, 128, 64  # Jaccard similarity: one typo breaks three of six shingles
_COMMON = 10  # candidates from which a row is templated, and one more for each thousand training rows
_N_COMPARED = 3  # candidates compared by the rules
_N_RANKED, _LEAST_RATIO = 50, 80  # candidates that are ordered for a document; percent of its letters that they share
_LONG = 50  # words from which a text may differ in some and still be the same
_NUMBERS_FROM = 200  # words from which a changed number is an edit and not another task
_FEW = 0.03  # of the words of a long request
_FEW_OF_ANSWER = 0.1  # of the words of an answer: checked only where the request is the same but for typos
_TELLING_ANSWER = 20  # words from which an equal answer is not chance
_SHORT_ANSWER = 8  # words below which equal answers are labels: "yes", "positive"
_REWORDED = 0.4  # of a request's words, where a long answer is the same
_SAME_DOCUMENT = 0.8  # Jaccard similarity of shingles, as Lee et al. 2022
_ALIGNED = 400  # words that are aligned one by one at most
_COMPARED = 5_000  # characters at each end of a text that are compared
_MIN_TYPO = 4  # letters: shorter words that differ in one are other words

# words, numbers as one (3.5), one ideograph or syllable each, and signs that change the meaning; no punctuation
_CJK = "\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af"
_SIGNS = r"[+<>=%&^~|@$\\/]|-(?=\s?\d)|(?<=\w)#|(?<=[\w) ])\*(?=[\w( ])"
_NUMBER = r"\d+(?:[.,:]\d+)+"
_PUNCTUATION = (
    "\u00a1\u00ab\u00b7\u00bb\u00bf\u060c\u061b\u061f\u0964\u0965\u200b-\u205e\u3000-\u3030\ufe00-\ufe0f\ufeff"
)
_ASCII_WORDS = re.compile(rf"{_NUMBER}|\w+|{_SIGNS}")
_WORDS = re.compile(rf"{_NUMBER}|[{_CJK}]|[^\W{_CJK}]+|{_SIGNS}|[^\w\s\x00-\x7f{_PUNCTUATION}]")
_STARTS_CJK = re.compile(f"[{_CJK}]")

Words = Sequence[str]


class Similarity(IntEnum):
    """How similar two rows are, in rising order."""

    REQUEST = 0  # the request is equal but for case, white space and punctuation; the answer differs
    EDITED = 1  # request and answer are the same but for typos or a few words
    EQUAL = 2  # request and answer are equal but for case, white space and punctuation


@dataclass(frozen=True)
class Row:
    """A request (empty for plain text) and an answer."""

    request: str
    answer: str


@dataclass(frozen=True)
class NearDuplicate:
    """The places of a held-out row and of the most similar training row."""

    held_out: int
    train: int
    similarity: Similarity


def words_of(text: str) -> list[str]:
    """The words, numbers and meaningful signs of `text`, case-folded."""
    text = text.replace("'", "").replace("’", "")
    if text.isascii():
        return _ASCII_WORDS.findall(text.lower())
    return _WORDS.findall(unicodedata.normalize("NFKC", text).casefold())


def near_duplicates(train: Sequence[Row], held_out: Sequence[Row]) -> list[NearDuplicate]:
    """At most one training row for each held-out row, the most similar one."""
    index = RMinHashLSH(threshold=_THRESHOLD, num_perm=_N_PERMUTATIONS, num_bands=_N_BANDS)
    texts: list[str] = []
    same_request: dict[str, list[int]] = defaultdict(list)
    seen: set[str] = set()
    for place, row in enumerate(train):
        request, answer = _edges(row)
        texts.append(" ".join([*request, *answer]))
        same_request[" ".join(request or answer)].append(place)
        if texts[-1] not in seen:  # copies would make a row look templated
            seen.add(texts[-1])
            index.insert(place, _minhash([*request, *answer]))
    most, found = _COMMON + len(train) // 1_000, []
    for place, row in enumerate(held_out):
        request, answer = _edges(row)
        text = " ".join([*request, *answer])
        same = same_request.get(" ".join(request or answer), []) if text else []
        best = _best(row, sorted(same, key=lambda other: texts[other] != text)[:_N_COMPARED], train)
        if best is None and text:
            near = index.query(_minhash([*request, *answer]))
            ranked = process.extract(text, {one: texts[one] for one in near}, scorer=fuzz.ratio, limit=_N_COMPARED)
            best = _best(row, [one for _, _, one in ranked], train, templated=len(near) > most)
        if best is not None:
            found.append(NearDuplicate(place, *best))
    return found


def earlier_copies(documents: Sequence[Row]) -> list[NearDuplicate]:
    """Documents that are nearly an earlier one, whose place is in `train`."""
    index = RMinHashLSH(threshold=_THRESHOLD, num_perm=_N_PERMUTATIONS, num_bands=_N_BANDS)
    most, found = _COMMON + len(documents) // 1_000, []
    texts: list[str] = []
    for place, document in enumerate(documents):
        _, words = _edges(document)
        texts.append(" ".join(words))
        minhash = _minhash(words)
        near = list(index.query(minhash))
        near_texts = {other: texts[other] for other in near[:_N_RANKED]}
        ranked = process.extract(
            texts[-1], near_texts, scorer=fuzz.ratio, limit=_N_COMPARED, score_cutoff=_LEAST_RATIO
        )  # fmt: skip
        best = _best(document, [other for _, _, other in ranked], documents, templated=len(near) > most)
        if best is not None:
            found.append(NearDuplicate(place, *best))
        index.insert(place, minhash)
    return found


def _minhash(words: Words) -> RMinHash:
    minhash = RMinHash(num_perm=_N_PERMUTATIONS, seed=1)
    minhash.update([" ".join(shingle) for shingle in zip(words, words[1:], words[2:], strict=False)] or list(words))
    return minhash


def _edges(row: Row) -> tuple[list[str], list[str]]:
    """The words at both ends of request and answer."""
    return words_of(_ends_of(row.request, _EDGE)), words_of(_ends_of(row.answer, _EDGE))


def _ends_of(text: str, n_characters: int) -> str:
    return text if len(text) <= 2 * n_characters else f"{text[:n_characters]}\n{text[-n_characters:]}"


def _best(
    row: Row, others: Iterable[int], train: Sequence[Row], templated: bool = False
) -> tuple[int, Similarity] | None:
    """The most similar of some training rows."""
    best: tuple[int, Similarity] | None = None
    for other in others:
        found = similarity(row, train[other], templated)
        if found is not None and (best is None or found > best[1]):
            best = other, found
    return best


def similarity(one: Row, other: Row, templated: bool = False) -> Similarity | None:
    """How similar two rows are; None if they are different tasks.

    In `templated` rows one other word makes another task, and only a typo does not.
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


def _has_typos(a: Words, x: Words, b: Words, y: Words) -> bool:
    """Whether request `a` is `b` but for typos, and the answers `x` and `y` are not two different ones."""
    is_label = len(x) < _MIN_TYPO and len(a) < _SHORT_ANSWER
    if is_label or not differs_in_typos(a, b):
        return False
    return x == y or differs_in_typos(x, y) or _differs_in_few(x, y, _FEW_OF_ANSWER)


def _is_edited(a: Words, x: Words, b: Words, y: Words) -> bool:
    """Whether request `a` with answer `x` is `b` with `y`, reworded around a long answer or changed in a few words."""
    if x == y and len(x) >= _TELLING_ANSWER and _share_of_difference(a, b) <= _REWORDED and _names(a) == _names(b):
        return True
    n_words = min(len(a), len(b))
    if n_words < _LONG or not _differs_in_few(a, b, _FEW) or (n_words < _NUMBERS_FROM and _names(a) != _names(b)):
        return False
    # one passage with two questions is two tasks, which can have the same short answer
    return min(len(x), len(y)) >= _SHORT_ANSWER and (
        x == y or differs_in_typos(x, y) or _differs_in_few(x, y, _FEW)
    )  # fmt: skip


def differs_in_typos(a: Words, b: Words) -> bool:
    """Whether two texts' words are the same but for a letter here and there, a space or a small word more."""
    n_words = min(len(a), len(b))
    allowed = max(1, n_words // 5)
    if n_words > _ALIGNED or abs(len(a) - len(b)) > allowed or _n_different(a, b) > 2 * allowed + 1:
        return False
    edits = [op for op in Levenshtein.opcodes(a, b) if op.tag != "equal"]
    merged: list[list[int]] = []
    for op in edits:  # neighboring edits are one: "can not" for "cannot" is a replaced word and a deleted one
        if merged and merged[-1][1] == op.src_start and merged[-1][3] == op.dest_start:
            merged[-1][1], merged[-1][3] = op.src_end, op.dest_end
        else:
            merged.append([op.src_start, op.src_end, op.dest_start, op.dest_end])
    changed = sum(max(j - i, m - k) for i, j, k, m in merged)
    return changed <= allowed and all(_is_slip(a[i:j], b[k:m]) for i, j, k, m in merged)


def _is_slip(a: Words, b: Words) -> bool:
    """Whether a piece that was replaced, added or left out leaves the task the same."""
    if "".join(a) == "".join(b) and not _names([*a, *b]):
        return True
    if not a or not b:
        return all(len(word) < _MIN_TYPO and word.isalpha() and not _STARTS_CJK.match(word) for word in (*a, *b))
    return len(a) == len(b) and all(map(_is_typo, a, b))


def _is_typo(a: str, b: str) -> bool:
    """Whether two words differ in one letter, or in two neighbors that changed places."""
    if not (a.isalpha() and b.isalpha()) or OSA.distance(a, b, score_cutoff=1) > 1:
        return False
    short, long = sorted((a, b), key=len)
    if long.startswith(short):
        return not _STARTS_CJK.match(long)  # a, an; animal, animals
    return len(short) >= _MIN_TYPO


def _differs_in_few(a: Words, b: Words, share: float) -> bool:
    return min(len(a), len(b)) >= _TELLING_ANSWER and _share_of_difference(a, b) <= share


def _share_of_difference(a: Words, b: Words) -> float:
    """Words that only one of the texts has, of all words."""
    return _n_different(a, b) / max(1, len(a) + len(b))


def _n_different(a: Words, b: Words) -> int:
    counts = Counter(a)
    counts.subtract(b)
    return sum(map(abs, counts.values()))


def _names(words: Iterable[str]) -> Counter[str]:
    """The words that are not plain words: numbers, identifiers, signs."""
    return Counter(word for word in words if not word.isalpha())


def _is_same_document(a: Words, b: Words) -> bool:
    if min(len(a), len(b)) < _LONG:
        return differs_in_typos(a, b)
    one, other = set(zip(a, a[1:], a[2:], strict=False)), set(zip(b, b[1:], b[2:], strict=False))
    return len(one & other) >= _SAME_DOCUMENT * len(one | other)
