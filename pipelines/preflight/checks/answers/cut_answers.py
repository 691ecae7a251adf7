"""A check of answers that were cut at one length, in characters, words or tokens: they end anywhere."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from pipelines.preflight.check_context import CheckContext, SampledRow, Stage
from pipelines.preflight.checks.evidence import Check, excerpt, rows_of_splits, share_of, wanted_answers
from pipelines.records.finding import MAX_EVIDENCE, Evidence, Finding, Severity

_MIN_WORDS = 6  # of prose; Chinese has as many characters
_MIN_CUT = 5  # answers of one length
_LONG, _LONG_SHARE, _SHORT_SHARE = 200, 0.01, 0.08  # characters; of all answers: few long ones are equal by chance
_OPEN_SHARE = 0.8  # of the answers of that length end in a letter, a digit or a comma
_MIN_SIZE = {"characters": 60, "words": 12, "tokens": 16}
_MIN_SPIKE = {"characters": 100, "words": 25, "tokens": 32}
# A generator that counts the tokens of another tokenizer cuts at nearly one length: then the longest quarter ends open,
# and the shorter half does not.
_QUARTER_OPEN, _HALF_OPEN, _NEARLY, _MIN_ANSWERS = 0.75, 0.25, 0.75, 24


@dataclass(frozen=True)
class _Answer:
    split: str
    row: SampledRow
    text: str

    @property
    def is_open(self) -> bool:
        """Whether prose ends in the middle of a sentence."""
        end = self.text.rstrip()
        if not (end[-1:].isalnum() or end.endswith((",", "...", "…", "-"))):
            return False
        return len(self.text) >= 60 and (self.text.count(" ") >= _MIN_WORDS or not self.text.isascii())


def _n_characters(answer: _Answer) -> int:
    return len(answer.text.rstrip()) if answer.text[-1:].isspace() else len(answer.text)


def _n_words(answer: _Answer) -> int:
    return len(answer.text.split())


def _n_tokens(answer: _Answer) -> int:
    return sum(example.n_trained for example in answer.row.whole) if len(answer.row.answers) == 1 else 0


_UNITS: dict[str, Callable[[_Answer], int]] = {"characters": _n_characters, "words": _n_words, "tokens": _n_tokens}


def answers_end_abruptly(context: CheckContext) -> Iterator[Finding]:
    """ANSWERS_END_ABRUPTLY: many answers have the maximum of characters, words or tokens, and most are unfinished."""
    if context.stage is Stage.PRETRAIN:
        return
    answers = [
        _Answer(split, row, text) for split, row in rows_of_splits(context)
        for text in wanted_answers(row, context.stage) if text
    ]  # fmt: skip
    is_open = [answer.is_open for answer in answers]
    open_ends = [answer for answer, one in zip(answers, is_open, strict=True) if one]
    if len(open_ends) < _MIN_CUT:
        return
    in_units = [one for unit in _UNITS if (one := _at_one_length(unit, answers, open_ends)) is not None]
    found = max(in_units, key=lambda one: len(one[0])) if in_units else _at_nearly_one_length(answers, is_open)
    if found is None:
        return
    cut, where = found
    yield Finding(
        "ANSWERS_END_ABRUPTLY",
        Severity.WARNING,
        summary=f"{share_of(len(cut), len(answers))} answers have {where}, and end in the middle of a sentence",
        why="the model learns to stop in the middle of a sentence",
        remedy="build the dataset again from its source without the limit, or remove these rows",
        evidence=tuple(
            Evidence(excerpt(one.text, max(0, len(one.text) - 60), len(one.text)), one.row.number, one.split)
            for one in cut[:MAX_EVIDENCE]
        ),
        n_rows=len({(one.split, one.row.number) for one in cut}),
    )


def _at_one_length(unit: str, answers: list[_Answer], open_ends: list[_Answer]) -> tuple[list[_Answer], str] | None:
    """Answers that end open at the maximum of a unit or at its most frequent value, and that length."""
    size_of = _UNITS[unit]
    sizes = [size_of(answer) for answer in open_ends]
    top = max(sizes)
    [(most, n_most)] = Counter(sizes).most_common(1)
    # with a second source that has no limit, the most frequent length is not the maximum
    limit = most if n_most >= _SHORT_SHARE * len(answers) and most >= _MIN_SPIKE[unit] else top
    if limit < _MIN_SIZE[unit]:
        return None
    slack = unit == "characters"  # a cut after a space has one character less
    cut = {one.text: one for one, size in zip(open_ends, sizes, strict=True) if 0 <= limit - size <= slack}
    is_long = limit == top and sum(map(len, cut)) >= _LONG * len(cut)
    if len(cut) < max(_MIN_CUT, (_LONG_SHARE if is_long else _SHORT_SHARE) * len(answers)):
        return None
    others = [size_of(one) for one in answers if len(one.text) >= limit and one.text not in cut]
    if others.count(limit) > (1 - _OPEN_SHARE) * len(cut):
        return None
    return list(cut.values()), f"exactly {limit} {unit}" + ", the maximum" * (max(others, default=0) <= limit)


def _at_nearly_one_length(answers: list[_Answer], is_open: list[bool]) -> tuple[list[_Answer], str] | None:
    order = sorted(range(len(answers)), key=lambda place: len(answers[place].text), reverse=True)
    quarter, half = order[: len(order) // 4], order[len(order) // 2 :]
    if len(order) < _MIN_ANSWERS or len(answers[quarter[-1]].text) < _NEARLY * len(answers[quarter[0]].text):
        return None
    cut = [place for place in quarter if is_open[place]]
    if len(cut) < _QUARTER_OPEN * len(quarter) or sum(is_open[place] for place in half) > _HALF_OPEN * len(half):
        return None
    return [answers[place] for place in cut], f"nearly the maximum of {len(answers[quarter[0]].text)} characters"


CHECKS: tuple[Check, ...] = (answers_end_abruptly,)
