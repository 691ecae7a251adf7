"""The page opens with the record's own sentence and verdicts: the report makes none."""

import copy
from typing import Any

from pipelines.report.comparison_record import Verdict, comparison_of
from pipelines.report.opening import Opening, openings


def opening_of(record: dict[str, Any]) -> Opening:
    (opening,) = openings(comparison_of(record))
    return opening


def test_the_sentence_is_the_records(comparison_record: dict[str, Any]) -> None:
    record = copy.deepcopy(comparison_record)
    record["sentences"]["instruct"] = "no difference at all: equal on every item of all 9 measures, n = 148"
    assert opening_of(record).sentence == record["sentences"]["instruct"]


def test_the_first_effects_are_those_a_reader_asks_for(comparison_record: dict[str, Any]) -> None:
    effects = opening_of(comparison_record).effects
    assert [effect.label for effect in effects] == [
        "stops by itself", "defines the requested name", "response bits per byte",
    ]  # fmt: skip
    assert (effects[2].before, effects[2].after, effects[2].difference) == ("1.213", "0.982", "−19.1% [−21.0, −17.2]")


def test_verdicts_are_shown_as_recorded_even_where_the_interval_would_say_otherwise(
    comparison_record: dict[str, Any],
) -> None:
    record = copy.deepcopy(comparison_record)
    record["differences"]["instruct"]["stopped_by_itself"] |= {"verdict": "no difference shown"}
    del record["differences"]["instruct"]["defines_requested_name"]["verdict"]
    verdicts = [effect.verdict for effect in opening_of(record).effects]
    assert verdicts == [Verdict.NO_DIFFERENCE, None, Verdict.BETTER]


def test_other_measures_fill_up_where_those_are_missing(comparison_record: dict[str, Any]) -> None:
    record = copy.deepcopy(comparison_record)
    for metric in ("stopped_by_itself", "defines_requested_name"):
        del record["differences"]["instruct"][metric]
    labels = [effect.label for effect in opening_of(record).effects]
    assert labels == ["response bits per byte", "answer length", "repetition"]


def test_few_prompts_are_said_to_give_rough_intervals(comparison_record: dict[str, Any]) -> None:
    record = copy.deepcopy(comparison_record)
    for difference in record["differences"]["instruct"].values():
        difference["n"] = 12
    assert "intervals are rough" in opening_of(record).caution
    assert opening_of(comparison_record).caution == ""


def test_a_record_without_a_sentence_says_so(comparison_record: dict[str, Any]) -> None:
    record = copy.deepcopy(comparison_record)
    del record["sentences"]
    assert opening_of(record).sentence.startswith("the record has no sentence")
    record["differences"]["instruct"] = {}
    assert opening_of(record).sentence == "no measure was taken on both base and instruct"
