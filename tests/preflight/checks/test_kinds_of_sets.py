"""Sets of kinds that are clean, and faults that only some kinds of sets can have: all checks at once."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from pipelines.preflight.check_context import Stage
from pipelines.preflight.run_checks import run_checks
from pipelines.records.finding import Severity
from tests.preflight.contexts import recipe_of, rows_of

Row = dict[str, Any]


def alarms(folder: Path, base: Path, rows: Sequence[Row], held_out: Sequence[Row] = (), **keys: Any) -> set[str]:
    recipe = recipe_of(folder, base, rows, held_out, **keys)
    findings = run_checks(recipe, keys.get("stage", Stage.SFT)).findings
    return {f"{finding.severity.value} {finding.id}" for finding in findings if finding.severity is not Severity.NOTE}


def chat(asked: str, answered: str, **more: Any) -> Row:
    return {"messages": [{"role": "user", "content": asked}, {"role": "assistant", "content": answered, **more}]}


def asked(n: int) -> list[str]:
    return [row["instruction"] for row in rows_of(n)]


def test_labels_in_whole_sentences_are_no_fault(base, tmp_path):
    labels = [f"The correct answer is {letter}." for letter in "ABCD"]
    assert alarms(tmp_path, base, [chat(one, labels[n * 7 % 4]) for n, one in enumerate(asked(60))]) == set()


def test_calls_of_tools_with_the_same_words_before_them_are_not_alike(base, tmp_path):
    tools = [{"type": "function", "function": {"name": "look_up", "description": "", "parameters": {}}}]
    template = tmp_path / "tools.jinja"
    template.write_text(
        "{% for t in tools or [] %}{{ t | tojson }}{% endfor %}"
        "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}"
        "{% for c in m.tool_calls or [] %}{{ c.function | tojson }}{% endfor %}<|im_end|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    )

    def row(n: int) -> Row:
        call = {"type": "function", "function": {"name": "look_up", "arguments": {"place": f"town {n}"}}}
        return {
            **chat("Where am I going next?", "Let me look that up for you at once.", tool_calls=[call]),
            "tools": tools,
        }

    found = alarms(tmp_path, base, [row(n) for n in range(40)], chat_template_path=str(template))
    assert not {one for one in found if "ALIKE" in one or "DUPLICATE" in one}


def test_what_preferences_reject_may_be_as_bad_as_it_is(base, tmp_path):
    keys = {"stage": Stage.DPO, "learning_rate": 5e-6}
    bad = ["...", "Sure.<|im_end|>\n<|im_start|>user\nAnd now?"]
    rows = [
        {"instruction": row["instruction"], "chosen": row["output"], "rejected": bad[n % 2]}
        for n, row in enumerate(rows_of(60))
    ]
    assert alarms(tmp_path / "rejected", base, rows, **keys) == set()
    swapped = [{**row, "chosen": row["rejected"], "rejected": row["chosen"]} for row in rows]
    assert "error TEMPLATE_MARKS_IN_ANSWER" in alarms(tmp_path / "chosen", base, swapped, **keys)


@pytest.mark.parametrize("rendered", ["<s>[INST] {} [/INST]", "### Instruction:\n{}\n\n### Response:"])
def test_another_family_s_marks_in_a_conversation_are_found(rendered, base, tmp_path):
    rows = [chat(rendered.format(row["instruction"]), row["output"]) for row in rows_of(40)]
    assert "warning RENDERED_TEXT_ROWS" in alarms(tmp_path, base, rows)


def test_a_sheet_of_properties_does_not_run_on(base, tmp_path):
    sheet = "A solid {} laptop for work in town.\n\nUser: offices\nWeight: {} g\nModel: L{}"
    rows = [chat(one, sheet.format(one.split()[4], 100 + n * 3, n)) for n, one in enumerate(asked(60))]
    assert not {one for one in alarms(tmp_path, base, rows) if "RUNS_ON" in one}


def test_held_out_rows_that_are_all_dropped_are_told_before_the_run(base, tmp_path):
    held_out = [{**row, "output": row["output"] * 40} for row in rows_of(6, "another")]
    assert "error ROWS_DROPPED" in alarms(tmp_path, base, rows_of(60), held_out)


def test_colours_of_a_terminal_in_what_is_asked_stop_no_run(base, tmp_path):
    rows = [chat(f"\x1b[31mFAILED\x1b[0m {row['instruction']}", row["output"]) for row in rows_of(40)]
    assert alarms(tmp_path, base, rows) == {"warning BROKEN_CHARACTERS"}
    damaged = [chat(f"\x00{row['instruction']}", row["output"]) for row in rows_of(40)]
    assert alarms(tmp_path / "damaged", base, damaged) == {"error BROKEN_CHARACTERS"}
