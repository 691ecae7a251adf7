"""What other template engines make of the recipe's prompts, with the engines that are installed."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from pipelines.preflight.checks import CHECKS
from pipelines.preflight.engines.comparison import ENGINES, first_difference, other_engines
from pipelines.preflight.engines.node_engine import HuggingFaceJinja
from pipelines.records.finding import Finding, Severity
from tests.preflight.contexts import context_of, pretraining_context, rows_of, write_jsonl

MINIJINJA, TGI, NODE, LLAMA_CPP = (engine.name for engine in ENGINES)
CHAT = [{"role": "user", "content": "Where?"}, {"role": "assistant", "content": "In <Bath>.\n"}]
CALL = {"type": "function", "function": {"name": "look_up", "arguments": {"place": None, "name": "<é>"}}}
TOOL = {"type": "function", "function": {"name": "look_up", "description": "Looks it up.", "parameters": {
    "type": "object", "properties": {"place": {"type": "string"}, "name": {"type": "string"}},
}}}  # fmt: skip
ROWS: list[dict[str, Any]] = [
    {"messages": CHAT},
    {"messages": [{"role": "system", "content": " Be brief. "}, *CHAT, {"role": "user", "content": "Yes?\n"}, CHAT[1]]},
]
CALLS = [{"messages": [CHAT[0], {"role": "assistant", "content": "", "tool_calls": [CALL]}], "tools": [TOOL]}]

_LOOP = "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] }}"
_END = "{{ '<|im_end|>\\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"


def said_of(
    names: Sequence[str], folder: Path, base: Path, rows: Sequence[Mapping[str, Any]], template: str | None = None
) -> dict[str, Finding]:
    """The findings by the engine that begins their summary, of the engines `names`; their list under its id."""
    keys = {}
    if template is not None:
        (folder / "template.jinja").write_text(template)
        keys["chat_template_path"] = str(folder / "template.jinja")
    engines = [engine for engine in ENGINES if engine.name in names]
    found = list(other_engines(context_of(folder, base, rows, **keys), engines))
    listed = found.pop()
    assert listed.id == "TEMPLATE_ENGINES"
    assert all(one.id == "TEMPLATE_ENGINE_DIFFERS" for one in found)
    return {one.summary.partition(" renders ")[0]: one for one in found} | {listed.id: listed}


def installed(*names: str) -> list[str]:
    """The installed ones of `names`; skips without any."""
    found = [engine.name for engine in ENGINES if engine.name in names and engine.version() is not None]
    if not found:
        pytest.skip(f"none is installed of: {', '.join(names)}")
    return found


def test_an_excerpt_has_twenty_characters_before_and_after_the_difference():
    before = "0123456789" * 3
    assert first_difference(f"{before}a\n{before}", f"{before}b\n{before}") == (
        f'trained "{before[-20:]}a\\n012345678901234567", rendered "{before[-20:]}b\\n012345678901234567"'
    )


def test_a_text_that_is_only_shorter_ends_in_nothing():
    assert first_difference("ab", "") == 'trained "ab", rendered "nothing"'


def test_the_projects_template_is_rendered_alike_by_every_engine(gpt2, tmp_path):
    names = installed(MINIJINJA, TGI, NODE, LLAMA_CPP)
    found = said_of(names, tmp_path, gpt2, ROWS)
    assert not [name for name in names if name in found and found[name].severity is Severity.WARNING]
    for name in {NODE, LLAMA_CPP} & {*names}:
        assert name not in found


def test_tools_with_other_spaces_and_escapes_are_a_warning_if_rows_have_them_and_a_note_otherwise(gpt2, tmp_path):
    for name in installed(MINIJINJA, TGI):
        (tmp_path / name).mkdir()
        assert said_of([name], tmp_path / name, gpt2, ROWS)[name].severity is Severity.NOTE
        called = said_of([name], tmp_path / name, gpt2, CALLS)[name]
        assert called.severity is Severity.WARNING
        assert called.n_rows == 1
        assert '{"type": "function", ' in called.evidence[0].text
        assert '{"type":"function",' in called.evidence[0].text


def test_marks_in_a_spelling_that_servers_do_not_remove_are_reported(gpt2, tmp_path):
    template = _LOOP.replace("{{ '<", "{%- generation -%}{{ '<") + "{%- endgeneration -%}" + _END
    names = installed(MINIJINJA, TGI, NODE, LLAMA_CPP)
    found = said_of(names, tmp_path, gpt2, ROWS, template)
    for name in {MINIJINJA, TGI} & {*names}:
        assert "unknown statement generation" in found[name].evidence[0].text
        assert found[name].n_rows == len(ROWS)
    assert not {NODE, LLAMA_CPP} & found.keys()


def test_white_space_around_blocks_is_kept_by_tgi_alone(gpt2, tmp_path):
    names = installed(MINIJINJA, TGI, NODE, LLAMA_CPP)
    if TGI not in names:
        pytest.skip("minijinja is not installed")
    found = said_of(
        names, tmp_path, gpt2, ROWS, _LOOP + "\n    {% if message['role'] == 'tool' %}\n    {% endif %}\n" + _END
    )
    assert found.keys() == {TGI, "TEMPLATE_ENGINES"}
    assert found[TGI].evidence[0].row == 0


def test_a_place_in_a_later_row_is_named(gpt2, tmp_path):
    turn = "{% if message['role'] == 'system' %}{{ '%s' % 'once' }}{% endif %}"
    for name in installed(MINIJINJA, TGI):
        found = said_of([name], tmp_path, gpt2, ROWS, _LOOP + turn + _END)
        assert {one.row for one in found[name].evidence} == {1}
        assert found[name].n_rows == 1


def test_truth_values_are_written_as_javascript_does(gpt2, tmp_path):
    installed(NODE)
    found = said_of([NODE], tmp_path, gpt2, ROWS, _LOOP + "{{ true }}" + _END)
    assert "Where?True<|im_end|>" in found[NODE].evidence[0].text
    assert "Where?true<|im_end|>" in found[NODE].evidence[0].text


def test_llama_cpp_turns_thinking_on(gpt2, tmp_path):
    installed(LLAMA_CPP)
    found = said_of(
        [LLAMA_CPP], tmp_path, gpt2, ROWS, _LOOP + _END + "{% if enable_thinking %}{{ '<think>' }}{% endif %}"
    )
    assert found.keys() == {LLAMA_CPP, "TEMPLATE_ENGINES"}
    assert found[LLAMA_CPP].evidence[0].text.endswith('_start|>assistant\\n<think>"')


def test_a_template_that_keeps_llama_cpp_from_starting_is_reported_with_the_reason(gpt2, tmp_path):
    installed(LLAMA_CPP)
    found = said_of([LLAMA_CPP], tmp_path, gpt2, ROWS, _LOOP + "{{ 5 // 2 }}" + _END)
    assert "Unexpected token: /" in found[LLAMA_CPP].evidence[0].text


def test_an_engine_that_is_absent_is_listed(gpt2, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert HuggingFaceJinja().version() is None
    lines = [one.text for one in said_of([NODE], tmp_path, gpt2, ROWS)["TEMPLATE_ENGINES"].evidence]
    assert lines == [f"{NODE}: not installed (npm install @huggingface/jinja)"]


def test_rows_without_a_conversation_have_no_prompt_to_compare(gpt2, tmp_path):
    plain = context_of(tmp_path, gpt2, [{"text": row["output"]} for row in rows_of(5)])
    documents = write_jsonl(tmp_path / "documents.jsonl", ["One.", "Two.", "Three.", "Four."] * 20)
    corpus = pretraining_context(
        tmp_path / "corpus", dataset_name=str(documents),
        model_name_or_path=str(gpt2), n_validation_documents=2,
    )  # fmt: skip
    for context in (plain, corpus):
        assert [one.id for one in other_engines(context)] == ["TEMPLATE_ENGINES"]


def test_the_usual_checks_ask_no_engine(gpt2, tmp_path):
    context = context_of(tmp_path, gpt2, ROWS)
    assert "TEMPLATE_ENGINES" not in {one.id for check in CHECKS for one in check(context)}
