"""Extract the final number of an answer as GSM8K does (K. Cobbe et al., Training Verifiers to Solve Math Word Problems,
arXiv:2110.14168, 2021): the number after `####`, else the last one."""

import re
from fractions import Fraction

from pipelines.errors import UserError

MARK = "####"
_MAX_DIGITS = 40  # longer runs of digits are not an answer, and slow to convert
_NUMBER = re.compile(
    r"(?P<sign>(?<![\w)\].])[-−][$€£¥]?|[$€£¥][-−])?"  # in "7-3" the sign is a subtraction
    r"(?P<number>(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?|(?<![\w.])\.\d+)"
    r"(?:[eE](?P<exponent>[-+]?\d{1,2})(?!\w))?"
    r"(?:/(?P<below>\d+))?"
)


def numeric_answer(answer: str, expected: str | int | float) -> bool:
    """Whether the answer's number equals `expected` exactly: 42 is 42.0, 0.75 is 3/4, 1/3 is not 0.33. Raises
    `UserError` if `expected` is not a number."""
    wanted = number_of(str(expected))
    if wanted is None:
        raise UserError(f"{str(expected)[:40]!r} is not a number", "write it as 42, 0.5 or 3/4")
    return number_of(answer) == wanted


def number_of(text: str) -> Fraction | None:
    """The number after the last `####`, else the last number of the text; None without one.

    Reads thousands as 1,234, decimals after a full stop, signs, 1.5e-3, a currency before or after, fractions as 3/4.
    Units and the percent sign are ignored: 50% is 50. A decimal comma and more than 40 digits are not read.
    """
    _, mark, after = text.rpartition(MARK)
    found = _last_number(after) if mark else None
    return _last_number(text) if found is None else found


def marked_number(reference: str) -> str | None:
    """The text after the last `####` of a reference, None if it has no number."""
    _, mark, after = reference.rpartition(MARK)
    return after.strip() if mark and _last_number(after) is not None else None


def _last_number(text: str) -> Fraction | None:
    matches = list(_NUMBER.finditer(text))
    if not matches:
        return None
    match = matches[-1]
    digits, below = match["number"].replace(",", ""), match["below"] or "1"
    if len(digits) + len(below) > _MAX_DIGITS or int(below) == 0:
        return None
    value = Fraction(digits) * Fraction(10) ** int(match["exponent"] or 0) / int(below)
    return -value if match["sign"] else value
