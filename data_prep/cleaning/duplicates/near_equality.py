"""Whether two rows say the same: exact Jaccard similarity of their texts, and rules against rows of one template."""

import re
from collections import Counter
from collections.abc import Mapping
from functools import cached_property
from itertools import pairwise, repeat

from data_prep.cleaning.duplicates.minhash import ComparisonText, words

MIN_PART_SIMILARITY = 0.3  # of each text; the threshold holds for all texts of a row together
MIN_ANSWER_SIMILARITY = 0.5
MAX_LENGTH_DIFFERENCE = 0.2  # of each text, as a share of the longer one's words: an answer to more is another answer
WORDS_PER_OTHER_FIGURE = 100  # a question may have another number for so many words
WORDS_PER_REPLACED_WORD = 25  # more replaced words of a question may change what it asks, and then the answer must be
MAX_CHANGED = 0.1  # changed in this share of its words at most,
MIN_WORDS_OF_ANSWER = 10  # and long enough to be no coincidence
CHARS_PER_CODE_SIGN = 30  # a text with more brackets and the like is code
VERDICTS = frozenset({b"yes", b"true", b"false", b"correct", b"incorrect", b"right", b"wrong"})
N_REPEATED = 3  # a word with so many places in a document is what it is about
MIN_WORDS_OF_CODE = 30
_CODE_SIGNS = re.compile(r"[(){}\[\];=<>]")
_SENTENCE_END = re.compile(r"(?<=[.?!])\s+|\n")
_FIGURES = re.compile(r"\d+|[+*/^%<>=]|-(?=\s?\d)|\b(?:not|no|never|without|cannot|\w+n['’]t)\b", re.IGNORECASE)

# Words that may be replaced in a question without changing what it asks.
_COMMON_WORDS = frozenset(
    b"a about an and are as at be but by can could do each for from give given has have how i if in into is it its "
    b"like may more most no not of on one or other out people please provide provided should so some such than that "
    b"the their them then there these they this to up use using was way we were what when which will with would you "
    b"your create describe design develop explain generate implement make write".split()
)


class PreparedRow:
    """The words of a row's texts, kept while the row is compared with others."""

    def __init__(self, text: ComparisonText) -> None:
        self.text = text

    @cached_property
    def questions(self) -> list[list[bytes]]:
        """The words of each question; a text without words is one."""
        return [words(one) or [one.encode("utf-8", "surrogatepass")] for one in self.text.questions]

    @cached_property
    def answers(self) -> list[list[bytes]]:
        """The words of each answer."""
        return [words(one) or [one.encode("utf-8", "surrogatepass")] for one in self.text.answers]

    @cached_property
    def pairs(self) -> list[set[tuple[bytes, bytes]]]:
        """The pairs of neighboring words of each text, its edges included."""
        return [set(pairwise([b"", *one, b""])) for one in (*self.questions, *self.answers)]

    @cached_property
    def question_words(self) -> set[bytes]:
        """The different words of all questions."""
        return set().union(*self.questions)

    @cached_property
    def answer_words(self) -> set[bytes]:
        """The different words of all answers."""
        return set().union(*self.answers)

    @cached_property
    def lines(self) -> list[dict[str, list[bytes]]]:
        """The lines of each question with their words."""
        return [{line: words(line) for line in one.splitlines()} for one in self.text.questions]

    @cached_property
    def sentences(self) -> list[dict[str, list[bytes]]]:
        """The sentences of each question with their words."""
        return [{part: words(part) for part in _SENTENCE_END.split(one)} for one in self.text.questions]

    @cached_property
    def figures(self) -> Counter[str]:
        """The numbers, operators and negations in the questions."""
        found = _FIGURES.findall("\n".join(self.text.questions))
        return Counter("not" if one[0].isalpha() else one for one in found)

    @cached_property
    def verdicts(self) -> Counter[bytes]:
        """The words of the answers that say yes or no; "no" only as the first word of an answer."""
        found = Counter(word for one in self.answers for word in one if word in VERDICTS)
        return found + Counter(one[0] for one in self.answers if one[:1] == [b"no"])

    @cached_property
    def is_code(self) -> bool:
        """Whether the answers are code or formulas."""
        answer = "".join(self.text.answers)
        return len(_CODE_SIGNS.findall(answer)) * CHARS_PER_CODE_SIGN >= len(answer)

    def joined(self) -> "PreparedRow":
        """Return the row with all questions as one text and all answers as one text."""
        return PreparedRow(ComparisonText(("\n".join(self.text.questions),), ("\n".join(self.text.answers),)))


def row_similarity(row: PreparedRow, other: PreparedRow, threshold: float) -> float | None:
    """Return the Jaccard similarity of the word pairs of two rows, or None if they are not near duplicates.

    Texts in the same place must be alike: a row with another input, another last turn or another figure in its question
    is another row. So is a row of the same template: what its question has instead of the other's, its answer has too.
    """
    if row.text == other.text:
        return 1.0
    if row.text.tools != other.text.tools:
        return None
    if (len(row.text.questions), len(row.text.answers)) != (len(other.text.questions), len(other.text.answers)):
        row, other = row.joined(), other.joined()
    n_shared, n_all, n_questions = [], [], len(row.text.questions)
    for mine, yours in zip(row.pairs, other.pairs, strict=True):
        longer = max(len(mine), len(yours))
        n_shared.append(len(mine & yours))
        n_all.append(len(mine) + len(yours) - n_shared[-1])
        is_longer = abs(len(mine) - len(yours)) > 1 + MAX_LENGTH_DIFFERENCE * longer
        if is_longer or n_shared[-1] < MIN_PART_SIMILARITY * n_all[-1]:
            return None
    similarity = sum(n_shared) / sum(n_all)
    if similarity < threshold or sum(n_shared[n_questions:]) < MIN_ANSWER_SIMILARITY * sum(n_all[n_questions:]):
        return None
    return None if any(rule(row, other) for rule in _RULES) else similarity


def replaced_words(row: PreparedRow, other: PreparedRow) -> frozenset[bytes]:
    """Return the words with meaning that the question of `row` has where the other's has other ones."""
    if not any(map(_is_reworded, row.lines, other.lines)):
        return frozenset()
    return frozenset(row.question_words - other.question_words - other.answer_words - _COMMON_WORDS)


def _has_other_figures(row: PreparedRow, other: PreparedRow) -> bool:
    """Whether the questions differ in a number, an operator or a `not`; in a long text, in several."""
    if row.figures == other.figures:
        return False
    n_different = max((row.figures - other.figures).total(), (other.figures - row.figures).total())
    return n_different > sum(map(len, row.questions)) // WORDS_PER_OTHER_FIGURE


def _is_other_code(row: PreparedRow, other: PreparedRow) -> bool:
    """Whether the answers are code and differ in more than a few names, or in any if they are short.

    Code without a question may differ in half as many: nothing else tells what it does.
    """
    if not row.is_code:
        return False
    most = MAX_CHANGED if row.text.questions else MAX_CHANGED / 2
    is_short = sum(map(len, row.answers)) < MIN_WORDS_OF_CODE
    return _changed_share(row, other) > (0 if is_short else most)


def _asks_something_else(row: PreparedRow, other: PreparedRow) -> bool:
    """Whether words of a question were replaced and the answers are short or differ in more than a few words.

    In a sentence of a long line, two words must be replaced: a text and a question about it may be in one line.
    """
    is_reworded = any(map(_is_reworded, row.lines, other.lines))
    if not is_reworded and not any(map(_is_reworded, row.sentences, other.sentences, repeat(2))):
        return False
    return sum(map(len, row.answers)) < MIN_WORDS_OF_ANSWER or _changed_share(row, other) > MAX_CHANGED


def _changed_share(row: PreparedRow, other: PreparedRow) -> float:
    """Return the changed words of the answers, as a share of the longer answer's."""
    mine, yours = ([word for text in one.answers for word in text] for one in (row, other))
    n_shared = (Counter(mine) & Counter(yours)).total()
    n_changed = max(len(mine), len(yours)) - n_shared
    return n_changed / max(len(mine), len(yours), 1)


def _is_reworded(lines: Mapping[str, list[bytes]], other_lines: Mapping[str, list[bytes]], n_words: int = 1) -> bool:
    """Whether `n_words` with meaning were replaced in the lines that differ, and not just a few in long ones.

    A prompt may hold a long text, or many examples, in lines of its own.
    """
    changed = [found for line, found in lines.items() if line not in other_lines]
    mine = set[bytes]().union(*changed)
    yours = set[bytes]().union(*(found for line, found in other_lines.items() if line not in lines))
    old, new = mine - yours - _COMMON_WORDS, yours - mine - _COMMON_WORDS
    n_replaced = max(len(old), len(new)) if old and new else 0
    return n_replaced >= n_words and n_replaced * WORDS_PER_REPLACED_WORD > sum(map(len, changed))


def _answers_the_opposite(row: PreparedRow, other: PreparedRow) -> bool:
    """Whether answers to questions have different verdicts: yes and no, true and false."""
    mine, yours = row.verdicts, other.verdicts
    return bool(row.questions) and bool(mine - yours) and bool(yours - mine)


def _is_same_template(row: PreparedRow, other: PreparedRow) -> bool:
    """Whether a row's question and answer share a word that the other row lacks (`France`; `min` as in `minimum`)."""
    return _has_own_word_twice(row, other) or _has_own_word_twice(other, row)


def _has_own_word_twice(row: PreparedRow, other: PreparedRow) -> bool:
    asked = row.question_words - other.question_words - other.answer_words
    said = row.answer_words - other.question_words - other.answer_words
    return any(
        word == answer or (min(len(word), len(answer)) > 2 and (word in answer or answer in word))
        for word in asked for answer in said
    )  # fmt: skip


def _is_same_kind(row: PreparedRow, other: PreparedRow) -> bool:
    """Whether two documents each have a word of their own at several places (`floor`, `ceil`)."""
    if row.questions:
        return False
    mine, yours = (Counter(word for text in one.answers for word in text) for one in (row, other))
    repeated = [{word for word, n in one.items() if n >= N_REPEATED} for one in (mine, yours)]
    return bool(repeated[0] - yours.keys()) and bool(repeated[1] - mine.keys())


_RULES = (
    _has_other_figures,
    _answers_the_opposite,
    _is_other_code,
    _asks_something_else,
    _is_same_template,
    _is_same_kind,
)
