from dataclasses import replace

import pytest

from pipelines.evaluation.lm_eval.benchmark_record import benchmark_results, benchmark_table
from pipelines.evaluation.lm_eval.benchmark_run import MetricOutcome
from pipelines.evaluation.statistics.intervals import paired_difference_of_means
from tests.evaluation.plain_likelihood import paired_permutation_p_value


def outcome(items: tuple[float, ...] | None, value: float = 0.0, metric: str = "acc") -> MetricOutcome:
    n = len(items) if items else 8
    value = sum(items) / n if items else value
    pairs = tuple((item, 1.0) for item in items) if items else None
    return MetricOutcome("sums", "1.0", 2, metric, "higher", n, value, 0.1, pairs)


def test_a_metric_by_item_has_its_paired_difference_and_p_value_and_another_has_none():
    ratings = (0.5, 1.0, 0.25, 0.75), (0.0, 0.5, 0.25, 0.25)
    outcomes = {
        "base": [outcome(ratings[1], metric="f"), outcome(None, 0.2, "mcc")],
        "instruct": [outcome(ratings[0], metric="f"), outcome(None, 0.3, "mcc")],
    }
    first, second = benchmark_results(outcomes, "base", seed=4)
    assert first["models"] == {"base": {"value": 0.25, "stderr": 0.1}, "instruct": {"value": 0.625, "stderr": 0.1}}
    expected = paired_difference_of_means(*ratings, seed=4).to_json()
    p_value = paired_permutation_p_value(*ratings, seed=4)
    assert first["difference"] == {"instruct": {**expected, "p_value": p_value, "p_floor": 0.25, "p_at_floor": True}}
    named = {key: first[key] for key in ("task", "version", "n_shot", "n", "better")}
    assert named == {"task": "sums", "version": "1.0", "n_shot": 2, "n": 4, "better": "higher"}
    assert second["difference"] == {"instruct": None}


def test_bits_per_byte_differ_by_ratios_of_sums():
    n_bytes = (10.0, 40.0, 25.0)
    bits = (20.0, 30.0, 10.0), (30.0, 30.0, 40.0)
    outcomes = {
        name: [replace(outcome(None, metric="bits_per_byte"), items=tuple(zip(found, n_bytes, strict=True)))]
        for name, found in zip(("instruct", "base"), bits, strict=True)
    }
    [result] = benchmark_results({"base": outcomes["base"], "instruct": outcomes["instruct"]}, "base")
    assert result["difference"]["instruct"]["value"] == pytest.approx(60 / 75 - 100 / 75)
    assert result["difference"]["instruct"]["p_value"] == 0.5  # two pairs differ, both in one direction


def test_the_table_has_a_line_for_each_metric_and_for_each_difference_and_a_dash_for_no_number():
    no_number = replace(outcome(None, metric="f"), value=None, stderr=None)
    outcomes = {"base": [outcome((0.0, 1.0, 0.0, 0.0)), no_number], "instruct": [outcome((1.0, 1.0, 1.0, 0.0))]}
    record = {
        "models": {"base": {}, "instruct": {}},
        "results": benchmark_results(outcomes, "base"),
        "notes": ["base: a note"],
    }
    head, line, dashes, difference, note = benchmark_table(record).splitlines()
    assert head.split() == ["task", "metric", "shots", "items", "base", "instruct"]
    assert line.split() == ["sums", "acc", "↑", "2", "4", "0.2500", "±", "0.1000", "0.7500", "±", "0.1000"]
    assert dashes.split()[-2:] == ["-", "-"]
    assert difference.startswith("instruct minus base, sums acc: +0.5000 [")
    assert note == "base: a note"
