"""The opening sentence says what the intervals say, and no more."""

import copy
from typing import Any

import pytest

from pipelines.report.figures import Figure
from pipelines.report.reading import Better, comparison_of
from pipelines.report.verdicts import Answer, Verdict, answer_in_words, verdict_of

UP, DOWN, AROUND = (
    {"value": 0.3, "ci95": [0.2, 0.4]},
    {"value": -0.3, "ci95": [-0.4, -0.2]},
    {"value": 0.1, "ci95": [-0.1, 0.3]},
)


def answer_to(record: dict[str, Any]) -> Answer:
    comparison = comparison_of(record)
    return answer_in_words(comparison, comparison.others[0])


def with_differences(record: dict[str, Any], n: int = 148, **differences: dict[str, Any]) -> dict[str, Any]:
    """`record` with these differences alone; `_` stands for all others."""
    changed = copy.deepcopy(record)
    found = changed["differences"]["instruct"]
    for name in list(found):
        new = differences.get(name, differences.get("_"))
        if new is None:
            del found[name]
        else:
            found[name] = new | {"n": n}
    return changed


@pytest.mark.parametrize(
    ("interval", "better", "verdict"),
    [
        ((0.2, 0.4), Better.HIGHER, Verdict.BETTER),
        ((-0.4, -0.2), Better.HIGHER, Verdict.WORSE),
        ((-0.4, -0.2), Better.LOWER, Verdict.BETTER),
        ((0.2, 0.4), Better.LOWER, Verdict.WORSE),
        ((-0.2, 0.4), Better.HIGHER, Verdict.NO_DIFFERENCE),
        ((0.0, 0.4), Better.HIGHER, Verdict.NO_DIFFERENCE),
        ((0.0, 0.0), Better.LOWER, Verdict.NO_DIFFERENCE),
        ((0.2, 0.4), Better.NEITHER, Verdict.CHANGED),
    ],
)
def test_the_interval_decides_the_word(interval: tuple[float, float], better: Better, verdict: Verdict) -> None:
    assert verdict_of(Figure(sum(interval) / 2, *interval), better) is verdict


def test_a_clear_improvement_is_told_with_its_figures(comparison_record: dict[str, Any]) -> None:
    record = copy.deepcopy(comparison_record)
    for model, stopped, name in (("base", 0.0203, 0.0338), ("instruct", 0.9392, 0.8446)):
        record["models"][model]["metrics"]["stopped_by_itself"]["value"] = stopped
        record["models"][model]["metrics"]["defines_requested_name"]["value"] = name
    answer = answer_to(record)
    assert answer.word == "Yes"
    assert answer.headline == (
        "On 148 held-out prompts instruct stops by itself on 93.9% (base 2.0%) and defines the requested name on 84.5% "
        "(base 3.4%); response bits per byte 1.213 → 0.982: −19.1% [−21.0, −17.2]."
    )
    assert answer.tally == "Better on all 11 measures that have a direction."


def test_an_interval_around_zero_is_no_difference_shown(comparison_record: dict[str, Any]) -> None:
    answer = answer_to(with_differences(comparison_record, _=AROUND))
    assert answer.word == "Not shown"
    assert answer.headline.count("no difference shown") == 3
    assert "11 no difference shown (stops by itself, repetition, parses" in answer.tally


def test_a_worse_model_is_called_worse(comparison_record: dict[str, Any]) -> None:
    record = with_differences(comparison_record, stopped_by_itself=DOWN, response_bits_per_byte=UP)
    answer = answer_to(record)
    assert answer.word == "No"
    assert ": worse)" in answer.headline
    assert "+0.300 [+0.200, +0.400], worse." in answer.headline
    assert "2 worse (stops by itself, response bits per byte)" in answer.tally


def test_one_worse_measure_makes_the_answer_partial_and_is_named(comparison_record: dict[str, Any]) -> None:
    record = copy.deepcopy(comparison_record)
    record["differences"]["instruct"]["repetition_sampled"] = UP | {"n": 148}
    answer = answer_to(record)
    assert answer.word == "In part"
    assert answer.tally == "Of 11 measures that have a direction: 10 better; 1 worse (repetition (sampled))."


def test_a_minority_of_better_measures_is_not_a_yes(comparison_record: dict[str, Any]) -> None:
    assert answer_to(with_differences(comparison_record, _=AROUND, stopped_by_itself=UP)).word == "In part"


def test_measures_without_a_direction_do_not_count(comparison_record: dict[str, Any]) -> None:
    answer = answer_to(with_differences(comparison_record, n_tokens=UP, parses=UP))
    assert answer.word == "Yes"
    assert answer.tally == ""


def test_prompts_of_no_held_out_split_are_not_called_held_out(comparison_record: dict[str, Any]) -> None:
    record = copy.deepcopy(comparison_record)
    record["prompts"]["split"] = None
    assert answer_to(record).headline.startswith("On 148 prompts instruct ")


def test_few_prompts_are_said_to_give_rough_intervals(comparison_record: dict[str, Any]) -> None:
    assert "intervals themselves are rough" in answer_to(with_differences(comparison_record, n=12, _=UP)).headline
    assert "rough" not in answer_to(comparison_record).headline


def test_a_measure_on_fewer_prompts_says_on_how_many(comparison_record: dict[str, Any]) -> None:
    record = copy.deepcopy(comparison_record)
    record["differences"]["instruct"]["defines_requested_name"]["n"] = 40
    assert "% of 40 (base" in answer_to(record).headline


def test_nothing_in_common_is_no_answer(comparison_record: dict[str, Any]) -> None:
    answer = answer_to(with_differences(comparison_record))
    assert (answer.word, answer.headline) == ("Not shown", "No measure was taken on both base and instruct.")
