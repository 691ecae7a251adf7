"""The page opens with the record's own lines and verdicts: the report makes none."""

import copy
from typing import Any

from pipelines.report.comparison_record import Verdict, comparison_of
from pipelines.report.opening import Opening, openings


def opening_of(record: dict[str, Any]) -> Opening:
    (opening,) = openings(comparison_of(record))
    return opening


def test_the_three_lines_are_the_records_with_the_measure_that_each_rests_on(comparison_record: dict[str, Any]) -> None:
    form, correctness, lost = opening_of(comparison_record).lines
    assert [line.aspect for line in (form, correctness, lost)] == ["Form", "Correctness", "What was lost"]
    assert lost.text == "not measured: give --general or --capability"
    assert form.text.startswith("stops on its own 2.7% (base) → ")
    assert (form.verdict, correctness.verdict, lost.verdict) == (Verdict.BETTER, Verdict.BETTER, None)


def test_verdicts_are_shown_as_recorded_even_where_the_interval_would_say_otherwise(
    comparison_record: dict[str, Any],
) -> None:
    record = copy.deepcopy(comparison_record)
    record["differences"]["instruct"]["stopped_by_itself"] |= {"verdict": "no difference shown"}
    del record["differences"]["instruct"]["defines_requested_name"]["verdict"]
    assert [line.verdict for line in opening_of(record).lines] == [Verdict.NO_DIFFERENCE, None, None]


def test_a_line_whose_measure_has_no_difference_is_its_text_alone(comparison_record: dict[str, Any]) -> None:
    record = copy.deepcopy(comparison_record)
    del record["differences"]["instruct"]["stopped_by_itself"]
    assert opening_of(record).lines[0].verdict is None


def test_a_record_of_an_earlier_version_opens_with_its_sentence(comparison_record: dict[str, Any]) -> None:
    record = copy.deepcopy(comparison_record)
    del record["summary"]
    assert opening_of(record).lines == ()
    assert opening_of(record).sentence == record["sentences"]["instruct"]
    del record["sentences"]
    assert opening_of(record).sentence.startswith("the record has no sentence")
    record["differences"]["instruct"] = {}
    assert opening_of(record).sentence == "no measure was taken on both base and instruct"
