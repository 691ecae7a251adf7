"""Whether two rows say the same: exact Jaccard similarity of their texts, and rules against rows of one template."""

import re
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

from data_prep.cleaning.minhash import ComparisonText, words

MIN_PART_SIMILARITY = 0.3  # of each text; the threshold holds for all texts of a row together
MAX_LENGTH_DIFFERENCE = 0.2  # of each text, as a share of the longer one's words: an answer to more is another answer
WORDS_PER_OTHER_FIGURE = 100  # a question may have another number for so many words
WORDS_PER_REPLACED_WORD = 25  # more replaced words of a question may change what it asks, and then the answer must be
MAX_CHANGED = 0.1  # changed in this share of its words at most,
MIN_WORDS_OF_ANSWER = 10  # and long enough to be no coincidence
_FIGURES = re.compile(r"\d+|[+*/^%<>=]|-(?=\s?\d)")

# Words that may be replaced in a question without changing what it asks.
_COMMON_WORDS = frozenset(
    b"a about an and are as at be but by can could do each for from give given has have how i if in into is it its "
    b"like may more most no not of on one or other out people please provide provided should so some such than that "
    b"the their them then there these they this to up use using was way we were what when which will with would you "
    b"your create describe design develop explain generate implement make write".split()
)


class PreparedRow:
    """The words of a row's texts, kept while the row is compared with others."""

    __slots__ = ("answers", "questions", "text")

    def __init__(self, text: ComparisonText) -> None:
        self.text = text
        self.questions = [words(one) for one in text.questions]
        self.answers = [words(one) for one in text.answers]

    def joined(self) -> "PreparedRow":
        """Return the row with all questions as one text and all answers as one text."""
        return PreparedRow(ComparisonText(("\n".join(self.text.questions),), ("\n".join(self.text.answers),)))


def row_similarity(row: PreparedRow, other: PreparedRow, threshold: float) -> float | None:
    """Return the Jaccard similarity of the word pairs of two rows, or None if they are not near duplicates.

    Texts in the same place must be alike: a row with another input, another last turn or another figure in its question
    is another row. So is a row of the same template: what its question has instead of the other's, its answer has too.
    """
    if (len(row.questions), len(row.answers)) != (len(other.questions), len(other.answers)):
        row, other = row.joined(), other.joined()
    places = [*zip(row.questions, other.questions, strict=True), *zip(row.answers, other.answers, strict=True)]
    n_shared = n_all = 0
    for mine, yours in places:
        if abs(len(mine) - len(yours)) > 1 + MAX_LENGTH_DIFFERENCE * max(len(mine), len(yours)):
            return None
        shared, union = _shared_pairs(mine, yours)
        if shared < MIN_PART_SIMILARITY * union:
            return None
        n_shared, n_all = n_shared + shared, n_all + union
    similarity = n_shared / n_all if n_all else 0.0
    if similarity < threshold or _has_other_figures(row, other) or _asks_something_else(row, other):
        return None
    if _is_same_template(row, other) or _is_same_template(other, row):
        return None
    return similarity


def _shared_pairs(mine: list[bytes], yours: list[bytes]) -> tuple[int, int]:
    """Return the number of different word pairs in both texts and in either."""
    if mine == yours:
        n_pairs = len(set(pairwise(mine))) + 2 if mine else 0
        return n_pairs, n_pairs
    if not mine or not yours:
        return 0, 1
    first, second = (set(pairwise([b"", *one, b""])) for one in (mine, yours))
    n_shared = len(first & second)
    return n_shared, len(first) + len(second) - n_shared


def _has_other_figures(row: PreparedRow, other: PreparedRow) -> bool:
    """Whether the questions differ in a number or an operator; in a long text, in more than one for 100 words."""
    mine, yours = (Counter(_FIGURES.findall("\n".join(one.text.questions))) for one in (row, other))
    n_different = max((mine - yours).total(), (yours - mine).total())
    return n_different > sum(map(len, row.questions)) // WORDS_PER_OTHER_FIGURE


def _asks_something_else(row: PreparedRow, other: PreparedRow) -> bool:
    """Whether words of a question were replaced and the answers are short or differ in more than a few words."""
    if not any(map(_is_reworded, row.questions, other.questions)):
        return False
    mine, yours = ([word for text in one.answers for word in text] for one in (row, other))
    n_changed = max(_own_words(mine, yours).total(), _own_words(yours, mine).total())
    return len(mine) < MIN_WORDS_OF_ANSWER or n_changed > MAX_CHANGED * len(mine)


def _is_reworded(question: list[bytes], other: list[bytes]) -> bool:
    """Whether words with meaning were replaced by others, and not just a few in a long text."""
    old, new = (_own_words(*texts).keys() - _COMMON_WORDS for texts in ((question, other), (other, question)))
    return bool(old and new) and max(len(old), len(new)) * WORDS_PER_REPLACED_WORD > len(question)


def _is_same_template(row: PreparedRow, other: PreparedRow) -> bool:
    """Whether a word that only `row` has is in its question and its answer (`France`), maybe as a part (`minimum`)."""
    words_of_other = {word for text in (*other.questions, *other.answers) for word in text}
    asked, said = (
        {word for text in texts for word in text} - words_of_other for texts in (row.questions, row.answers)
    )  # fmt: skip
    return any(
        word == answer or (min(len(word), len(answer)) > 2 and (word in answer or answer in word))
        for word in asked for answer in said
    )  # fmt: skip


def _own_words(text: Sequence[bytes], other: Sequence[bytes]) -> Counter[bytes]:
    """Return the words that the first text has more often than the second."""
    return Counter() if text == other else Counter(text) - Counter(other)
