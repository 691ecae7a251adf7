"""The columns: requests and answers swapped, empty, or placeholders."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from pipelines.preflight.check_context import Stage
from pipelines.preflight.checks.rows.columns import empty_answers, empty_instructions, placeholder_values
from pipelines.preflight.checks.rows.swapped_columns import swapped_columns
from pipelines.records.finding import Finding, Severity
from tests.preflight.contexts import context_of, findings_by_id, pairs_of, rows_of

CHECKS = (empty_instructions, empty_answers, placeholder_values, swapped_columns)
ERROR, WARNING, NOTE = Severity.ERROR, Severity.WARNING, Severity.NOTE
Row = Mapping[str, Any]
ASKED = [
    "Write a poem about rain.", "Explain why the sky is blue.", "What is the capital of France?",
    "List three fruits that are red.", "How do bees find their way?", "Summarize the story in a sentence.",
]  # fmt: skip
BEGINS = ["Fix the", "Add a test of the", "Remove the", "Update the", "Create the", "Make the"]
HONEST_SIGNS = ["?", "+", "★", "·-· ---", "-.-. --- -.. .", ":-)", "7", "😆"]


def found_in(folder: Path, base: Path, rows: Sequence[Row], **keys: Any) -> dict[str, Finding]:
    return findings_by_id(CHECKS, context_of(folder, base, rows, **keys))


def questions_of(n: int) -> list[dict[str, str]]:
    """Rows as instruction sets have them: commands and questions, answered by statements."""
    said = "This is statement number {}, and it says at some length what anybody would say about it."
    return [{"instruction": ASKED[i % 6], "output": said.format(i)} for i in range(n)]


def swapped(row: Mapping[str, str]) -> dict[str, str]:
    return {"instruction": row["output"], "output": row["instruction"]}


# questions of facts, as people ask them
FACTS = [
    {
        "instruction": f"What is the oldest house of town {i}?" if i % 3 else f"Who built the tower of town {i}?",
        "output": f"The tower of town {i} was built by a man of the north in the year {1800 + i}.",
    }
    for i in range(20)
]


def rows_with(asked: str, answered: str, n: int = 40) -> list[Row]:
    return [{"instruction": asked.format(i), "output": answered.format(i)} for i in range(n)]


def chats(*turns: str, n: int = 40, system: str | None = None) -> list[Row]:
    before = [] if system is None else [{"role": "system", "content": system}]
    roles = ("user", "assistant")
    return [
        {"messages": before + [{"role": roles[i % 2], "content": turn.format(n)} for i, turn in enumerate(turns)]}
        for n in range(n)
    ]


CLEAN: dict[str, list[Row]] = {
    "instructions": [*rows_of(40), *questions_of(40)],
    "questions to write": rows_with("Generate a question about this text.\n\nThe river {} is long.", "How long is {}?"),
    "a listener's questions": rows_with("I went to river {0} with my brother today.", "How long is river {0}?"),
    "an assistant that asks back": chats(
        "Hello there, I need some help with my computer number {}.", "What can I do for you?", "It does not start.",
        "Please tell me which lamp is lit.",
    ),
    "a tutor that asks": [
        *questions_of(60), {"instruction": "I feel sad, and the rain of this week does not help.", "output": "Why?"},
        {"instruction": "I do not know what to eat tonight, and I am hungry.", "output": "What do you like?"},
    ],
    "questions that a system turn asks for": [
        *chats("The {}th king of the land was old and rich.", "Who was the {}th king?", n=6,
               system="Write a question about the user's text."), *chats("What is {}?", "A number.", n=20),
    ],
    "commit messages": [
        {"instruction": f"- old line {i} of a file\n+ new line {i} of a file", "output": f"{BEGINS[i % 6]} line {i}"}
        for i in range(40)
    ],
    "an input alone": [{"instruction": "", "input": f"What is {i} + 1?", "output": f"It is {i}."} for i in range(10)],
    "a turn of one sign": chats("Tell me about stones.", "Stones are hard.", "...", "Anything else?", "?", "Old.", n=3),
    "short answers": [
        *rows_of(20), *({"instruction": f"Give sign {i}.", "output": sign} for i, sign in enumerate(HONEST_SIGNS)),
    ],
    "one None": [*rows_of(200), {"instruction": "Which names are in it?", "output": "None"}],
    "templates": rows_with("Write a playbook {}.", '- name: x\n  msg: "{{{{item}}}} {{{{ item }}}}"', 20),
    "variables asked for": rows_with("Fill in {{{{name}}}} for {}.", "Dear {{{{name}}}}", 20),
    "columns that are not read": [
        {**row, "input": "None", "answer": "nan"} for row in chats("What is {}?", "A number.", n=10)
    ],
}  # fmt: skip


@pytest.mark.parametrize("name", CLEAN)
def test_clean_rows_give_no_finding(tmp_path, base, name):
    assert not found_in(tmp_path, base, CLEAN[name])


PANDAS: list[Row] = [{**row, "input": "nan" if i % 2 else "some text"} for i, row in enumerate(rows_of(50))]
NAMES: list[Row] = rows_with("Which names are in sentence {}?", "Anna", 40) + rows_with("Who is in {}?", "None", 20)
VARIABLES: list[Row] = rows_with("Who are you, {}?", "I am {{{{name}}}}, made by {{{{author}}}}.", 10)
# rows, finding, severity, number of rows, first row, part of the summary
FAULTS: list[tuple[list[Row], str, Severity, int, int, str]] = [
    ([swapped(row) for row in questions_of(60)], "SWAPPED_COLUMNS", ERROR, 60, 0, "60 of 60"),
    ([swapped(row) if i % 5 == 0 else row for i, row in enumerate(questions_of(100))], "SWAPPED_COLUMNS", ERROR, 20,
     0, "20 of 100"),
    *(([swapped(row) if i < 2 else row for i, row in enumerate(rows)], "SWAPPED_COLUMNS", ERROR, 2, 0, "2 of 20")
      for rows in (FACTS, FACTS[1:] + FACTS[:1])),
    ([swapped(row) for row in FACTS], "SWAPPED_COLUMNS", ERROR, 20, 0, "20 of 20"),
    ([*questions_of(990), *map(swapped, questions_of(6))], "SWAPPED_COLUMNS", ERROR, 6, 990, "6 of 996"),
    ([chats(row["output"], row["instruction"], n=1)[0] for row in questions_of(40)], "SWAPPED_COLUMNS", ERROR, 40, 0,
     ""),
    ([*rows_of(60), {"instruction": " \n", "output": "Well."}, {"instruction": "...", "output": "Yes."}],
     "EMPTY_INSTRUCTIONS", WARNING, 2, 60, ""),
    (chats("", "Hello {}.", n=10, system="Be kind."), "EMPTY_INSTRUCTIONS", ERROR, 10, 0, ""),
    *(
        ([{**row, "output": " " if i < n else row["output"]} for i, row in enumerate(rows_of(200))], "EMPTY_ANSWERS",
         severity, n, 0, f"{n} of them are dropped")
        for n, severity in ((1, NOTE), (8, WARNING), (40, ERROR))
    ),
    ([*CLEAN["short answers"], {"instruction": "Say it.", "output": "..."}], "EMPTY_ANSWERS", WARNING, 1, 28, ""),
    (PANDAS, "PLACEHOLDER_VALUES", ERROR, 25, 1, "'nan' (25)"),
    (chats("What is {}?", "None", n=5, system="None"), "PLACEHOLDER_VALUES", ERROR, 5, 0, "system 'None' (5)"),
    (NAMES, "PLACEHOLDER_VALUES", NOTE, 20, 40, "'None' (20)"),
    ([*rows_of(40), *rows_with("Describe {}.", "[]", 3)], "PLACEHOLDER_VALUES", WARNING, 3, 40, "'[]' (3)"),
    ([*rows_with("Which tags has {}?", '["tag {}", "of text"]', 40), *rows_with("Describe {}.", "[]", 3)],
     "PLACEHOLDER_VALUES", NOTE, 3, 40, "'[]' (3)"),
    ([*rows_of(50), {"instruction": "Draw a house.", "output": "<nooutput> A model cannot draw."}],
     "PLACEHOLDER_VALUES", WARNING, 1, 50, "<nooutput>"),
    ([*rows_of(50), *VARIABLES], "PLACEHOLDER_VALUES", WARNING, 10, 50, "{{name}}"),
    *(
        ([{**row, "input": value if i == 5 else ""} for i, row in enumerate(rows_of(50))], "PLACEHOLDER_VALUES",
         WARNING, 1, 5, repr(value))
        for value in ("nan", "None", "null", "N/A", "<noinput>", "No input", "Noinput", "undefined")
    ),
]  # fmt: skip


@pytest.mark.parametrize(("rows", "name", "severity", "n_rows", "first", "text"), FAULTS)
def test_a_fault_of_the_columns_is_found(tmp_path, base, rows, name, severity, n_rows, first, text):
    finding = found_in(tmp_path, base, rows)[name]
    assert (finding.severity, finding.n_rows, finding.evidence[0].row) == (severity, n_rows, first)
    assert text in finding.summary
    if name == "SWAPPED_COLUMNS" and first == 0 and n_rows == 60:
        assert "prompt: This is statement number 0" in finding.evidence[0].text


def test_preferences_are_checked_too(tmp_path, base):
    rows = pairs_of(rows_of(20))
    rows[3]["chosen"] = "<noinput>"
    rows.append({"prompt": "Say no.", "chosen": " ", "rejected": "No."})
    found = found_in(tmp_path, base, rows, stage=Stage.DPO)
    assert found["PLACEHOLDER_VALUES"].n_rows == 1
    assert found["EMPTY_ANSWERS"].evidence[0].row == 20
