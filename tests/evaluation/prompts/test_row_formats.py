"""The prompt that is trained is the prompt that is measured and served, in every row format."""

from pathlib import Path
from typing import Any

import pytest

from data_prep.conversation import Conversation, RowFormat
from pipelines.errors import UserError
from pipelines.evaluation.compare.measuring import DecodingPlan, Measurement, MeasurementPlan, prompt_formats
from pipelines.evaluation.likelihood.documents import Scope, read_dataset
from pipelines.evaluation.likelihood.likelihood import DocumentLikelihood
from pipelines.evaluation.perplexity.measurement import Reading, measure
from pipelines.evaluation.prompts.given_template import GivenTemplate
from pipelines.evaluation.prompts.prompt import Prompt
from pipelines.evaluation.prompts.prompt_sets import read_prompts
from pipelines.files import sha256_of_text
from pipelines.hub.model_ref import ModelRef
from pipelines.inference.loading import load_for_inference
from pipelines.modeling import PromptStyle, load_tokenizer, render_prompt, render_reference
from pipelines.training.data.labels import RowTokenizer
from tests.run_files import write_jsonl

ASK, ANSWER = {"role": "user", "content": "Two and two?"}, {"role": "assistant", "content": "Four."}
AGAIN, SIX = {"role": "user", "content": "And two?"}, {"role": "assistant", "content": "Six."}
SYSTEM = {"role": "system", "content": "Be brief."}
FORMATS = {
    "raw": {"prompt": "def two():", "completion": "\n    return 2"},
    "instruction": {"instruction": "Add.", "input": "2 2", "output": "4"},
    "system": {"instruction": "Add.", "input": "2 2", "output": "4", "system": "Be brief."},
    "history": {"instruction": "And two?", "output": "Six.", "history": [["Two and two?", "Four."]]},
    "messages": {"messages": [SYSTEM, ASK, ANSWER, AGAIN, SIX]},
    "sharegpt": {"conversations": [{"from": "human", "value": "Two and two?"}, {"from": "gpt", "value": "Four."}]},
    "prompt_messages": {"prompt": [SYSTEM, ASK], "completion": [ANSWER]},
    "thoughts": {"messages": [ASK, {**ANSWER, "reasoning_content": "Two twos."}]},
}
KINDS = {
    "raw": RowFormat.PROMPT_COMPLETION, "messages": RowFormat.MESSAGES, "sharegpt": RowFormat.SHAREGPT,
    "prompt_messages": RowFormat.PROMPT_COMPLETION, "thoughts": RowFormat.MESSAGES,
}  # fmt: skip


THOUGHTS = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{% if m.role == 'assistant' %}<think>\n"
    "{{ m.reasoning_content or '' }}\n</think>\n{% endif %}{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def prompt_of(row: dict[str, Any], folder: Path) -> Prompt:
    return read_prompts(write_jsonl(folder / "rows.jsonl", [row]))[0]


@pytest.mark.parametrize("name", FORMATS)
def test_what_is_measured_and_served_are_the_tokens_that_are_trained(name, tiny, tmp_path):
    row = FORMATS[name]
    prompt = prompt_of(row, tmp_path)
    tiny = GivenTemplate("t", THOUGHTS).on(tiny) if name == "thoughts" else tiny  # ChatML has no place for them
    trained = RowTokenizer(tiny.tokenizer, KINDS.get(name, RowFormat.INSTRUCTION), 512)
    [example] = trained.examples(row, 0).examples
    served = render_prompt(tiny.tokenizer, prompt.asked)
    assert example.token_ids[: len(served)] == served
    response = prompt.response
    context, text = render_reference(tiny.tokenizer, response.asked, response.text, thought=response.thought)
    measured = [*context, *text]
    assert example.token_ids[: len(measured)] == measured
    assert tiny.tokenizer.decode(text) == prompt.reference
    assert example.labels[len(measured) - len(text) : len(measured)] == text, "in the loss"
    assert len(example.token_ids) - len(measured) in (1, 2), "the end alone is left"


TEMPLATES = {
    "space": "{% for m in messages %}{% if m.role == 'user' %}[I] {{ m.content }} [/I]{% else %} {{ m.content }} "
    "<|im_end|>{% endif %}{% endfor %}",
    "think": "{% for m in messages %}<|im_start|>{{ m.role }}\n{% if m.role == 'assistant' and loop.last %}<think>\n\n"
    "</think>\n\n{% endif %}{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}",
}


@pytest.mark.parametrize("model", ["tiny", "hf-stories260K"])
@pytest.mark.parametrize("name", TEMPLATES)
def test_each_turn_of_other_templates_is_measured_as_it_is_trained(name, model, tiny, request):
    tokenizer = tiny.tokenizer
    if model != "tiny":
        tokenizer = load_tokenizer(str(request.getfixturevalue("shared_data") / "models" / model))
        tokenizer.add_special_tokens({"extra_special_tokens": ["<|im_start|>", "<|im_end|>"]})
    tokenizer = GivenTemplate("t", TEMPLATES[name]).on_tokenizer(tokenizer)
    row = {"messages": [ASK, ANSWER, AGAIN, {"role": "assistant", "content": "Six, I think."}]}
    examples = RowTokenizer(tokenizer, RowFormat.MESSAGES, 1024).examples(row, 0).examples
    assert examples
    for turn in (1, 3):
        context, text = render_reference(
            tokenizer, Conversation(row["messages"][:turn]), row["messages"][turn]["content"]
        )
        measured = [*context, *text]
        assert any(one.token_ids[: len(measured)] == measured for one in examples)
        assert any(one.labels[len(context) : len(measured)] == text for one in examples)
        assert tokenizer.decode(text).strip() == row["messages"][turn]["content"]


def test_what_a_template_writes_before_the_text_is_context(tiny):
    tokenizer = GivenTemplate("t", THOUGHTS).on_tokenizer(tiny.tokenizer)
    context, text = render_reference(tokenizer, "Two and two?", "Four.", thought="Two twos.")
    assert tokenizer.decode(text) == "Four."
    assert tokenizer.decode(context).endswith("<|im_start|>assistant\n<think>\nTwo twos.\n</think>\n")
    plain, _ = render_reference(tokenizer, "Two and two?", "Four.", PromptStyle.PLAIN, thought="Two twos.")
    assert tokenizer.decode(plain) == "Two and two?\n\nTwo twos.\n\n"


def likelihoods(tiny_model_folder: Path, path: Path) -> dict[PromptStyle | None, list[DocumentLikelihood]]:
    documents = {Scope.RESPONSE: read_dataset(str(path), "test").in_scope(Scope.RESPONSE)}
    found = measure([ModelRef(str(tiny_model_folder))], documents, Reading(dtype="float64"))
    return {one.prompt_style: list(one.documents) for one in found}


def test_a_system_column_changes_the_likelihood_in_both_styles(tiny_model_folder, tmp_path):
    row = FORMATS["instruction"]
    without = likelihoods(tiny_model_folder, write_jsonl(tmp_path / "rows.jsonl", [row, row]))
    systems = likelihoods(tiny_model_folder, write_jsonl(tmp_path / "rows.jsonl", [row | {"system": "Be brief."}] * 2))
    assert set(without) == set(systems) == {PromptStyle.PLAIN, PromptStyle.CHAT}
    for style in without:
        assert without[style][0].n_bytes == systems[style][0].n_bytes
        assert without[style][0].nll_nats != systems[style][0].nll_nats


def test_each_trained_turn_is_a_document_given_what_comes_before_it(tiny_model_folder, tmp_path):
    rows = [{"messages": [ASK, ANSWER, AGAIN, SIX]}, {"messages": [ASK, ANSWER | {"weight": 0}]}]
    path = write_jsonl(tmp_path / "rows.jsonl", rows)
    documents = read_dataset(str(path), "test").in_scope(Scope.RESPONSE)
    assert documents.groups == ["row 1", "row 1"]
    assert read_dataset(str(path), "test").default_scopes() == [Scope.RESPONSE]
    found = likelihoods(tiny_model_folder, path)[PromptStyle.CHAT]
    assert [one.n_bytes for one in found] == [5, 4]
    alone = [FORMATS["history"], {"instruction": "Two and two?", "output": "Four."}]
    expected = likelihoods(tiny_model_folder, write_jsonl(tmp_path / "rows.jsonl", alone))[PromptStyle.CHAT]
    nats = [one.nll_nats for one in expected]  # of history's turn, its last turn, and the single one
    assert [one.nll_nats for one in found] == pytest.approx(nats[:2], rel=1e-12)
    assert nats[0] == pytest.approx(nats[2], rel=1e-12)


def test_rows_trained_as_plain_text_are_given_to_every_model_as_they_are(tiny_model_folder, tmp_path):
    path = write_jsonl(tmp_path / "rows.jsonl", [FORMATS["raw"], FORMATS["raw"]])
    assert set(likelihoods(tiny_model_folder, path)) == {PromptStyle.RAW}
    prompts = read_prompts(path)
    plan = MeasurementPlan(DecodingPlan(max_new_tokens=4, num_samples=0))
    loaded = load_for_inference(str(tiny_model_folder), name="base")
    measurement = Measurement(prompts, plan)
    base, instruct = measurement.base(loaded, str(tiny_model_folder)), measurement.instruct(loaded)
    assert (base.prompt_style, instruct.prompt_style) == (PromptStyle.RAW, PromptStyle.RAW)
    assert set(base.likelihoods) == {PromptStyle.RAW}
    assert prompt_formats([base], plan) == {
        "style": {"base": "raw"}, "template_sha256": {"base": None}, "chat_template": None, "lost_in_template": {},
    }  # fmt: skip


def test_a_given_template_takes_the_place_of_the_models_own(tiny_model_folder, tmp_path):
    (tmp_path / "other.jinja").write_text(
        "{% for m in messages %}{{ m.role }}: {{ m.content }}<|im_end|>{% endfor %}A:"
    )
    given = GivenTemplate.read(str(tmp_path / "other.jinja"))
    loaded = load_for_inference(str(tiny_model_folder), name="instruct")
    plan = MeasurementPlan(DecodingPlan(max_new_tokens=4, num_samples=0), template=given)
    measured = Measurement([Prompt(0, "Add.", reference="4")], plan).instruct(loaded)
    assert measured.template_sha256 == sha256_of_text(given.text)
    assert prompt_formats([measured], plan)["chat_template"] == {
        "name": "other.jinja",
        "sha256": given.to_json()["sha256"],
    }
    rendered = render_prompt(given.on(loaded).tokenizer, "Add.")
    assert loaded.tokenizer.decode(rendered) == "user: Add.<|im_end|>A:"
    assert "im_start" in str(loaded.tokenizer.chat_template), "the model's own is as before"
    folder = GivenTemplate.read(str(tiny_model_folder))
    assert folder.text == loaded.tokenizer.chat_template


def test_what_the_template_loses_is_counted_and_reported(tiny, capsys):
    call = {"type": "function", "function": {"name": "add_up", "arguments": {"a": 2}}}
    tools = [{"type": "function", "function": {"name": "add_up", "parameters": {"type": "object", "properties": {}}}}]
    called = {"role": "assistant", "content": "", "tool_calls": [call]}
    asked = [
        Conversation([ASK, called, {"role": "tool", "content": "4"}], tools), Conversation([ASK, ANSWER, AGAIN]), "a",
    ]  # fmt: skip
    tiny = GivenTemplate("no tools", TEMPLATES["think"]).on(tiny)
    plan = MeasurementPlan(DecodingPlan(max_new_tokens=2, num_samples=0))
    prompts = [Prompt(place, "a", context=None if one == "a" else one) for place, one in enumerate(asked)]
    measured = Measurement(prompts, plan).instruct(tiny)
    [(reason, n)] = measured.template_losses.items()
    assert n == 1
    assert prompt_formats([measured], plan)["lost_in_template"] == {"tiny": {reason: 1}}
    assert f"tiny: the chat template loses part of 1 of 3 prompts: {reason}" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["nowhere", "empty"])
def test_a_place_without_a_template_is_refused(name, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"--chat_template .* (has no chat template|does not exist); give a"):
        GivenTemplate.read(str(tmp_path / name))
