"""The number that an answer comes to, in the manner of GSM8K (K. Cobbe et al., Training Verifiers to Solve Math Word
Problems, arXiv:2110.14168, 2021): a solution ends in `#### 42`; an answer without that mark in its last number."""

import re
from fractions import Fraction

from pipelines.evaluation.answer_checks.reference_answer import CannotCheck

MARK = "####"
_MAX_DIGITS = 40  # more are a run of digits and no answer, and slow to convert
_NUMBER = re.compile(
    r"(?P<sign>(?<![\w)\].])[-−][$€£¥]?|[$€£¥][-−])?"  # in "7-3" the sign is an operation
    r"(?P<number>(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?|(?<![\w.])\.\d+)"
    r"(?:[eE](?P<exponent>[-+]?\d{1,2})(?!\w))?"
    r"(?:/(?P<below>\d+))?"
)


def numeric_answer(answer: str, expected: str | int | float) -> bool:
    """Whether the answer comes to the number `expected`, exactly: 42 is 42.0, 0.75 is 3/4, 1/3 is not 0.33.

    Raises `CannotCheck` if `expected` is no number.
    """
    wanted = number_of(str(expected))
    if wanted is None:
        raise CannotCheck(f"{str(expected)[:40]!r} is no number")
    return number_of(answer) == wanted


def number_of(text: str) -> Fraction | None:
    """The number after the last `####`, else the last number of the text; None without one.

    Understood: thousands as 1,234, decimals after a full stop, signs, 1.5e-3, a currency before or after, fractions
    as 3/4.
    Units and the percent sign are left out: 50% is 50. A decimal comma is not understood, nor more than 40 digits.
    """
    _, mark, after = text.rpartition(MARK)
    found = _last_number(after) if mark else None
    return _last_number(text) if found is None else found


def marked_number(reference: str) -> str | None:
    """What follows the last `####` of a reference, if it holds a number."""
    _, mark, after = reference.rpartition(MARK)
    return after.strip() if mark and _last_number(after) is not None else None


def _last_number(text: str) -> Fraction | None:
    match = None
    for match in _NUMBER.finditer(text):  # noqa: B007  # only the last is wanted
        pass
    if match is None:
        return None
    digits, below = match["number"].replace(",", ""), match["below"] or "1"
    if len(digits) + len(below) > _MAX_DIGITS or int(below) == 0:
        return None
    value = Fraction(digits) * Fraction(10) ** int(match["exponent"] or 0) / int(below)
    return -value if match["sign"] else value
