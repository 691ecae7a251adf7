"""Which prompts are shown, with which badges, flips and tokens, and how much of them."""

import copy
from typing import Any

import pytest

from pipelines.report.answers import answers
from pipelines.report.answers.answers import shown_prompts
from pipelines.report.answers.filters import filters_of
from pipelines.report.comparison_record import Comparison, comparison_of
from tests.report.samples.sample_answers import answer, with_tokens


@pytest.fixture
def comparison(comparison_record: dict[str, Any]) -> Comparison:
    """The sample comparison; only prompts 1 and 2 flip."""
    record = copy.deepcopy(comparison_record)
    record["flips"]["instruct"] = {
        "parses": {"gained": [1], "lost": [2]}, "echoes_prompt": {"gained": [1], "lost": []},
        "n_tokens": {"gained": [1], "lost": []},
    }  # fmt: skip
    return comparison_of(record)


def row(number: int, base: dict[str, Any], instruct: dict[str, Any], **more: Any) -> dict[str, Any]:
    recorded = {"base": base, "instruct": instruct}
    given = {name: {"greedy": one, "samples": [one], "response_bits_per_byte": None} for name, one in recorded.items()}
    plain = {"id": number, "instruction": f"Do {number}.", "input": "", "reference": None, "category": None}
    return plain | {"answers": given} | more


def test_flips_come_from_the_record_and_a_fault_that_is_gained_is_worse(comparison):
    first, second, third = shown_prompts([row(n, answer(""), answer("")) for n in (1, 2, 3)], comparison)
    assert (first.answers[1].improved, first.answers[1].worsened) == (("parses",), ("echoes the prompt",))
    assert (second.answers[1].improved, second.answers[1].worsened) == ((), ("not: parses",))
    assert (third.n_improved, third.n_worsened) == (0, 0)
    assert first.answers[0].improved == ()


def test_filters_have_the_flips_of_each_check_and_count_what_they_show(comparison):
    rows = [row(n, answer(""), answer("", stopped=n > 2), category="ab"[n % 2]) for n in (1, 2, 3)]
    filters = filters_of(shown_prompts(rows, comparison), comparison)
    ((model, choices),) = filters.flips
    assert model == "instruct"
    assert {choice.label: choice.n for choice in choices} == {
        "better on any check": 1, "worse on any check": 2, "gained: parses": 1, "lost: parses": 1,
        "gained: echoes the prompt": 1, "gained: answer length": 1, "did not stop on its own": 2,
    }  # fmt: skip
    assert [(choice.label, choice.n) for choice in filters.categories] == [("b", 2), ("a", 1)]
    for choice in (*choices, *filters.categories):
        assert sum(choice.tag in tags.split() for tags in filters.tags.values()) == choice.n


def test_one_category_is_no_choice(comparison):
    rows = [row(1, answer(""), answer(""), category="a"), row(2, answer(""), answer(""), category="extra")]
    assert filters_of(shown_prompts(rows, comparison), comparison).categories == ()


def test_extra_prompts_come_first_and_the_rest_keeps_its_order(comparison):
    rows = [row(n, answer(""), answer(""), category="extra" if n == 3 else None) for n in (1, 2, 3)]
    assert [prompt.id for prompt in shown_prompts(rows, comparison)] == [3, 1, 2]


def test_badges_say_each_check_in_words(comparison):
    given = answer("def f(): pass", stopped=False, parses=True, defines_requested_name=False, repetition=0.125)
    given["checks"] |= {"echoes_prompt": True, "mystery": True, "why_it_failed": "timeout: more than 5 seconds\n" * 50}
    (prompt,) = shown_prompts([row(1, given, given)], comparison)
    shown = prompt.answers[1].greedy
    assert shown is not None
    assert shown.is_code
    assert [(badge.text, badge.passed) for badge in shown.badges] == [
        ("did not stop on its own", False),
        ("echoes the prompt", False),
        ("parses", True),
        ("does not define the name", False),
        ("mystery", None),
        ("4 tokens", None),
    ]
    assert shown.facts[0] == "repetition 12.5%"
    assert shown.facts[1].startswith("why it failed: timeout: more than 5 seconds timeout:")
    assert len(shown.facts[1]) < 250


def test_a_fault_that_an_answer_does_not_have_is_not_told(comparison):
    (prompt,) = shown_prompts([row(1, answer("Yes."), answer("No."))], comparison)
    shown = prompt.answers[1].greedy
    assert shown is not None
    assert [badge.text for badge in shown.badges] == ["stopped on its own", "1 token"]
    assert not prompt.is_code


def test_a_model_without_an_answer_has_an_empty_column(comparison):
    one = row(1, answer(""), answer(""))
    del one["answers"]["instruct"]
    (prompt,) = shown_prompts([one], comparison)
    assert [given.greedy is None for given in prompt.answers] == [False, True]


def test_tokens_have_their_probabilities_and_alternatives(comparison):
    given = with_tokens(answer("a b"), alternatives=9)
    given["tokens"][0] |= {"token": "\n\ta\u202e", "probability": 0.0004}
    given["tokens"][1] |= {"probability": 0.3}
    (prompt,) = shown_prompts([row(1, answer("a b"), given)], comparison)
    shown = prompt.answers[1].greedy
    assert shown is not None
    first, second = shown.tokens
    assert (first.space, first.text, first.certainty) == ("↵\n\t", "a⟨U+202E⟩", "guess")
    assert first.details.split("\t")[:4] == ["↵⇥a⟨U+202E⟩", "< 0.1%", "␣other0", "10.0%"]
    assert len(first.details.split("\t")) == 2 + 2 * 5
    assert (second.space, second.text, second.certainty) == (" ", "b", "unsure")
    assert prompt.has_tokens


def test_a_probability_that_is_none_is_refused(comparison):
    given = with_tokens(answer("a"))
    given["tokens"][0]["probability"] = 1.5
    with pytest.raises(ValueError, match=r"a probability of 1\.5"):
        shown_prompts([row(1, answer("a"), given)], comparison)


def test_tokens_end_where_the_page_has_no_room(comparison, monkeypatch):
    monkeypatch.setattr(answers, "MAX_PAGE_TOKENS", 5)
    rows = [row(n, answer("a b c"), with_tokens(answer("a b c"))) for n in (1, 2)]
    first, second = shown_prompts(rows, comparison)
    assert (first.has_tokens, second.has_tokens) == (True, False)


def test_a_judgement_is_told_in_words(comparison):
    said = {"base_first": "instruct", "instruct_first": None, "verdict": None, "reason": "because\n" * 400}
    (prompt,) = shown_prompts([row(1, answer(""), answer(""), judgements={"instruct": said})], comparison)
    shown = prompt.answers[1].judgement
    assert shown is not None
    assert (shown["verdict"], shown["orders"]) == ("no verdict", "base first: instruct, instruct first: no answer")
    assert len(shown["reason"]) == 500
    assert "\n" not in shown["reason"]


def test_a_page_that_would_be_too_large_shows_less_of_each_answer(comparison, monkeypatch):
    monkeypatch.setattr(answers, "MAX_PAGE_CHARACTERS", 30_000)
    long = answer("x" * 5_000)
    prompts = shown_prompts([row(number, long, long) for number in range(10)], comparison)
    shown = prompts[0].answers[0].greedy
    assert shown is not None
    assert (len(shown.excerpt.text), shown.excerpt.n_hidden) == (1_000, 4_000)
    assert prompts[0].answers[1].diff is None, "no difference of answers that are not shown whole"


def test_at_most_so_many_prompts_are_shown(comparison, monkeypatch):
    monkeypatch.setattr(answers, "MAX_PROMPTS", 3)
    assert len(shown_prompts([row(number, answer(""), answer("")) for number in range(9)], comparison)) == 3
