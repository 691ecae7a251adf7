"""Kinds of conversations that a template loses, moves or ends in its own way; each turn is trained as it is served."""

import json
import subprocess
import sys
from datetime import date
from typing import Any

import pytest

from pipelines.errors import UserError
from pipelines.modeling import end_token, ensure_chat_template, load_tokenizer
from pipelines.modeling.assistant_masks import UnrenderableError, assistant_turns, render_turns
from pipelines.modeling.chat.dates import pin_date
from pipelines.modeling.chat.end_tokens import end_tokens
from pipelines.modeling.chat.template_input import template_messages
from pipelines.training.serving_check import reloaded_tokenizer
from tests.modeling.template_families import COLUMNS, FAMILIES, OF_TRL, TRL, tokenizer_of, verdict

_PLAIN = (
    "{%- for m in messages -%}{{- '<|im_start|>' + m.role + '\\n' + m.content + '<|im_end|>\\n' -}}{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\\n' -}}{%- endif -%}"
)


def user(text: Any) -> dict[str, Any]:
    return {"role": "user", "content": text}


def said(text: Any, **more: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": text, **more}


def call(name: str = "look_up", **arguments: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, "arguments": arguments}}


def ready(name: str) -> Any:
    tokenizer = tokenizer_of(name)
    ensure_chat_template(tokenizer)
    return tokenizer


def with_template(template: str) -> Any:
    tokenizer = tokenizer_of("ZEPHYR")
    tokenizer.add_special_tokens({"extra_special_tokens": ["<|im_start|>", "<|im_end|>"]})
    tokenizer.chat_template = template
    ensure_chat_template(tokenizer)
    return tokenizer


def contexts(tokenizer: Any, messages: list[Any]) -> list[list[int]]:
    """The ids before each trained turn."""
    found = []
    for segments in render_turns(tokenizer, messages):
        before: list[int] = []
        for segment in segments:
            if segment.trained:
                found.append(list(before))
            before += segment.token_ids
    return found


def assert_served(tokenizer: Any, talk: list[Any]) -> None:
    """Each answer is trained after exactly the ids that serving gives."""
    places = [place for place, one in enumerate(talk) if one["role"] == "assistant"]
    assert contexts(tokenizer, talk) == [
        tokenizer.apply_chat_template(talk[:place], add_generation_prompt=True, return_dict=False) for place in places
    ]


def test_leading_newlines_of_an_answer_do_not_change_the_context_of_the_next_turn(shared_data):
    """Qwen's tokenizer joins the header's newline with those of the answer once the prompt has both."""
    tokenizer = load_tokenizer(str(shared_data / "tokenizers" / "qwen2.5"))
    ensure_chat_template(tokenizer)
    talk = [user("One?"), said("\n\nFirst."), user("Two?"), said("Second."), user("Three?"), said("Third.")]
    assert_served(tokenizer, talk)
    assert [len(segments) for segments in render_turns(tokenizer, talk)] == [2, 4]  # two turns share an example


@pytest.mark.parametrize("model", ["hf-stories260K", "hf-babyllama-tok361"])
def test_an_answer_has_no_token_that_serving_does_not_give(model, shared_data):
    tokenizer = load_tokenizer(str(shared_data / "models" / model))
    ensure_chat_template(tokenizer)
    talk = [user("One?"), said("once."), user("Two?"), said("twice.")]
    assert_served(tokenizer, talk)
    first = next(one for segments in render_turns(tokenizer, talk) for one in segments if one.trained)
    assert not tokenizer.convert_ids_to_tokens(first.token_ids)[0].startswith("\u2581")


def test_a_template_that_moves_the_system_turn_is_trained_as_a_fresh_process_serves_it(tmp_path):
    tokenizer = ready("MISTRAL")
    talk = [{"role": "system", "content": "Be brief."}, user("One?"), said("First."), user("Two?"), said("Second.")]
    first, second = assistant_turns(tokenizer, talk)
    assert first.prompt == "<s>[INST] Be brief.\n\nOne?[/INST]"
    assert second.prompt == "<s>[INST] One?[/INST] First.</s>[INST] Be brief.\n\nTwo?[/INST]"
    assert (first.text, second.text) == (" First.</s>", " Second.</s>")
    assert_served(tokenizer, talk)
    tokenizer.save_pretrained(tmp_path)
    program = (
        "import json, sys; from transformers import AutoTokenizer; t = AutoTokenizer.from_pretrained(sys.argv[1]);"
        "m = json.loads(sys.argv[2]); print(json.dumps([t.apply_chat_template(m[:n], add_generation_prompt=True,"
        " return_dict=False) for n in (2, 4)]))"
    )
    command = [sys.executable, "-c", program, str(tmp_path), json.dumps(talk)]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    assert json.loads(run.stdout.splitlines()[-1]) == contexts(tokenizer, talk)


def test_ids_of_calls_are_supplied_only_where_the_row_has_none():
    talk = [user("Where?"), said("", tool_calls=[call(place="Bath")]), {"role": "tool", "content": "51 N"}]
    [_, spoken, result] = template_messages(ready("MISTRAL"), talk)
    assert spoken["tool_calls"][0]["id"] == result["tool_call_id"] == "call00000"
    assert "id" not in template_messages(ready("FUNCTIONARY"), talk)[1]["tool_calls"][0]
    talk[1]["tool_calls"][0]["id"] = "abcdefghi"
    assert template_messages(ready("MISTRAL"), talk)[1]["tool_calls"][0]["id"] == "abcdefghi"


def test_arguments_are_json_text_where_the_template_joins_strings():
    talk = [user("Where?"), said("", tool_calls=[call(place="Köln", near=None)])]
    [turn] = assistant_turns(ready("DEEPSEEK_V3"), talk)  # calls need no tools
    assert '<｜tool▁sep｜>{"place": "Köln", "near": null}<｜tool▁call▁end｜>' in turn.text


def test_a_thought_after_a_prompt_that_turns_thinking_off_is_refused():
    talk = [user("Who?"), said("Jane.", reasoning_content="It was Jane.")]
    for name in ("qwen3", "qwen3_6", "nemotron_3_nano"):
        with pytest.raises(UnrenderableError, match="prompt_is_no_prefix"):
            assistant_turns(ready(name), talk, template_arguments={"enable_thinking": False})
        [turn] = assistant_turns(ready(name), [talk[0], said("Jane.")], template_arguments={"enable_thinking": False})
        assert turn.text == "Jane.<|im_end|>"


def test_what_follows_an_end_inside_a_turn_is_not_trained():
    with pytest.raises(UnrenderableError, match=r"end_token_inside_turn: 'Here.<\|eot\|>'"):
        assistant_turns(ready("NEMOTRON_NANO"), [user("Where?"), said("Here.", tool_calls=[call(place="Bath")])])


def test_an_end_that_the_row_spells_itself_does_not_end_the_turn():
    for text, trained in (("a<|im_end|>b", "a<|im_end|>b<|im_end|>"), ("a<|im_end|>", "a<|im_end|>")):
        [turn] = assistant_turns(with_template(_PLAIN), [user("Write ChatML."), said(text)])
        assert turn.text == trained


def test_a_turn_that_ends_with_what_comes_next_needs_a_generation_config_that_stops_there(tmp_path):
    """GLM writes no end: generation stops at the mark of the next turn, <|user|> or <|observation|>."""
    tokenizer = tokenizer_of("glm4moe")
    with pytest.raises(UserError, match="expected a special token"):
        end_token(tokenizer)
    ids = tokenizer.convert_tokens_to_ids(["<|user|>", "<|observation|>"])
    (tmp_path / "generation_config.json").write_text(json.dumps({"eos_token_id": ids}))
    tokenizer.save_pretrained(tmp_path)
    tokenizer = load_tokenizer(str(tmp_path))
    ensure_chat_template(tokenizer)
    assert end_tokens(tokenizer) == ("<|user|>", "<|observation|>")
    tool = {"type": "function", "function": {"name": "look_up", "parameters": {"properties": {"place": {}}}}}
    talk = [user("Where?"), said("", tool_calls=[call(place="Bath")]), {"role": "tool", "content": "51 N"}, said("51.")]
    called, answered = assistant_turns(tokenizer, talk, tools=[tool])
    assert called.text.endswith("</tool_call><|observation|>")
    assert answered.text.endswith("51.<|user|>")


@pytest.mark.parametrize(
    ("message", "template", "reason"),
    [
        ({"role": "system", "content": "Be brief."}, "m.role != 'system'", "template_drops_system"),
        ({"role": "developer", "content": "Be brief."}, "m.role != 'developer'", "template_drops_system"),
        ({"role": "tool", "content": "51 N"}, "m.role != 'tool'", "template_drops_text: tool"),
        (said("Hm.", tool_calls=[call()]), "true", "template_drops_tools: the name of a call"),
    ],
)
def test_what_a_template_drops_is_the_reason_of_the_row(message, template, reason):
    kept = _PLAIN.replace("endfor", "endif -%}{%- endfor").replace("-%}{{-", f"-%}}{{%- if {template} -%}}{{{{-", 1)
    tokenizer = with_template(kept)
    assert assistant_turns(tokenizer, [user("Where?"), said("Here.")])
    with pytest.raises(UnrenderableError, match=reason):
        assistant_turns(tokenizer, [user("Hi."), message, user("Where?"), said("Here.")], trained_turns=[3])


def test_text_parts_are_a_list_where_the_template_writes_each_and_joined_where_it_reads_text():
    parts = [{"type": "text", "text": "One."}, {"type": "text", "text": "Two."}]
    each = "(m.content if m.content is string else m.content | map(attribute='text') | join(' | '))"
    for content, text in (("m.content", "One.\nTwo."), (each, "One. | Two."), ("m.content | string", "One.\nTwo.")):
        tokenizer = with_template(_PLAIN.replace("m.content", content))
        assert text in assistant_turns(tokenizer, [user(parts), said("Yes.")])[0].prompt


def test_a_template_that_writes_the_date_is_rendered_with_the_pinned_day():
    tokenizer = ready("llama3_2")
    assert pin_date(ready("qwen3"), "2024-02-29") is None
    assert pin_date(tokenizer, None) == date.today().isoformat()
    assert pin_date(tokenizer, "2024-02-29") == "2024-02-29"
    [turn] = assistant_turns(tokenizer, [user("When?"), said("Now.")])
    assert "Today Date: 29 Feb 2024\n" in turn.prompt
    assert reloaded_tokenizer(tokenizer).template_date == "2024-02-29"
    with pytest.raises(UserError, match="expected YYYY-MM-DD"):
        pin_date(tokenizer, "yesterday")


def test_an_answer_begins_at_its_own_text_where_prompt_and_whole_differ_in_white_space_alone():
    """As in templates that are written over several lines, whose indentation is rendered."""
    tokenizer = with_template(
        "{%- for m in messages -%}{{- '<|im_start|>' + m.role + '\\n' + ('    ' if m.role == 'assistant' else '') -}}"
        "{{- m.content + '<|im_end|>' + ('' if loop.last else '\\n') -}}{%- endfor -%}"
        "{%- if add_generation_prompt -%}{{- '\\n<|im_start|>assistant\\n\\n' -}}{%- endif -%}"
    )
    first, second = assistant_turns(tokenizer, [user("1 + 1?"), said("It is 2."), user("And 3?"), said("\n\nIt is 5.")])
    assert first.prompt.endswith("<|im_start|>assistant\n\n")
    assert first.text == "It is 2.<|im_end|>"
    assert second.text.strip() == "It is 5.<|im_end|>"


@pytest.mark.parametrize("name", FAMILIES)
def test_a_family_is_right_or_refused_for_the_true_reason(name, tmp_path):
    found = {column: verdict(name, column, tmp_path) for column in COLUMNS}
    assert {column: text for column, text in found.items() if not text.startswith(("right", "refused: "))} == {}
    for column, text in found.items():
        assert text.startswith("refused") == FAMILIES[name].expected(column).startswith("!")


def test_every_template_that_trl_ships_is_in_the_table():
    plain = {path.stem for path in TRL.glob("*.jinja") if not path.stem.endswith("_training")}
    assert plain == OF_TRL
    assert len(FAMILIES) >= 40
