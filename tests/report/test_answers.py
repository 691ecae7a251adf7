"""Which prompts are shown, with which badges, and how much of them."""

from typing import Any

import pytest

from pipelines.report import answers
from pipelines.report.answers import Outcome, outcome_of, shown_prompts
from tests.report.sample_records import answer

MODELS = ("base", "instruct")


def row(number: int, base: dict[str, Any], instruct: dict[str, Any], **more: Any) -> dict[str, Any]:
    recorded = {"base": base, "instruct": instruct}
    given = {name: {"greedy": one, "samples": [one], "response_bits_per_byte": None} for name, one in recorded.items()}
    plain = {"id": number, "instruction": f"Do {number}.", "input": "", "reference": None, "category": None}
    return plain | {"answers": given} | more


@pytest.mark.parametrize(
    ("base", "instruct", "outcome"),
    [
        (answer("", stopped=False), answer(""), Outcome.IMPROVED),
        (answer(""), answer("", stopped=False), Outcome.WORSE),
        (answer("", stopped=False, parses=True), answer("", parses=False), Outcome.MIXED),
        (answer("", parses=True), answer("other", parses=True), Outcome.SAME),
        (answer("", parses=None), answer("", parses=True), Outcome.SAME),
    ],
)
def test_the_outcome_compares_the_checks_that_both_were_given(
    base: dict[str, Any], instruct: dict[str, Any], outcome: Outcome
) -> None:
    assert outcome_of(base, instruct) is outcome


def test_extra_prompts_come_first_and_the_rest_keeps_its_order() -> None:
    rows = [
        row(1, answer(""), answer("")),
        row(2, answer(""), answer("")),
        row(3, answer(""), answer(""), category="extra"),
    ]
    assert [prompt.id for prompt in shown_prompts(rows, MODELS)] == [3, 1, 2]


def test_badges_say_each_check_in_words() -> None:
    given = answer("def f(): pass", stopped=False, parses=True, defines_requested_name=False, repetition=0.125)
    (prompt,) = shown_prompts([row(1, given, given)], MODELS)
    shown = prompt.answers[1].greedy
    assert shown is not None
    assert shown.is_code
    assert [(badge.text, badge.passed) for badge in shown.badges] == [
        ("did not stop by itself", False),
        ("parses", True),
        ("does not define the name", False),
        ("4 tokens", None),
        ("repetition 12.5%", None),
    ]


def test_prose_is_not_shown_as_code() -> None:
    (prompt,) = shown_prompts([row(1, answer("Yes."), answer("No."))], MODELS)
    assert not prompt.is_code
    assert prompt.checks_passed == "1 → 1 of 1"


def test_a_model_without_an_answer_has_an_empty_column() -> None:
    (prompt,) = shown_prompts([row(1, answer(""), answer(""))], (*MODELS, "second"))
    assert [given.greedy is None for given in prompt.answers] == [False, False, True]


def test_a_page_that_would_be_too_large_shows_less_of_each_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "MAX_PAGE_CHARACTERS", 30_000)
    long = answer("x" * 5_000)
    prompts = shown_prompts([row(number, long, long) for number in range(10)], MODELS)
    shown = prompts[0].answers[0].greedy
    assert shown is not None
    assert (len(shown.excerpt.text), shown.excerpt.n_hidden) == (1_000, 4_000)


def test_at_most_so_many_prompts_are_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "MAX_PROMPTS", 3)
    assert len(shown_prompts([row(number, answer(""), answer("")) for number in range(9)], MODELS)) == 3
