"""How texts are cut, counted by hand."""

import pytest

from pipelines.evaluation.answer_checks.text_units import n_bullets, n_numbered, n_sentences, paragraphs, words


def test_words_are_runs_of_letters_and_digits() -> None:
    assert words("Don't stop: it's 3.5 größer_x!") == ["Don", "t", "stop", "it", "s", "3", "5", "größer_x"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", 0),
        ("one", 1),
        ("One. Two! Three? Four", 4),
        ("Dr. Smith met Mr. J. Jones at 3.5 p.m. in St. Louis.", 1),
        ("It costs 3.50. Really?", 2),
        ('He said "Stop!" Then he left.', 2),
        ("Wait... what?!", 2),
        ("a heading\n\nA sentence. And one", 3),
        ("今日は。明日は？", 2),
        ("e.g. this", 1),
        ("See you, e.g.", 1),
    ],
)
def test_sentences_end_at_marks_and_blank_lines(text: str, expected: int) -> None:
    assert n_sentences(text) == expected


def test_paragraphs_are_divided_by_blank_lines() -> None:
    assert paragraphs("\n\none\ntwo\n \t\n\nthree\n") == ["one\ntwo", "three"]
    assert paragraphs(" \n ") == []


def test_items_are_lines_that_begin_with_a_bullet_or_a_number() -> None:
    text = "Things:\n* one\n  - two\n• three\n-four\n**bold** no\n---\n-\n* * *\n1. a\n2) b\n(3) c\n1.5 no\n2020 no"
    assert n_bullets(text) == 4
    assert n_numbered(text) == 3
