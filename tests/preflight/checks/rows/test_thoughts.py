"""Thoughts in part of the rows and thoughts without an answer, and what tells or explains them."""

from functools import partial

import pytest

from pipelines.preflight.check_context import Stage
from pipelines.preflight.checks.rows.thoughts import CHECKS
from pipelines.records.finding import Severity
from tests.preflight.contexts import context_of, findings_by_id, pairs_of, rows_of

SOME, CUT = "THOUGHTS_IN_SOME_ROWS", "THOUGHT_WITHOUT_ANSWER"
found = partial(findings_by_id, CHECKS)


def with_thoughts(rows, n, tag="think"):
    """The first `n` rows with a thought before the answer."""
    return [
        {**row, "output": f"<{tag}>\nAn old thing.\n</{tag}>\n\n{row['output']}"} if place < n else row
        for place, row in enumerate(rows)
    ]


@pytest.mark.parametrize(("n_rows", "n_with"), [(24, 2), (24, 22), (40, 20), (300, 3)])
def test_thoughts_in_part_of_the_rows_are_a_warning(bases, tmp_path, n_rows, n_with):
    finding = found(context_of(tmp_path, bases["gpt2"], with_thoughts(rows_of(n_rows), n_with)))[SOME]
    assert (finding.severity, finding.n_rows) == (Severity.WARNING, min(n_with, n_rows - n_with))


def test_one_row_of_another_form_is_nothing(bases, tmp_path):
    assert found(context_of(tmp_path, bases["gpt2"], with_thoughts(rows_of(24), 1))) == {}
    for n in (0, 24):
        assert found(context_of(tmp_path, bases["gpt2"], with_thoughts(rows_of(24), n))) == {}


def test_two_tags_for_thoughts_are_found(bases, tmp_path):
    rows = [*with_thoughts(rows_of(12), 12), *with_thoughts(rows_of(12, "number"), 12, "reasoning")]
    assert "12 with <reasoning>" in found(context_of(tmp_path, bases["gpt2"], rows))[SOME].summary


def test_plain_text_and_preferences_are_read_too(bases, tmp_path):
    rows = with_thoughts(rows_of(12), 6)
    assert found(context_of(tmp_path, bases["gpt2"], [{"text": row["output"]} for row in rows]))
    assert found(context_of(tmp_path, bases["gpt2"], pairs_of(rows), stage=Stage.DPO))


@pytest.mark.parametrize("sign", ["argument", "switch", "system"])
def test_a_sign_in_the_prompt_tells_which_rows_think(bases, tmp_path, sign):
    rows = with_thoughts(rows_of(20), 12)
    for row in rows[12:]:
        row |= {
            "argument": {"chat_template_kwargs": {"enable_thinking": False}},
            "switch": {"instruction": f"{row['instruction']} /no_think"},
            "system": {"system": "Answer at once."},
        }[sign]
    assert found(context_of(tmp_path, bases["gpt2"], rows)) == {}


def test_system_texts_of_which_each_row_has_its_own_tell_nothing(bases, tmp_path):
    rows = [{**row, "system": f"You are expert {n}."} for n, row in enumerate(with_thoughts(rows_of(40), 20))]
    assert SOME in found(context_of(tmp_path, bases["gpt2"], rows))


def test_a_thought_that_is_cut_or_has_nothing_after_it_is_found(bases, tmp_path):
    rows = with_thoughts(rows_of(30), 30)
    for row in rows[:4]:
        row["output"] = row["output"].partition("</think>")[0]
    finding = found(context_of(tmp_path, bases["gpt2"], rows))[CUT]
    assert (finding.severity, finding.n_rows) == (Severity.WARNING, 4)
    for row in rows[4:8]:
        row["output"] = row["output"].partition("</think>")[0] + "</think>\n"
    assert found(context_of(tmp_path, bases["gpt2"], rows))[CUT].severity is Severity.ERROR


def test_tags_inside_answers_are_no_thoughts(bases, tmp_path):
    rows = [{**row, "output": f"The tag <think> opens a thought, see {row['output']}"} for row in rows_of(20)]
    assert found(context_of(tmp_path, bases["gpt2"], [*rows, *rows_of(20, "thing")])) == {}
