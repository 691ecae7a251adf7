"""A case: rows, tokenizer and base as the run will have them, and no weight loaded."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from datasets import Dataset

from pipelines.errors import UserError
from pipelines.inference.teacher_forcing import IGNORED
from pipelines.preflight.check_context import Stage
from pipelines.preflight.context_builder import build_context
from pipelines.preflight.run_checks import run_checks
from pipelines.recipe import Recipe, parse_recipe
from pipelines.recipe.stages import ARGUMENTS, stage_of
from pipelines.records.finding import Severity
from pipelines.training.data.instruction_set import instruction_set
from pipelines.training.data.ledger import RowFate
from tests.conftest import PROJECT
from tests.preflight.contexts import base_of, context_of, opened, pretraining_context, recipe_of, rows_of, write_jsonl

TURNS = [("user", "One?"), ("assistant", "First."), ("user", "Two?"), ("assistant", "Second.")]


def talk(turns: Sequence[tuple[str, str]]) -> dict[str, Any]:
    return {"messages": [{"role": role, "content": content} for role, content in turns]}


def test_what_is_seen_is_what_the_run_trains_token_by_token(base, tmp_path):
    too_long, no_answer = {"instruction": "A", "output": "word " * 600}, {"instruction": "B", "output": ""}
    rows = [*rows_of(20), too_long, no_answer]
    context = context_of(tmp_path, base, rows, rows_of(4, "another"))
    as_trained, ledger, held_out = instruction_set(
        Dataset.from_list([dict(row.values) for row in context.train.rows]),
        Dataset.from_list([dict(row.values) for row in context.held_out.rows]) if context.held_out else None,
        context.data,  # type: ignore[arg-type]
        context.training,  # type: ignore[arg-type]
    ).tokenize(context.tokenizer)
    assert [example.labels for example in context.examples()] == list(as_trained["labels"])
    assert context.held_out is not None
    assert {**context.train.ledger.to_json(), "held_out": context.held_out.ledger.to_json()} == ledger.to_json()
    assert held_out is not None
    assert [row.examples[0].token_ids for row in context.held_out.rows] == list(held_out["input_ids"])
    assert [row.reason for row in context.train.rows[-2:]] == ["longer_than_max_length", "empty_output"]


def test_no_weight_is_needed(base, tmp_path):
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json"):
        (tmp_path / "bare").mkdir(exist_ok=True)
        (tmp_path / "bare" / name).write_bytes((base / name).read_bytes())
    context = context_of(tmp_path, tmp_path / "bare", rows_of(4))
    assert {parameter.device.type for parameter in context.base.skeleton.parameters()} == {"meta"}
    assert context.base.is_tied
    assert context.base.n_embedding_rows == context.base.config.vocab_size


def test_a_sample_is_drawn_once_for_all_and_keeps_its_row_numbers(base, tmp_path):
    recipe = recipe_of(tmp_path, base, rows_of(300))
    first, again = (build_context(recipe, Stage.SFT, max_rows=50)[0].train for _ in range(2))
    numbers = [row.number for row in first.rows]
    assert numbers == sorted(set(numbers)) == [row.number for row in again.rows]
    assert len(numbers) == 50
    assert first.n_rows == 300
    assert first.is_sample
    assert all(row.values["instruction"].endswith(f" {row.number}.") for row in first.rows)
    assert len(build_context(recipe, Stage.SFT, max_rows=None)[0].train.rows) == 300


def test_a_conversation_is_seen_as_what_is_asked_and_what_is_answered(base, tmp_path):
    turns = [("system", "Be brief."), *TURNS]
    [row] = context_of(tmp_path, base, [talk(turns)]).train.rows
    assert row.asked == "Be brief.\nOne?\nTwo?"
    assert row.answers == ("First.", "Second.")
    assert [message["role"] for message in row.messages] == [role for role, _ in turns]


def test_a_pair_has_two_answers_and_two_examples(base, tmp_path):
    pairs = [{"instruction": row["instruction"], "chosen": row["output"], "rejected": "No."} for row in rows_of(6)]
    context = context_of(
        tmp_path, base, [*pairs, {**pairs[0], "chosen": "x" * 2000}], stage=Stage.DPO, learning_rate=5e-6
    )
    row = context.train.rows[0]
    assert row.answers == (pairs[0]["chosen"], "No.")
    assert [context.tokenizer.decode([t for t in one.labels if t != IGNORED]) for one in row.examples] == [
        f"{pairs[0]['chosen']}<|im_end|>",
        "No.<|im_end|>",
    ]
    assert context.train.rows[-1].fate is RowFate.DROPPED


def test_a_pair_at_which_the_run_stops_is_a_finding(base, tmp_path):
    pairs = [{"instruction": row["instruction"], "chosen": row["output"], "rejected": "No."} for row in rows_of(6)]
    keys = {"stage": Stage.DPO, "learning_rate": 5e-6, "long_rows": "error"}
    context, [finding] = opened(tmp_path, base, [*pairs, {**pairs[0], "chosen": "x" * 2000}], **keys)
    assert finding.id == "ROW_TOO_LONG"
    assert "row 6" in finding.summary
    assert context.n_update_steps == 9, "six pairs in batches of two, three epochs"


def test_documents_are_sampled_for_pretraining(base, tmp_path):
    corpus = write_jsonl(tmp_path / "corpus.jsonl", (row["output"] for row in rows_of(40)))
    context = pretraining_context(tmp_path, model_name_or_path=base, dataset_name=corpus, max_length=64)
    assert context.held_out is not None
    assert len(context.train.rows) + len(context.held_out.rows) == 40
    assert context.train.rows[0].asked == ""
    assert context.train.rows[0].examples[0].n_trained == len(context.train.rows[0].examples[0])


def test_a_refusal_is_a_finding_and_the_rows_are_looked_at_all_the_same(base, tmp_path):
    context, [finding] = opened(tmp_path, base, rows_of(10), eos_token="<|endoftext|>")
    assert finding.id == "END_TOKEN_MISMATCH"
    assert finding.severity is Severity.ERROR
    assert finding.fix == {"eos_token": "<|im_end|>"}
    assert all(row.examples for row in context.train.rows)


@pytest.mark.parametrize("family", ["qwen", "gpt2"])  # with a template of its own to go on with, and without one
def test_a_template_that_cannot_be_used_leaves_the_texts_to_look_at(family, tmp_path):
    base = base_of(family, tmp_path / family)
    template = tmp_path / "endless.jinja"
    template.write_text(
        "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}"
        "{% if add_generation_prompt %}assistant: {% endif %}"
    )
    context, [finding] = opened(tmp_path, base, rows_of(10), chat_template_path=str(template))
    assert finding.id == "END_TOKEN_NOT_TRAINED"
    assert context.train.rows[3].answers == (rows_of(4)[3]["output"],)


def test_what_is_not_there_is_no_finding(base, tmp_path):
    recipe = recipe_of(tmp_path, base, rows_of(4), dataset_name=str(tmp_path / "absent"))
    with pytest.raises(UserError, match="absent"):
        build_context(recipe, Stage.SFT)


def test_an_examination_tells_the_worst_first_and_each_refusal_once(base, tmp_path):
    recipe = recipe_of(tmp_path, base, rows_of(10), eos_token="<|endoftext|>", learning_rate=0.5)
    found = run_checks(recipe, Stage.SFT)
    order = list(Severity)
    places = [order.index(finding.severity) for finding in found.findings]
    assert places == sorted(places)
    assert [finding.id for finding in found.findings].count("END_TOKEN_MISMATCH") == 1
    record = json.loads(json.dumps(found.to_json()))
    assert record["n_errors"] == len(found.of(Severity.ERROR)) == 1


@pytest.mark.parametrize(
    ("keys", "stage"),
    [
        ({"learning_rate": 1, "use_peft": True, "packing": True}, Stage.SFT),
        ({"beta": 0.1, "use_peft": True}, Stage.DPO),
        ({"adapter_name_or_path": "x", "beta": 0.1}, Stage.DPO),
        ({"adapter_name_or_path": "x", "packing": True}, Stage.SFT),
        ({"model_type": "llama", "model_config": {}}, Stage.PRETRAIN),
        ({"text_column": "text", "learning_rate": 1}, Stage.PRETRAIN),
        ({}, Stage.SFT),
    ],
)
def test_a_recipe_s_keys_say_which_program_it_is_for(keys, stage):
    assert stage_of(Path("mine.yaml"), keys) is stage


def test_every_shipped_recipe_is_told_by_its_folder():
    recipes = sorted((PROJECT / "recipes").glob("*/*/*.yaml"))
    assert len(recipes) >= 75
    for path in recipes:
        assert stage_of(path, yaml.safe_load(path.read_text())).value == path.parent.name, path


def test_rows_keep_the_numbers_of_their_file_where_some_are_held_out_of_it(base, tmp_path):
    context = context_of(tmp_path, base, rows_of(40), eval_strategy="steps", test_split_size=0.25)
    assert context.held_out is not None
    seen = [*context.train.rows, *context.held_out.rows]
    assert sorted(row.number for row in seen) == list(range(40))
    assert all(row.values["instruction"].endswith(f" {row.number}.") for row in seen)


@pytest.mark.parametrize(
    "messages",
    [
        [("assistant", "Hello! How can I help?"), ("user", "One?"), ("assistant", "First.")],
        [("assistant", "Hello! How can I help?")],
    ],
)
def test_a_conversation_that_begins_with_a_greeting_is_read(messages, base, tmp_path):
    [seen] = context_of(tmp_path, base, [talk(messages)]).train.rows
    assert seen.answers == ("First.",) * (len(messages) > 1)
    assert seen.fate is (RowFate.KEPT if len(messages) > 1 else RowFate.DROPPED)


@pytest.mark.parametrize("text", ["{%- for m in messages %}", "{{ messages[0].content + 3 }}", "{{ 1/0 }}"])
def test_a_template_that_does_not_run_is_one_line(text, base, tmp_path):
    (tmp_path / "broken.jinja").write_text(text)
    with pytest.raises(UserError):
        context_of(tmp_path, base, rows_of(2), chat_template_path=str(tmp_path / "broken.jinja"))


def test_half_a_surrogate_pair_in_a_file_is_one_line(base, tmp_path):
    rows = [*rows_of(3), {"instruction": "half \ud83d", "output": "x"}]
    with pytest.raises(UserError, match="not unicode"):
        context_of(tmp_path, base, rows)


def test_a_general_text_that_is_not_there_is_said_before_a_run(base, tmp_path):
    with pytest.raises(UserError, match=r"absent\.txt"):
        context_of(tmp_path, base, rows_of(2), general_text="absent.txt")


def test_a_corpus_that_is_all_held_out_is_one_line(base, tmp_path):
    corpus = write_jsonl(tmp_path / "corpus.jsonl", (row["output"] for row in rows_of(40)))
    streamed = {"streaming": True, "max_steps": 2, "max_length": 64}
    with pytest.raises(UserError, match="lower n_validation_documents"):
        pretraining_context(tmp_path, model_name_or_path=base, dataset_name=corpus, **streamed)


def test_the_answers_that_are_seen_are_those_that_train_on_puts_into_the_loss(base, tmp_path):
    context = context_of(tmp_path, base, [talk(TURNS)], train_on="last_turn")
    [row] = context.train.rows
    assert row.answers == ("Second.",)
    assert row.asked == "One?\nFirst.\nTwo?"
    [example] = row.examples
    trained = [label for label in example.labels if label != IGNORED]
    assert context.tokenizer.decode(trained) == "Second.<|im_end|>"
    assert not [finding for finding in run_checks(case_recipe(tmp_path), Stage.SFT).findings if "SERVED" in finding.id]


def case_recipe(folder: Path) -> Recipe:
    return parse_recipe(ARGUMENTS[Stage.SFT], ["--config", str(folder / "recipe.yaml")])
