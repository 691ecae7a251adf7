"""The summary has the record's own lines and verdicts: the report makes none."""

import copy
from typing import Any

from pipelines.report.comparison_record import Verdict, comparison_of
from pipelines.report.summary import SummaryView, summaries


def summary_of(record: dict[str, Any]) -> SummaryView:
    (summary,) = summaries(comparison_of(record))
    return summary


def test_the_three_lines_are_the_records_with_the_measure_that_each_rests_on(comparison_record):
    form, correctness, lost = summary_of(comparison_record).lines
    assert [aspect for aspect, _, _ in (form, correctness, lost)] == ["Form", "Correctness", "What was lost"]
    assert lost[1] == "not measured: give --general or --capability"
    assert form[1].startswith("stops on its own 2.7% (base) → ")
    assert (form[2], correctness[2], lost[2]) == (Verdict.BETTER, Verdict.BETTER, None)


def test_verdicts_are_shown_as_recorded_even_where_the_interval_would_say_otherwise(comparison_record):
    record = copy.deepcopy(comparison_record)
    record["differences"]["instruct"]["stopped_by_itself"] |= {"verdict": "no difference shown"}
    del record["differences"]["instruct"]["defines_requested_name"]["verdict"]
    assert [verdict for _, _, verdict in summary_of(record).lines] == [Verdict.NO_DIFFERENCE, None, None]


def test_a_line_whose_measure_has_no_difference_is_its_text_alone(comparison_record):
    record = copy.deepcopy(comparison_record)
    del record["differences"]["instruct"]["stopped_by_itself"]
    assert summary_of(record).lines[0][2] is None


def test_a_record_of_an_earlier_version_opens_with_its_sentence(comparison_record):
    record = copy.deepcopy(comparison_record)
    del record["summary"]
    assert summary_of(record).lines == ()
    assert summary_of(record).sentence == record["sentences"]["instruct"]
    del record["sentences"]
    assert summary_of(record).sentence.startswith("the record has no summary")
    record["differences"]["instruct"] = {}
    assert summary_of(record).sentence == "no metric was measured on both base and instruct"
