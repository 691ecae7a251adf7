"""Numbers as they are printed."""

import pytest

from pipelines.report.figures import (
    Figure,
    Unit,
    bytes_text,
    duration_text,
    number_text,
    p_value_text,
    perplexity_text,
    relative_text,
)


def test_values_have_the_decimals_of_their_unit():
    assert Figure(0.9392, 0.8877, 0.968, 148, unit=Unit.SHARE).with_interval == "93.9% [88.8, 96.8]"
    assert Figure(0.98164, 0.95, 1.00999, unit=Unit.BITS_PER_BYTE).with_interval == "0.982 [0.950, 1.010]"
    assert Figure(41.26, 40, 42, unit=Unit.TOKENS).with_interval == "41.3 [40.0, 42.0]"


def test_differences_are_signed_and_those_of_shares_are_points():
    assert Figure(-0.052, -0.11, 0.006, unit=Unit.SHARE).change_with_interval == "−5.2 points [−11.0, +0.6]"
    assert relative_text(Figure(-0.191, -0.21, -0.172)) == "−19.1% [−21.0, −17.2]"


@pytest.mark.parametrize("value", [0.0, -0.0, -0.00001, 0.00001])
def test_what_rounds_to_zero_has_no_sign(value):
    assert number_text(value, 3, signed=True) == "0.000"


def test_a_large_perplexity_has_one_decimal_and_separators():
    assert perplexity_text(Figure(4.187, 3.98, 4.4)) == "4.19 [3.98, 4.40]"
    assert perplexity_text(Figure(12345.67, 99.123, 20000)) == "12,345.7 [99.1, 20,000.0]"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0.40 s"), (48.31, "48.3 s"), (59.99, "1 min 00 s"), (200, "3 min 20 s"), (3725, "1 h 02 min")],
)
def test_durations_read_as_a_person_says_them(seconds, text):
    assert duration_text(seconds) == text


@pytest.mark.parametrize(("n_bytes", "text"), [(0, "0 B"), (1023, "1,023 B"), (1536, "1.5 KiB"), (2**31, "2.0 GiB")])
def test_sizes_are_binary(n_bytes, text):
    assert bytes_text(n_bytes) == text


@pytest.mark.parametrize(("low", "high", "has_zero"), [(-1, 1, True), (0, 1, True), (-1, 0, True), (0.1, 1, False)])
def test_the_ends_of_an_interval_belong_to_it(low, high, has_zero):
    assert Figure(0.5, low, high).has_zero is has_zero


@pytest.mark.parametrize(
    ("p_value", "at_floor", "text"),
    [
        (0.00021, False, "p < 0.001"), (0.0124, False, "p = 0.012"), (0.34, False, "p = 0.34"),
        (1.0, False, "p = 1.00"), (0.0024, True, "p ≤ 0.0024"), (0.0000999, True, "p ≤ 0.0001"),
    ],
)  # fmt: skip
def test_p_values_have_two_significant_digits_and_a_bound_at_the_floor(p_value, at_floor, text):
    assert p_value_text(p_value, at_floor=at_floor) == text


@pytest.mark.parametrize(
    ("n", "n_groups", "text"),
    [(205, 18, "n = 205 in 18 groups"), (205, 205, "n = 205"), (205, None, "n = 205"), (9, 1, "n = 9 in 1 group")],
)
def test_groups_are_told_where_they_are_fewer_than_the_prompts(n, n_groups, text):
    assert Figure(0.5, 0.4, 0.6, n, n_groups).n_text == text
