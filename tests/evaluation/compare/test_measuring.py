"""Running models over prompts: which model gets which prompts, and which adapter belongs to which base."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from pipelines.errors import UserError
from pipelines.evaluation.compare.measuring import DecodingPlan, MeasurementPlan, measure_models
from pipelines.evaluation.prompts.prompt import Prompt
from pipelines.modeling import PromptStyle
from tests.evaluation.chain_models import save_chain_model

PROMPTS = [Prompt(0, "Say it.", "", "def find"), Prompt(1, "Say it again.", "now", "max"), Prompt(2, "Well?")]
PLAN = MeasurementPlan(DecodingPlan(max_new_tokens=12, num_samples=2), batch_size=2)


def test_the_first_greedy_answers_keep_the_probability_of_each_token(tiny_model_folder, tmp_path):
    folder = str(save_chain_model(tiny_model_folder, tmp_path / "sure", ["def find"], ends=True))
    plan = MeasurementPlan(DecodingPlan(max_new_tokens=8, num_samples=0, temperature=0.0), n_token_choices=2)
    measured, _ = measure_models(folder, [folder], PROMPTS, plan)
    assert set(measured[1].token_choices) == {0, 1}
    choices = measured[1].token_choices[0]
    assert [one.token_id for one in choices] == list(measured[1].greedy[0].token_ids)
    assert all(one.probability > 0.99 for one in choices)
    assert [one.samples for one in measured] == [[], []]


def test_a_base_gets_its_own_template_if_asked_and_is_refused_without_one(tiny_model_folder, untemplated):
    plan = replace(PLAN, base_prompt_style=PromptStyle.CHAT)
    measured, _ = measure_models(str(tiny_model_folder), [str(tiny_model_folder)], PROMPTS, plan)
    assert [one.prompt_style for one in measured] == [PromptStyle.CHAT] * 2
    assert measured[0].greedy == measured[1].greedy
    with pytest.raises(UserError, match=r"--base_prompt_style is chat, but .*base has no chat template"):
        measure_models(str(untemplated), [str(tiny_model_folder)], PROMPTS, plan)


@pytest.mark.parametrize("kind", ["another model", "renumbered"])
def test_a_template_of_another_vocabulary_is_not_used(kind, tiny_model_folder, shared_data, tmp_path, capsys):
    base = shared_data / "models" / "hf-stories260K"
    if kind == "renumbered":  # the same tokens under other numbers
        base = Path(shutil.copytree(tiny_model_folder, tmp_path / "renumbered"))
        tokenizer = json.loads((base / "tokenizer.json").read_text())
        numbers = tokenizer["model"]["vocab"]
        numbers["a"], numbers["b"] = numbers["b"], numbers["a"]
        (base / "tokenizer.json").write_text(json.dumps(tokenizer))
    measured, _ = measure_models(str(base), [str(tiny_model_folder)], PROMPTS, PLAN)
    assert set(measured[0].likelihoods) == {PromptStyle.PLAIN}
    assert "base: likelihood with plain prompts only" in capsys.readouterr().err


@pytest.mark.parametrize(("values", "message"), [
    ({"num_samples": -1}, "num_samples is -1, expected 0 or more"),
    ({"temperature": 0.0}, "temperature is 0, expected above 0 for samples"),
    ({"max_new_tokens": 0}, "max_new_tokens is 0, expected 1 or more"), ({"top_p": 2.0}, "top_p is 2.0"),
])  # fmt: skip
def test_an_invalid_plan_is_an_error(values, message):
    with pytest.raises(UserError) as error:
        DecodingPlan(**values)  # type: ignore[arg-type]
    assert str(error.value).startswith(message)
