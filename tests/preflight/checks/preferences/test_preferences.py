"""Preference pairs: length, scores, answers without a difference."""

from functools import partial
from typing import Any

import pytest

from pipelines.preflight.check_context import Stage
from pipelines.preflight.checks import checks_of
from pipelines.records.finding import Finding, Severity
from tests.planted_faults.sample_rows import preferences, rows_in
from tests.preflight.contexts import context_of, findings_by_id, severities

ERROR, WARNING, NOTE = Severity.ERROR, Severity.WARNING, Severity.NOTE
Row = dict[str, Any]
findings_of = partial(findings_by_id, checks_of("preferences"))
SHORT, LONG = "It is about the number {}.", "It is, as far as anybody in this town can tell, about the number {} alone."


@pytest.fixture
def found(qwen, tmp_path):
    def of(rows: list[Row], **keys: Any) -> dict[str, Finding]:
        return findings_of(context_of(tmp_path, qwen, rows, stage=Stage.DPO, learning_rate=1e-6, **keys))

    return of


def pairs(n: int, n_longer: int, chosen: str = LONG, rejected: str = SHORT) -> list[Row]:
    """`n` pairs, of which the first `n_longer` have `chosen` and the others the opposite."""
    answers = [(chosen, rejected) if i < n_longer else (rejected, chosen) for i in range(n)]
    return [
        {"prompt": f"What about {i}?", "chosen": one.format(i), "rejected": other.format(i)}
        for i, (one, other) in enumerate(answers)
    ]


@pytest.mark.parametrize(("n_longer", "is_found"), [(40, True), (33, True), (28, False), (20, False), (0, False)])
def test_longer_answers_in_nearly_all_pairs_are_found(n_longer, is_found, found):
    assert severities(found(pairs(40, n_longer))) == ({"LENGTH_BIAS": WARNING} if is_found else {})


@pytest.mark.parametrize("rejected", ["No.", "I do not know anything about it at all."])
def test_rejected_answers_that_say_nothing_are_no_length_bias(rejected, found):
    assert found(pairs(40, 40, rejected=rejected)) == {}


@pytest.mark.parametrize("keys", [{"ld_alpha": 0.5}, {"loss_type": ["sigmoid_norm"]}])
def test_a_loss_that_takes_the_length_out_makes_it_a_note(keys, found):
    assert severities(found(pairs(40, 40), **keys)) == {"LENGTH_BIAS": NOTE}


def scored(n_against: int, *columns: str) -> list[Row]:
    """40 pairs, of which the first ones have their scores the wrong way round."""
    rows = preferences(rows_in("english"))[:40]
    return [
        {**row, **dict(zip(columns, (1.5, 4) if n < n_against else (4, 1.5), strict=False))}
        for n, row in enumerate(rows)
    ]


COLUMNS = [("score_chosen", "score_rejected"), ("chosen-rating", "rejected-rating"), ("rewardChosen", "rewardRejected")]


@pytest.mark.parametrize("columns", COLUMNS)
@pytest.mark.parametrize(("n_against", "severity"), [(40, ERROR), (8, WARNING), (1, None), (0, None)])
def test_scores_against_the_order_are_found_under_many_names(n_against, severity, columns, found):
    said = {} if severity is None else {"PREFERENCES_AGAINST_SCORES": severity}
    assert severities(found(scored(n_against, *columns))) == said


def test_scores_in_one_column_and_margins_are_read(found):
    rows = preferences(rows_in("english"))[:40]
    in_one = [{**row, "scores": {"chosen": 2, "rejected": "7.5"}} for row in rows]
    assert severities(found(in_one)) == {"PREFERENCES_AGAINST_SCORES": ERROR}
    margins = [{**row, "reward_margin": -0.5 if n < 8 else 2.0} for n, row in enumerate(rows)]
    assert severities(found(margins)) == {"PREFERENCES_AGAINST_SCORES": WARNING}


@pytest.mark.parametrize("columns", [("toxicity_score_chosen", "toxicity_score_rejected"),
                                     ("length_chosen", "length_rejected"), ("rank_chosen", "rank_rejected"),
                                     ("chosen_id", "rejected_id")])  # fmt: skip
def test_what_is_better_when_it_is_lower_says_nothing(columns, found):
    assert found(scored(40, *columns)) == {}


def test_the_score_that_agrees_most_counts(found):
    rows = [{**row, "score_chosen": 5, "score_rejected": 2} for row in scored(40, "helpful_chosen", "helpful_rejected")]
    assert found(rows) == {}


@pytest.mark.parametrize(
    ("change", "is_alike"),
    [
        (str.upper, True),
        (lambda text: text.replace(" ", "  ").replace(". ", ".\t"), True),
        (lambda text: f"{text[:9]}\n{text[9:]}", False),  # a set may be about line breaks
        (lambda text: text.replace("e", "a"), False),
    ],
)
def test_answers_that_differ_in_white_space_or_case_are_found(change, is_alike, found):
    rows = [{**row, "rejected": change(row["chosen"])} for row in preferences(rows_in("english"))[:20]]
    assert ("PAIRS_ALIKE" in found(rows)) is is_alike


def test_few_pairs_alike_are_a_warning_and_one_is_a_note(found):
    rows = preferences(rows_in("english"))
    alike = [{**row, "rejected": row["chosen"].upper()} for row in rows]
    assert found([*alike[:4], *rows[4:]])["PAIRS_ALIKE"].severity is WARNING
    assert found([*alike[:1], *rows[1:]])["PAIRS_ALIKE"].severity is NOTE


def test_one_phrase_in_all_chosen_answers_is_found(found):
    rows = preferences(rows_in("english"))[:30]
    added = [{**row, "rejected": row["chosen"], "chosen": f"Certainly! {row['chosen']}"} for row in rows]
    assert severities(found(added)) == {"PAIRS_DIFFER_IN_ONE_PHRASE": WARNING}
    other = [{**row, "rejected": f"As an AI, I say: {row['chosen']}"} for row in rows]
    assert severities(found(other)) == {"PAIRS_DIFFER_IN_ONE_PHRASE": NOTE}
