"""Rows are read, and tokenized, once for doctor and training."""

import pytest

from pipelines.preflight.check_context import Stage
from pipelines.preflight.context_builder import build_context
from pipelines.training.data.labels import RowTokenizer
from pipelines.training.data.preference_pairs import tokenize_pairs
from pipelines.training.inputs import dpo_inputs, sft_inputs
from tests.preflight.contexts import pairs_of, recipe_of, rows_of

ROWS = [*rows_of(30), {"instruction": "A", "output": "word " * 600}, {"instruction": "B", "output": ""}]


@pytest.mark.parametrize(("n_seen", "n_left"), [(None, []), (20, [12, 4])])
def test_training_tokenizes_only_what_the_doctor_has_not_seen(base, tmp_path, monkeypatch, n_seen, n_left):
    recipe = recipe_of(tmp_path, base, ROWS, rows_of(24, "another"))
    inputs = sft_inputs(recipe)
    build_context(recipe, Stage.SFT, inputs=inputs, max_rows=n_seen)
    tokenizer, _ = inputs.tokenizer
    train, ledger, held_out = sft_inputs(recipe).rows.tokenize(tokenizer)
    tokenize, n_tokenized = RowTokenizer.tokenize, []

    def counted(how, rows, numbers):
        rows = list(rows)
        n_tokenized.append(len(rows))
        return tokenize(how, rows, numbers)

    monkeypatch.setattr(RowTokenizer, "tokenize", counted)
    again, same_ledger, same_held_out = inputs.rows.tokenize(tokenizer, inputs.seen, compares_with_serving=False)
    assert [n for n in n_tokenized if n] == n_left
    assert (again.to_list(), same_held_out.to_list()) == (train.to_list(), held_out.to_list())
    assert same_ledger.to_json() == ledger.to_json()
    assert same_ledger.example_rows == ledger.example_rows
    assert inputs.seen == {"train": {}, "held-out": {}}  # their memory is free


def test_rows_of_a_template_that_the_run_refuses_are_not_kept(base, tmp_path):
    recipe = recipe_of(tmp_path, base, rows_of(8), eos_token="<|wrong|>")
    inputs = sft_inputs(recipe)
    findings = build_context(recipe, Stage.SFT, inputs=inputs)[1]
    assert [finding.id for finding in findings] == ["END_TOKEN_MISMATCH"]
    with pytest.raises(Exception, match="eos_token"):
        _ = inputs.tokenizer


def test_pairs_are_tokenized_once_for_doctor_and_training(base, tmp_path, monkeypatch):
    recipe = recipe_of(tmp_path, base, pairs_of(rows_of(12)), stage=Stage.DPO)
    inputs = dpo_inputs(recipe)
    build_context(recipe, Stage.DPO, inputs=inputs)
    limits = (inputs.tokenizer[0], recipe.arguments[1].max_length, recipe.arguments[0].long_rows)
    fresh, ledger = tokenize_pairs(inputs.splits[0], *limits)
    monkeypatch.delattr("pipelines.training.data.preference_pairs.pair_tokens")
    kept, same_ledger = tokenize_pairs(inputs.splits[0], *limits, inputs.seen["train"])
    assert kept.to_list() == fresh.to_list()
    assert same_ledger.to_json() == ledger.to_json()


def test_doctor_and_training_render_the_same_day(base, tmp_path):
    template = (
        "{{ strftime_now('%Y') }}{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n"
        "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    )
    (tmp_path / "dated.jinja").write_text(template)
    keys = {"chat_template_path": str(tmp_path / "dated.jinja"), "template_date": "2001-02-03"}
    context, _ = build_context(recipe_of(tmp_path, base, rows_of(4), **keys), Stage.SFT)
    [example] = context.train.rows[0].examples
    assert "2001" in context.tokenizer.decode(example.token_ids)
