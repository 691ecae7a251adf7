"""The difference of two answers: whole, marked, and capped."""

import pytest

from pipelines.report.answers.answer_diff import MAX_CHARACTERS, MAX_PIECES, Change, answer_diff


def joined(text: str, other: str, *, by_line: bool, without: Change) -> str:
    runs = answer_diff(text, other, by_line=by_line).runs
    return "".join(run.text for run in runs if run.change is not without)


def test_words_that_changed_are_marked_and_nothing_is_lost():
    before, after = "The cat sat on the mat.", "The old cat sat on a mat."
    diff = answer_diff(before, after, by_line=False)
    changed = [(run.change.value, run.text.strip()) for run in diff.runs if run.change is not Change.KEPT]
    assert changed == [("added", "old"), ("removed", "the"), ("added", "a")]
    assert joined(before, after, by_line=False, without=Change.ADDED) == before
    assert joined(before, after, by_line=False, without=Change.REMOVED) == after


def test_code_is_compared_by_lines_with_signs():
    diff = answer_diff("def f(x):\n    y = 1\n    return x", "def f(x):\n    y = 2\n    return x", by_line=True)
    assert diff.is_by_line
    text = "".join(run.text for run in diff.runs)
    assert text == "  def f(x):\n−     y = 1\n+     y = 2\n      return x\n"


@pytest.mark.parametrize(
    ("before", "after", "reason"),
    [
        ("same", "same", "are the same"),
        ("", "something", "almost nothing in common"),
        ("one two three four", "red green blue black", "almost nothing in common"),
        ("x" * (MAX_CHARACTERS + 1), "x", "longer than 4,000 characters"),
        ("a b " * MAX_PIECES, "a b", "more than 400 words"),
    ],
)
def test_what_is_not_worth_showing_has_a_reason(before, after, reason):
    diff = answer_diff(before, after, by_line=False)
    assert diff.runs == ()
    assert reason in diff.reason


def test_a_difference_is_made_visible():
    diff = answer_diff("safe text \u202e here\x00", "safe text \u202e there\x00", by_line=False)
    text = "".join(run.text for run in diff.runs)
    assert "⟨U+202E⟩" in text
    assert "\x00" not in text


def test_the_largest_answers_that_repeat_themselves_are_compared_piece_by_piece():
    before, after = "a b " * (MAX_PIECES // 4), "b a a " * (MAX_PIECES // 6)
    diff = answer_diff(before, after, by_line=False)
    assert "".join(run.text for run in diff.runs).count("a") >= MAX_PIECES // 4
