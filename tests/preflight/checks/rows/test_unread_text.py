"""Columns of text that nothing reads."""

from functools import partial
from typing import Any

import pytest

from pipelines.preflight.check_context import Stage
from pipelines.preflight.checks.rows.unread_text import CHECKS
from pipelines.records.finding import Finding, Severity
from tests.planted_faults.sample_rows import as_messages, rows_in, tool_conversations
from tests.preflight.contexts import context_of, findings_by_id

WARNING, NOTE = Severity.WARNING, Severity.NOTE
Row = dict[str, Any]
ROWS = rows_in("english")
PASSAGES = [row["output"] for row in ROWS[5:] + ROWS[:5]]
CHATS: list[Row] = [{"messages": as_messages(row)} for row in ROWS]
PLAIN: list[Row] = [{"prompt": row["instruction"], "completion": f"\n{row['output']}"} for row in ROWS]
PAIRS: list[Row] = [{"prompt": row["instruction"], "chosen": row["output"], "rejected": "No."} for row in ROWS]
findings_of = partial(findings_by_id, CHECKS)


@pytest.fixture
def found(qwen, tmp_path):
    def of(rows: list[Row], **keys: Any) -> dict[str, Finding]:
        return findings_of(context_of(tmp_path, qwen, rows, **keys))

    return of


def having(rows: list[Row], column: str, values: list[Any], every: int = 1) -> list[Row]:
    empty = type(values[0])()
    return [
        {**row, column: value if n % every == 0 else empty}
        for n, (row, value) in enumerate(zip(rows, values, strict=False))
    ]


@pytest.mark.parametrize("column", ["context", "Context", "systemPrompt", "passage", "reasoning"])
@pytest.mark.parametrize("rows", [ROWS, CHATS, PLAIN], ids=["instructions", "chats", "plain"])
def test_a_part_of_the_request_that_is_not_read_is_found(rows, column, found):
    finding = found(having(rows, column, PASSAGES, every=3))["TEXT_NOT_READ"]
    assert finding.severity is WARNING
    assert f"{column} is not read: 32 of 96 (33.3%) rows" in finding.summary
    assert "of all characters" in finding.summary


def test_system_history_and_tools_beside_plain_pairs_are_found(found):
    assert "TEXT_NOT_READ" in found(having(PLAIN, "system", ["You are a patient teacher of everything."] * 96))
    assert "TEXT_NOT_READ" in found(having(PLAIN, "history", [[["What came before?", one]] for one in PASSAGES]))
    pairs = having(PAIRS, "history", [[["What came before?", one]] for one in PASSAGES])
    assert "TEXT_NOT_READ" in found(pairs, stage=Stage.DPO, learning_rate=1e-6)


def test_what_is_read_is_not_named(found):
    assert found(having(CHATS, "system", ["You are a patient teacher of everything."] * 96)) == {}
    assert found(having(ROWS, "history", [[["What came before?", one]] for one in PASSAGES])) == {}
    assert found(having(ROWS, "input", PASSAGES)) == {}
    assert found(tool_conversations()) == {}


COPIES = {
    "question": [row["instruction"] for row in ROWS],
    "text": [f"### Instruction:\n{row['instruction']}\n\n### Response:\n{row['output']}" for row in ROWS],
    "answer": [row["output"].split(". ")[0] for row in ROWS],
    "final_text": [row["output"].upper() for row in ROWS],
}


@pytest.mark.parametrize(("column", "values"), COPIES.items(), ids=COPIES)
def test_copies_of_what_is_read_are_not_named(column, values, found):
    assert found(having(CHATS, column, values)) == {}


METADATA = {
    "source_url": [f"https://example.org/notes/{n}/page.html" for n in range(96)],
    "prompt_hash": [f"{n * 7919:032x}" for n in range(96)],
    "annotator_comment": PASSAGES,
    "gpt4_response": PASSAGES,
    "reviewed_at": [f"2024-05-{n % 28 + 1:02}T10:00:00" for n in range(96)],
    "difficulty": [f"{n % 5}" for n in range(96)],
}


@pytest.mark.parametrize(("column", "values"), METADATA.items(), ids=METADATA)
def test_metadata_and_other_answers_are_not_named(column, values, found):
    assert found(having(ROWS, column, values)) == {}


def test_a_column_of_any_name_is_found_if_the_answers_need_it(found):
    rows = [
        {"instruction": f"What does note {n} say?", "output": f"It says: {row['output']}",
         "zettel": f"{row['output']} {PASSAGES[n]} {row['instruction']}"}
        for n, row in enumerate(ROWS)
    ]  # fmt: skip
    assert "by chance" in found(rows)["TEXT_NOT_READ"].summary


def test_names_that_only_a_column_has_are_enough(found):
    names = [f"{first}{last}" for first in ("Mari", "Jor", "Bel", "Kas") for last in ("anne", "dan", "inda", "per")]
    rows = [
        {**row, "output": f"{row['output']} Yours, {names[n % 16]}",
         "rolle": f"You are {names[n % 16]}, who works in a shop and writes letters to customers every morning."}
        for n, row in enumerate(ROWS)
    ]  # fmt: skip
    assert found(rows)["TEXT_NOT_READ"].severity is WARNING


def test_other_text_of_an_unknown_name_is_a_note(found):
    assert found(having(ROWS, "diary", PASSAGES))["TEXT_NOT_READ"].severity is NOTE
