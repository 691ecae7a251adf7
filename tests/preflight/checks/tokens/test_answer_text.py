"""Templates that change what an answer says by white space or escapes, and those that only trim."""

from functools import partial
from pathlib import Path

import pytest

from pipelines.preflight.check_context import CheckContext, Stage
from pipelines.preflight.checks.tokens.answer_text import CHECKS
from pipelines.records.finding import Severity
from tests.preflight.contexts import Bases, context_of, findings_by_id, pairs_of, rows_of

TEMPLATE = (
    "{{%- for message in messages -%}}{{{{- '<|im_start|>' + message.role + '\\n' -}}}}"
    "{{%- if message.role == 'assistant' -%}}{{{{- {answer} -}}}}{{%- else -%}}{{{{- message.content -}}}}"
    "{{%- endif -%}}{{{{- '<|im_end|>\\n' -}}}}{{%- endfor -%}}"
    "{{%- if add_generation_prompt -%}}{{{{- '<|im_start|>assistant\\n' -}}}}{{%- endif -%}}"
)
CODE = '    total = 0\n    for one in ones:\n        total += one  # "sum"\n    return total'
found = partial(findings_by_id, CHECKS)


def context(bases: Bases, folder: Path, answer: str, outputs: list[str]) -> CheckContext:
    """Rows with `outputs` under a template that writes answers with the expression `answer`."""
    path = folder / "template.jinja"
    path.write_text(TEMPLATE.format(answer=answer))
    rows = [{**row, "output": output} for row, output in zip(rows_of(len(outputs)), outputs, strict=True)]
    return context_of(folder, bases["qwen"], rows, chat_template_path=str(path))


@pytest.mark.parametrize("strips", ["message.content | trim", "message.content.strip()", "message.content.lstrip()"])
def test_a_stripped_indentation_is_a_warning(bases, tmp_path, strips):
    finding = found(context(bases, tmp_path, strips, [CODE] * 4 + ["Yes."] * 16))["TEMPLATE_CHANGES_ANSWERS"]
    assert (finding.severity, finding.n_rows) == (Severity.WARNING, 4)
    assert finding.evidence[0].text.startswith("'    total = 0' is trained as 'total = 0\\n    for one")


def test_a_line_that_is_there_again_further_in_is_no_excuse(bases, tmp_path):
    code = "    one = 1\n    if two:\n        one = 1\n    return one"
    assert found(context(bases, tmp_path, "message.content | trim", [code] * 4))
    assert not found(context(bases, tmp_path, "message.content", [code] * 4))


def test_what_is_trimmed_around_other_answers_is_nothing(bases, tmp_path):
    outputs = ["\nYes.", " Yes.", "Yes.\n\n", "\n\n  \nYes.", "```python\n    x = 1\n```", "Yes.\n  - no\n"] * 3
    assert found(context(bases, tmp_path, "message.content | trim", outputs)) == {}
    assert found(context(bases, tmp_path, "message.content", [CODE] * 4)) == {}


@pytest.mark.parametrize(
    "changes",
    ["message.content.split() | join(' ')", "message.content | replace('\\n', ' ')", "message.content | tojson",
     "message.content | replace('  ', ' ')"],
)  # fmt: skip
def test_collapsed_or_escaped_answers_are_an_error_from_half_of_the_rows(bases, tmp_path, changes):
    lines = [f'First {n}.\nThen  "{n}".' for n in range(12)]
    finding = found(context(bases, tmp_path, changes, lines))["TEMPLATE_CHANGES_ANSWERS"]
    assert finding.severity is Severity.ERROR
    finding = found(context(bases, tmp_path, changes, lines + [f"Only {n}." for n in range(20)]))
    assert finding["TEMPLATE_CHANGES_ANSWERS"].severity is Severity.WARNING


def test_the_chosen_answer_of_a_pair_is_compared(bases, tmp_path):
    pairs = pairs_of([{**row, "output": CODE} for row in rows_of(4)])
    assert found(context_of(tmp_path, bases["llama3"], pairs, stage=Stage.DPO))  # its family's template trims
    assert not found(context_of(tmp_path, bases["gpt2"], pairs, stage=Stage.DPO))


def test_a_thought_that_a_template_writes_anew_is_no_change(bases, tmp_path):
    thought = "'<think>\\n' + message.content.split('</think>')[0].split('<think>')[-1].strip() + '\\n</think>\\n\\n'"
    answer = f"{thought} + message.content.split('</think>')[-1].lstrip('\\n')"
    rows = [f'<think>  Is it {n}?\nIt is.</think>{n}\n  is "right"' for n in range(8)]
    assert found(context(bases, tmp_path, answer, rows)) == {}
