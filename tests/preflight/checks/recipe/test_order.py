"""Rows that are sorted and trained in their order, and rows that only look so."""

import random
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from pipelines.preflight.check_context import CheckContext, SampledRow
from pipelines.preflight.checks.recipe.order import CHECKS
from tests.preflight.contexts import context_of, findings_by_id, rows_of

found = partial(findings_by_id, CHECKS)


@pytest.fixture(scope="module")
def sequential(qwen: Path, tmp_path_factory: pytest.TempPathFactory) -> CheckContext:
    folder = tmp_path_factory.mktemp("order")
    return context_of(folder, qwen, rows_of(20), train_sampling_strategy="sequential")


def said(context: CheckContext, values: list[dict[str, Any]], answers: list[str] | None = None) -> str:
    """The summary of a set with these other columns, and answers of one or more words; rows are otherwise alike."""
    words = ["one", "two", "three", "four", "five", "six", "seven", "eight"]
    rows = [
        SampledRow(
            n, one, f"Say {words[n * 5 % 8]} {words[n * 3 % 7]}.", (answers[n] if answers else f"{n * 37 % 101}",)
        )
        for n, one in enumerate(values)
    ]
    changed = replace(context, train=replace(context.train, rows=tuple(rows), n_rows=len(rows)))
    return found(changed)["ROWS_SORTED"].summary if found(changed) else ""


@pytest.mark.parametrize(("column", "is_sorted"), [
    ([n // 20 for n in range(60)], True),  # three sources
    ([n % 3 for n in range(60)], False),
    ([min(n // 57, 1) for n in range(60)], False),  # three rows at the end may be chance
    ([n * 7 % 60 / 60 for n in range(60)], False),
    ([n / 60 for n in range(60)], True),  # a score
    ([-n / 60 for n in range(60)], True),
    (list(range(60)), False),  # numbers of the rows
    ([1.7e9 + n / 2 for n in range(60)], False),  # seconds
    ([f"text {n}" for n in range(60)], False),
    ([f"2026-01-{n // 20 + 10}" for n in range(60)], False),  # the days on which rows were written
    ([None] * 30 + ["wiki"] * 30, True),
])  # fmt: skip
def test_a_column_that_sorts_the_rows_is_named(sequential, column, is_sorted):
    assert ("column kind" in said(sequential, [{"kind": value} for value in column])) is is_sorted


def test_labels_languages_and_lengths_that_sort_the_rows_are_named(sequential):
    nothing: list[dict[str, Any]] = [{} for _ in range(60)]
    assert "the answer changes 1 times" in said(sequential, nothing, ["yes"] * 30 + ["no"] * 30)
    assert "the script" in said(sequential, nothing, [f"да {n}" if n < 30 else f"yes {n}" for n in range(60)])
    assert "the length rises" in said(sequential, nothing, ["so " * (n + 30) for n in range(60)])
    assert "from A to Z" in said(sequential, nothing, [f"{chr(97 + n // 3)} {n * 37 % 101}" for n in range(60)])
    assert "the word" in said(
        sequential, nothing, [f"{n * 37 % 101} {one}" for n, one in enumerate(["bonjour"] * 30 + ["hi"] * 30)]
    )


def test_shuffled_rows_in_their_order_are_left_alone(sequential):
    for seed in range(20):
        draw = random.Random(seed)
        columns = [
            {"source": draw.choice("abc"), "score": draw.random(), "level": draw.randrange(9)} for _ in range(80)
        ]
        answers = [
            " ".join(draw.choices(["alpha", "beta", "gamma", "delta", "so", "on"], k=draw.randrange(1, 30)))
            for _ in columns
        ]
        assert said(sequential, columns, answers) == ""


@pytest.mark.parametrize("keys", [
    {"train_sampling_strategy": "random"}, {"train_sampling_strategy": "group_by_length"},
    {"train_sampling_strategy": "sequential", "shuffle_dataset": True},
])  # fmt: skip
def test_rows_that_are_shuffled_by_the_run_are_left_alone(sequential, qwen, tmp_path, keys):
    training = context_of(tmp_path, qwen, rows_of(4), **keys).training
    assert said(replace(sequential, training=training), [{"kind": n // 20} for n in range(60)]) == ""
