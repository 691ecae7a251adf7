"""Headers, system turns and texts that a prompt has twice, headers in the loss, and templates of many families."""

from functools import partial
from pathlib import Path
from typing import Any

import pytest
from trl.chat_template_utils import gemma3_training_chat_template, llama3_training_chat_template

from pipelines.modeling import CHATML
from pipelines.preflight.checks.tokens.repeated_turns import CHECKS
from pipelines.records.finding import Finding, Severity
from tests.preflight.contexts import Bases, context_of, findings_by_id, rows_of

HEAD = "{%- for message in messages -%}"
TAIL = "{%- endfor -%}{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\\n' -}}{%- endif -%}"
TURN = "{{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' -}}"
DEFAULT = "{{- '<|im_start|>system\\nBe helpful.<|im_end|>\\n' -}}"
# As gpt-oss has it: its own system turn, then the row's text as the developer's.
HARMONY = (
    "{{- '<|start|>system<|message|>You are a model.\\n\\nReasoning: low<|end|>' -}}" + HEAD +
    "{{- '<|start|>' + ('developer' if message.role == 'system' else message.role) + "
    "('<|channel|>final' if message.role == 'assistant' else '') + '<|message|>' + message.content + "
    "('<|return|>' if message.role == 'assistant' else '<|end|>') -}}{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{- '<|start|>assistant' -}}{%- endif -%}"
)  # fmt: skip
MISTRAL = (
    "{%- set system = messages[0].content + '\\n\\n' if messages[0].role == 'system' else '' -%}" + HEAD +
    "{%- if message.role == 'user' -%}{{- '[INST] ' + (system if loop.index0 < 2 else '') + message.content + "
    "' [/INST]' -}}{%- elif message.role == 'assistant' -%}{{- ' ' + message.content + eos_token -}}{%- endif -%}"
    "{%- endfor -%}"
)  # fmt: skip
VICUNA = HEAD + "{{- {'user': 'USER: ', 'assistant': 'ASSISTANT: ', 'system': ''}[message.role] + message.content + "\
    "(eos_token if message.role == 'assistant' else ' ') -}}{%- endfor -%}"  # fmt: skip
found = partial(findings_by_id, CHECKS)


def system_rows(n: int, system: str = "You are a patient teacher of children.") -> list[dict[str, Any]]:
    return [
        {"messages": [{"role": "system", "content": system}, {"role": "user", "content": row["instruction"]},
                      {"role": "assistant", "content": row["output"]}]}
        for row in rows_of(n)
    ]  # fmt: skip


def under(template: str, bases: Bases, folder: Path, rows: list[Any], family: str = "qwen") -> dict[str, Finding]:
    path = folder / "template.jinja"
    path.write_text(template)
    return found(context_of(folder, bases[family], rows, chat_template_path=str(path)))


@pytest.mark.parametrize(
    ("family", "template"),
    [("qwen", CHATML), ("llama3", llama3_training_chat_template), ("gpt2", HARMONY), ("gpt2", MISTRAL),
     ("gpt2", gemma3_training_chat_template.replace("bos_token", "''")),
     ("qwen", "{%- if messages[0].role != 'system' -%}" + DEFAULT + "{%- endif -%}" + HEAD + TURN + TAIL)],
)  # fmt: skip
def test_templates_as_they_are_give_nothing(bases, tmp_path, family, template):
    assert under(template, bases, tmp_path, system_rows(6), family) == {}
    assert under(template, bases, tmp_path, rows_of(6), family) == {}


@pytest.mark.parametrize(
    ("template", "what"),
    [
        (DEFAULT + HEAD + TURN + TAIL, "'<|im_start|>system' twice before the system turn"),
        ("{{- messages[0].content + '\\n' -}}" + HEAD + TURN + TAIL, "the system text twice"),
        (HEAD + "{%- if message.role == 'user' -%}{{- '<|im_start|>user\\n' -}}{%- endif -%}" + TURN + TAIL,
         "'<|im_start|>user' twice before the user's turn"),
        (HEAD + "{{- '### ' + message.role + ':\\n### ' + message.role + ':\\n' + message.content + eos_token -}}"
         "{%- endfor -%}{%- if add_generation_prompt -%}{{- '### assistant:\\n### assistant:\\n' -}}{%- endif -%}",
         "'### system:' twice before the system turn"),
    ],
)  # fmt: skip
def test_what_is_written_twice_is_named(bases, tmp_path, template, what):
    finding = under(template, bases, tmp_path, system_rows(6))["TURN_RENDERED_TWICE"]
    assert (finding.severity, finding.n_rows) == (Severity.WARNING, 6)
    assert what in finding.summary


def test_a_default_system_text_is_nothing_for_rows_without_a_system_turn(bases, tmp_path):
    assert under(DEFAULT + HEAD + TURN + TAIL, bases, tmp_path, rows_of(6)) == {}


def test_rows_with_two_system_turns_are_found(bases, tmp_path):
    rows = system_rows(10)
    for row in rows[:3]:
        row["messages"].insert(0, {"role": "system", "content": "You are a helpful assistant."})
    finding = found(context_of(tmp_path, bases["gpt2"], rows))["TURN_RENDERED_TWICE"]
    assert finding.n_rows == 3
    assert "two system turns" in finding.summary
    assert found(context_of(tmp_path, bases["gpt2"], [*rows[2:], *system_rows(60)])) == {}


def test_a_short_system_text_in_a_request_is_chance(bases, tmp_path):
    rows = system_rows(10, "Write one sentence")
    assert found(context_of(tmp_path, bases["gpt2"], rows)) == {}


@pytest.mark.parametrize("template", [HEAD + TURN + "{%- endfor -%}", VICUNA])
def test_a_header_in_the_loss_is_an_error(bases, tmp_path, template):
    finding = under(template, bases, tmp_path, rows_of(6))["TRAINING_PROMPT_NOT_SERVED"]
    assert finding.severity is Severity.ERROR
    assert "assistant" in finding.summary.lower()
