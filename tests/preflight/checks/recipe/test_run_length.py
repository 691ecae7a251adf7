"""Runs that are too short or too long for their rows, and keys that disagree about it."""

from dataclasses import replace
from functools import partial

import pytest

from pipelines.preflight.check_context import Stage
from pipelines.preflight.checks.recipe.run_length import CHECKS
from pipelines.records.finding import Severity
from tests.preflight.checks.tokens.test_length import CORPUS, pretraining_case
from tests.preflight.contexts import context_of, findings_by_id, pairs_of, rows_of

found = partial(findings_by_id, CHECKS)


@pytest.mark.parametrize(
    ("n_rows", "keys", "is_told"),
    [
        (1, {}, True),
        (1, {"warmup_steps": 0, "num_train_epochs": 50}, True),
        (2, {"num_train_epochs": 1, "warmup_steps": 0.03}, True),
        (2, {"num_train_epochs": 1, "warmup_steps": 0}, False),
        (2, {"num_train_epochs": 1, "warmup_steps": 0.03, "lr_scheduler_type": "constant"}, False),
        (4, {"num_train_epochs": 3, "warmup_steps": 0.03}, False),
    ],
)
def test_rows_that_teach_nothing_are_told(qwen, tmp_path, n_rows, keys, is_told):
    told = found(context_of(tmp_path, qwen, rows_of(n_rows), **keys))
    assert ("TOO_FEW_ROWS" in told) is is_told
    if is_told:
        assert told["TOO_FEW_ROWS"].severity is Severity.ERROR


def test_one_row_that_is_left_of_many_is_too_few(qwen, tmp_path):
    rows = [*rows_of(1), *({"instruction": f"Say {n}", "output": ""} for n in range(9))]
    assert "1 of 10 rows" in found(context_of(tmp_path, qwen, rows))["TOO_FEW_ROWS"].summary


def said_of(qwen, folder, n_rows: int = 40, **keys) -> dict[str, Severity]:
    """The findings about a set of `n_rows` rows in batches of 2."""
    return {one.id: one.severity for one in found(context_of(folder, qwen, rows_of(n_rows), **keys)).values()}


SHORT, LONG, OVERRIDDEN = "RUN_TOO_SHORT", "RUN_TOO_LONG", "EPOCHS_OVERRIDDEN"
WARNING, NOTE = Severity.WARNING, Severity.NOTE


@pytest.mark.parametrize(("keys", "said"), [
    ({}, {}),
    ({"gradient_accumulation_steps": 16}, {SHORT: WARNING}),
    ({"per_device_train_batch_size": 20, "num_train_epochs": 3}, {SHORT: WARNING}),
    ({"num_train_epochs": 0.5}, {SHORT: WARNING}),
    ({"max_steps": 2}, {SHORT: WARNING}),
    ({"max_steps": 60}, {OVERRIDDEN: NOTE}),
    ({"max_steps": 20}, {OVERRIDDEN: WARNING}),
    ({"max_steps": 200}, {OVERRIDDEN: WARNING}),
    ({"max_steps": 60, "num_train_epochs": None}, {}),
    ({"max_steps": 8, "num_train_epochs": None}, {SHORT: WARNING}),
    ({"max_steps": 12, "num_train_epochs": None}, {}),
    ({"max_steps": -1, "num_train_epochs": 10}, {}),
    ({"max_steps": 300, "num_train_epochs": None}, {LONG: WARNING}),
    ({"num_train_epochs": 11}, {LONG: WARNING}),
])  # fmt: skip
def test_a_run_of_another_length_than_its_rows_need_is_reported(qwen, tmp_path, keys, said):
    assert said_of(qwen, tmp_path, **keys) == said


def test_a_small_set_is_short_only_if_it_has_a_few_steps(qwen, tmp_path):
    assert said_of(qwen, tmp_path, n_rows=12, num_train_epochs=1) == {}
    assert said_of(qwen, tmp_path, n_rows=8, num_train_epochs=1) == {SHORT: WARNING}


def test_a_small_packed_set_is_left_alone(qwen, tmp_path):
    assert said_of(qwen, tmp_path, packing=True, per_device_train_batch_size=1, max_length=256) == {}


def test_a_part_of_many_rows_may_be_intended(qwen, tmp_path):
    context = context_of(tmp_path, qwen, rows_of(40), num_train_epochs=0.5)
    many = replace(context, train=replace(context.train, n_rows=20_000))
    assert found(many)[SHORT].severity is NOTE
    steps = context_of(tmp_path, qwen, rows_of(40), max_steps=60, num_train_epochs=None)
    assert found(replace(steps, train=replace(context.train, n_rows=20_000)))[SHORT].severity is NOTE


@pytest.mark.parametrize(("n_rows", "evaluates", "severity"), [
    (400, True, NOTE), (400, False, WARNING), (300, True, WARNING),
])  # fmt: skip
def test_a_part_of_an_epoch_that_is_evaluated_may_be_intended_as_in_the_quickstart(
    qwen, tmp_path, n_rows, evaluates, severity
):
    context = context_of(tmp_path, qwen, rows_of(40), num_train_epochs=0.5)
    grown = replace(context, train=replace(context.train, n_rows=n_rows), held_out=context.train if evaluates else None)
    assert found(grown)[SHORT].severity is severity


def test_fifteen_epochs_of_a_thousand_rows_are_a_known_recipe(qwen, tmp_path):
    context = context_of(tmp_path, qwen, rows_of(20), num_train_epochs=15)
    assert found(context)[LONG].severity is WARNING
    assert not found(replace(context, train=replace(context.train, n_rows=1030)))


def test_the_remedy_gives_enough_steps(qwen, tmp_path):
    keys = {"per_device_train_batch_size": 4, "gradient_accumulation_steps": 32}
    remedy = found(context_of(tmp_path, qwen, rows_of(120), **keys))[SHORT].remedy
    assert remedy == "set gradient_accumulation_steps: 3"
    assert said_of(qwen, tmp_path, n_rows=120, **{**keys, "gradient_accumulation_steps": 3}) == {}


def test_dropped_rows_do_not_make_a_run_short(qwen, tmp_path):
    assert said_of(qwen, tmp_path, max_length=8, num_train_epochs=1) == {}


def test_a_pair_is_one_row_of_a_batch(qwen, tmp_path):
    context = context_of(tmp_path, qwen, pairs_of(rows_of(20)), stage=Stage.DPO, num_train_epochs=1)
    assert not found(context)
    assert found(replace(context, train=replace(context.train, rows=context.train.rows[:6], n_rows=6)))


def test_pretraining_is_short_by_max_steps_only(tmp_path):
    assert not found(pretraining_case(tmp_path, CORPUS, max_length=64, learning_rate=1e-3))
