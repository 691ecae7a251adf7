"""Records that are shown as tables: every figure of them, and what is missing as a dash."""

import copy

from pipelines.report.comparison_record import comparison_of
from pipelines.report.tables import (
    Table,
    benchmark_table,
    category_tables,
    first_tokens,
    judge_table,
    likelihood_tables,
    overlap_table,
)
from tests.report.samples.sample_records import details, judge
from tests.report.samples.sample_run_records import benchmark, figure, perplexity


def texts(table: Table) -> list[list[str]]:
    assert all(len(row) == len(table.head) for row in table.rows)
    return [[f"{cell.text} ({cell.small})" if cell.small else cell.text for cell in row] for row in table.rows]


def test_benchmarks_have_values_with_errors_then_differences():
    table = benchmark_table(benchmark())
    assert table.head[3:] == ("base (without its template)", "instruct (with its template)", "Difference of instruct")
    assert texts(table) == [
        ["arc_easy (version 1, n = 100)", "acc (higher is better)", "5-shot", "0.310 ± 0.046", "0.290 ± 0.046",
         "−0.020 [−0.080, +0.040] (p = 0.61)"],
        ["wikitext (version 2, n = 62)", "bits_per_byte (lower is better)", "0-shot", "1.052", "1.064", "–"],
    ]  # fmt: skip


def test_the_judge_has_counts_and_agreement_and_may_have_none():
    record = judge(("a", "b"))
    record["models"]["b"] = {
        "n_wins": 0,
        "n_ties": 0,
        "n_losses": 0,
        "n_errors": 4,
        "win_share": None,
        "agreement_with_itself": None,
    }
    assert texts(judge_table(record)) == [
        ["a", "80", "40", "27", "0", "68.0% [62.0, 74.0]", "71.0% [64.0, 78.0]"],
        ["b", "0", "0", "0", "4", "–", "–"],
    ]


def test_overlaps_lead_to_the_prompts_that_are_shown():
    table = overlap_table(details()["longest_overlaps"], frozenset({3}))
    assert [row[1].href for row in table.rows] == ["#prompt-3", ""]
    assert texts(table)[0] == ["instruct", "3", "14", "812", "return the number of items in the list"]


def test_categories_have_the_largest_first_and_what_they_lack_as_a_dash(comparison_record):
    record = copy.deepcopy(comparison_record)
    ends = {"base": {"parses": figure(0.1, 0.05)}, "instruct": {"parses": figure(0.4, 0.05)}}
    record["categories"] = {
        "small": {"n": 4, "models": {"base": {}, "instruct": {}}, "differences": {"instruct": {}}},
        "large": {"n": 40, "models": ends, "differences": {"instruct": {"parses": figure(0.3, 0.1)}}},
    }
    ((model, table),) = category_tables(comparison_of(record))
    assert model == "instruct"
    assert table.head == ("Measure", "large (n = 40)", "small (n = 4)")
    assert texts(table) == [["Parses", "+30.0 points ([+20.0, +40.0]\n10.0% → 40.0%)", "–"]]
    assert table.rows[0][1].is_strong


def test_without_categories_there_is_no_table(comparison_record):
    assert category_tables(comparison_of(comparison_record | {"categories": {}})) == []


def test_likelihoods_name_their_source_and_what_the_first_token_came_from():
    record = perplexity()
    record["results"][0]["source"] = "wiki"
    first, differences = likelihood_tables(record)
    assert texts(first)[0][:4] == ["whole text, source wiki", "base", "–", "1.052 [1.022, 1.082]"]
    assert texts(differences)[0][1:3] == ["instruct (chat prompt)", "base (plain prompt)"]
    assert first_tokens(record) == ["base: <s>", "instruct: nothing, it is not scored"]
    assert first_tokens({}) == []
