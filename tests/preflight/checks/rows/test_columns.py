"""What stands in the columns: requests and answers exchanged, nothing, or a word that stands for nothing."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from pipelines.preflight.check_context import CheckContext, Stage
from pipelines.preflight.checks.rows.columns import empty_answers, empty_instructions, placeholder_values
from pipelines.preflight.checks.rows.swapped_columns import swapped_columns
from pipelines.records.finding import Finding, Severity
from tests.preflight.contexts import context_of, rows_of

CHECKS = (empty_instructions, empty_answers, placeholder_values, swapped_columns)


def findings_of(context: CheckContext) -> dict[str, Finding]:
    return {finding.id: finding for check in CHECKS for finding in check(context)}


def found_in(folder: Path, base: Path, rows: Sequence[Mapping[str, Any]], **keys: Any) -> dict[str, Finding]:
    return findings_of(context_of(folder, base, rows, **keys))


def questions_of(n: int) -> list[dict[str, str]]:
    """Rows as instruction sets have them: commands and questions, answered by statements."""
    asked = [
        "Write a poem about rain.", "Explain why the sky is blue.", "What is the capital of France?",
        "List three fruits that are red.", "How do bees find their way?", "Summarize the story in a sentence.",
    ]  # fmt: skip
    return [
        {
            "instruction": f"{asked[i % 6]}",
            "output": f"This is statement number {i}, and it says at some length what anybody would say about it.",
        }
        for i in range(n)
    ]


def exchanged(row: Mapping[str, str]) -> dict[str, str]:
    return {"instruction": row["output"], "output": row["instruction"]}


def test_a_part_of_the_rows_exchanged_is_a_warning(tmp_path: Path, base: Path) -> None:
    rows = questions_of(100)
    mixed = [exchanged(row) if i % 5 == 0 else row for i, row in enumerate(rows)]
    finding = found_in(tmp_path, base, mixed)["SWAPPED_COLUMNS"]
    assert finding.severity is Severity.WARNING
    assert finding.n_rows == 20


def test_exchanged_roles_of_conversations_are_found(tmp_path: Path, base: Path) -> None:
    rows = [
        {"messages": [{"role": "user", "content": row["output"]}, {"role": "assistant", "content": row["instruction"]}]}
        for row in questions_of(40)
    ]
    assert found_in(tmp_path, base, rows)["SWAPPED_COLUMNS"].severity is Severity.ERROR


def test_making_questions_of_texts_is_a_task(tmp_path: Path, base: Path) -> None:
    told = [
        {
            "instruction": f"Generate a question about this text.\n\nThe river {i} is long.",
            "output": f"How long is {i}?",
        }
        for i in range(30)
    ]
    untold = [
        {"instruction": f"The river number {i} flows to the sea and is long.", "output": f"How long is river {i}?"}
        for i in range(30)
    ]
    assert not found_in(tmp_path / "told", base, told)
    assert not found_in(tmp_path / "untold", base, untold)


def test_an_assistant_that_asks_back_is_no_exchange(tmp_path: Path, base: Path) -> None:
    rows = [
        {
            "messages": [
                {"role": "user", "content": f"Hello there, I need some help with my computer number {i}."},
                {"role": "assistant", "content": "What can I do for you?"},
                {"role": "user", "content": "It does not start."},
                {"role": "assistant", "content": "Please tell me which lamp is lit."},
            ]
        }
        for i in range(40)
    ]
    assert not found_in(tmp_path, base, rows)


def test_commit_messages_are_no_requests(tmp_path: Path, base: Path) -> None:
    begins = ["Fix the", "Add a test of the", "Remove the", "Update the", "Create the", "Make the"]
    rows = [
        {
            "instruction": f"- old line {i} of the file\n+ new line {i} of the file",
            "output": f"{begins[i % 6]} line {i}",
        }
        for i in range(40)
    ]
    assert not found_in(tmp_path, base, rows)


def test_rows_that_ask_nothing_are_found(tmp_path: Path, base: Path) -> None:
    rows = [*rows_of(60), {"instruction": " \n", "output": "Well."}, {"instruction": "...", "output": "Yes."}]
    finding = found_in(tmp_path, base, rows)["EMPTY_INSTRUCTIONS"]
    assert finding.severity is Severity.WARNING
    assert [one.row for one in finding.evidence] == [60, 61]


def test_a_system_prompt_alone_asks_nothing_and_an_input_alone_asks(tmp_path: Path, base: Path) -> None:
    system_only = [
        {"messages": [{"role": "system", "content": "Be kind."}, {"role": "user", "content": ""},
                      {"role": "assistant", "content": f"Hello {i}."}]}
        for i in range(10)
    ]  # fmt: skip
    input_only = [{"instruction": "", "input": f"What is {i} + 1?", "output": f"It is {i + 1}."} for i in range(10)]
    assert found_in(tmp_path / "a", base, system_only)["EMPTY_INSTRUCTIONS"].severity is Severity.ERROR
    assert not found_in(tmp_path / "b", base, input_only)


def test_a_turn_of_one_sign_within_a_chat_is_no_empty_request(tmp_path: Path, base: Path) -> None:
    turns = ["Tell me about stones.", "Stones are hard.", "...", "Anything else?", "?", "Stones are also old."]
    messages = [{"role": "user" if i % 2 == 0 else "assistant", "content": turn} for i, turn in enumerate(turns)]
    assert not found_in(tmp_path, base, [{"messages": messages}] * 3)


@pytest.mark.parametrize(("n_empty", "severity"), [(1, Severity.NOTE), (8, Severity.WARNING), (40, Severity.ERROR)])
def test_empty_answers_count_by_their_share(tmp_path: Path, base: Path, n_empty: int, severity: Severity) -> None:
    rows: list[dict[str, str]] = [
        {**row, "output": " " if i < n_empty else row["output"]} for i, row in enumerate(rows_of(200))
    ]
    finding = found_in(tmp_path, base, rows)["EMPTY_ANSWERS"]
    assert (finding.severity, finding.n_rows) == (severity, n_empty)
    assert f"{n_empty} of them are left out" in finding.summary


def test_dots_for_an_answer_are_found_and_short_answers_are_not(tmp_path: Path, base: Path) -> None:
    honest = ["?", "+", "★", "·-· ---", "-.-. --- -.. .", ":-)", "7", "😆"]
    rows = [*rows_of(20), *({"instruction": f"Give sign {i}.", "output": sign} for i, sign in enumerate(honest))]
    assert not found_in(tmp_path / "honest", base, rows)
    finding = found_in(tmp_path / "dots", base, [*rows, {"instruction": "Say it.", "output": "..."}])["EMPTY_ANSWERS"]
    assert finding.n_rows == 1


@pytest.mark.parametrize("value", ["nan", "None", "null", "N/A", "<noinput>", "No input", "Noinput", "undefined"])
def test_an_input_that_stands_for_nothing_is_found(tmp_path: Path, base: Path, value: str) -> None:
    rows = [{**row, "input": value if i == 5 else ""} for i, row in enumerate(rows_of(50))]
    finding = found_in(tmp_path, base, rows)["PLACEHOLDER_VALUES"]
    assert finding.severity is Severity.WARNING
    assert repr(value) in finding.summary
    assert finding.evidence[0].row == 5


def test_inputs_of_pandas_throughout_are_an_error(tmp_path: Path, base: Path) -> None:
    rows = [{**row, "input": "nan" if i % 2 else "some text"} for i, row in enumerate(rows_of(50))]
    assert found_in(tmp_path, base, rows)["PLACEHOLDER_VALUES"].severity is Severity.ERROR


def test_a_system_turn_of_nothing_is_found_in_conversations(tmp_path: Path, base: Path) -> None:
    rows = [
        {"messages": [{"role": "system", "content": "None"}, {"role": "user", "content": f"What is {i}?"},
                      {"role": "assistant", "content": "None"}]}
        for i in range(5)
    ]  # fmt: skip
    finding = found_in(tmp_path, base, rows)["PLACEHOLDER_VALUES"]
    assert "system 'None' (5)" in finding.summary


def test_none_is_an_answer_and_many_of_it_a_note(tmp_path: Path, base: Path) -> None:
    asked = [
        {"instruction": f"Which names are in sentence {i}?", "output": "None" if i % 3 == 0 else "Anna"}
        for i in range(60)
    ]
    assert found_in(tmp_path / "many", base, asked)["PLACEHOLDER_VALUES"].severity is Severity.NOTE
    assert not found_in(tmp_path / "few", base, [*rows_of(200), asked[0]])


def test_the_generators_mark_at_the_beginning_of_an_answer_is_found(tmp_path: Path, base: Path) -> None:
    rows = [*rows_of(50), {"instruction": "Draw a house.", "output": "<nooutput> A model cannot draw."}]
    assert found_in(tmp_path, base, rows)["PLACEHOLDER_VALUES"].n_rows == 1


def test_templates_that_are_asked_for_keep_their_variables(tmp_path: Path, base: Path) -> None:
    jinja = [
        {"instruction": f"Write a playbook {i}.", "output": '- name: x\n  msg: "{{item}} {{ item }}"'}
        for i in range(20)
    ]
    asked = [{"instruction": f"Fill in {{{{name}}}} for {i}.", "output": "Dear {{name}}"} for i in range(20)]
    assert not found_in(tmp_path, base, [*jinja, *asked])


def test_preferences_are_looked_at_too(tmp_path: Path, base: Path) -> None:
    rows = [
        {
            "prompt": f"What is {i} + 1?",
            "chosen": "<noinput>" if i == 3 else f"It is {i + 1}.",
            "rejected": f"It is {i}.",
        }
        for i in range(20)
    ]
    found = found_in(
        tmp_path, base, [*rows, {"prompt": "Say no.", "chosen": " ", "rejected": "No."}], stage=Stage.DPO
    )  # fmt: skip
    assert found["PLACEHOLDER_VALUES"].n_rows == 1
    assert found["EMPTY_ANSWERS"].evidence[0].row == 20


def test_notes_beside_messages_are_no_matter(tmp_path: Path, base: Path) -> None:
    rows = [
        {
            "messages": [{"role": "user", "content": f"What is {i}?"}, {"role": "assistant", "content": "A number."}],
            "input": "None",
            "answer": "nan",
        }
        for i in range(10)
    ]
    assert not found_in(tmp_path, base, rows)
