"""The number an answer comes to."""

from fractions import Fraction

import pytest

from pipelines.evaluation.answer_checks.numeric_answer import marked_number, number_of, numeric_answer
from pipelines.evaluation.answer_checks.reference_answer import CannotCheck


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("She has 3 + 4 = <<3+4=7>>7 apples.\n#### 7", "7"),
        ("#### 7 apples, for 2 days", "2"),
        ("The answer is 42.", "42"),
        ("That is $1,234.50 in all.", "1234.5"),
        ("1,234,567", "1234567"),
        ("12,34", "34"),
        ("-5", "-5"),
        ("It falls to −3.5 degrees", "-3.5"),
        ("a debt of -$20", "-20"),
        ("a debt of $-20", "-20"),
        ("10-5", "5"),
        ("f(2)-3", "3"),
        ("from 2010-2020", "2020"),
        ("3/4 of it", "3/4"),
        ("-1/2", "-1/2"),
        ("1/0", None),
        ("50%", "50"),
        ("50 km", "50"),
        ("Rs.500", "500"),
        ("about .5", "1/2"),
        ("first 8, then #### nothing", "8"),
        ("#### 1 and #### 2", "2"),
        ("seven", None),
        ("", None),
        ("1" * 5000, None),
        ("1" * 39, "1" * 39),
    ],
)
def test_the_number_is_the_marked_one_or_the_last(text: str, expected: str | None) -> None:
    assert number_of(text) == (None if expected is None else Fraction(expected))


@pytest.mark.parametrize(
    ("answer", "expected", "right"),
    [
        ("It is 42.0", "42", True),
        ("It is 42", 42, True),
        ("0.75", "3/4", True),
        ("0.1", 0.1, True),
        ("0.33", "1/3", False),
        ("-42", "42", False),
        ("no idea", "42", False),
        ("", "42", False),
    ],
)
def test_numbers_are_equal_exactly(answer: str, expected: str | float, right: bool) -> None:
    assert numeric_answer(answer, expected) is right


def test_a_reference_without_a_number_cannot_be_checked() -> None:
    with pytest.raises(CannotCheck, match="'seven' is no number"):
        numeric_answer("7", "seven")


def test_only_a_marked_number_makes_a_reference_a_numeric_one() -> None:
    assert marked_number("3 + 4 = 7\n#### 1,007 ") == "1,007"
    assert marked_number("3 + 4 = 7") is None
    assert marked_number("#### none") is None


@pytest.mark.parametrize(
    ("text", "value"), [("1e5", 100_000), ("about 1.5e3 m", 1_500), ("2.5E-1", "1/4"), ("x 1e5x", 5)]
)
def test_scientific_notation_is_one_number(text: str, value: int | str) -> None:
    assert number_of(text) == Fraction(value)
