"""Running models over prompts: which model gets which prompts, and which adapter belongs to which base."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from pipelines.errors import UserError
from pipelines.evaluation.compare.measuring import DecodingPlan, MeasurementPlan, measure_models
from pipelines.evaluation.prompts.prompt import Prompt
from pipelines.hub.model_ref import model_fingerprint
from pipelines.inference.loading import Role
from pipelines.modeling import PromptStyle
from tests.evaluation.chain_models import save_chain_model

PROMPTS = [Prompt(0, "Say it.", "", "def find"), Prompt(1, "Say it again.", "now", "max"), Prompt(2, "Well?")]
PLAN = MeasurementPlan(DecodingPlan(max_new_tokens=12, num_samples=2), batch_size=2)


@pytest.fixture(scope="module")
def adapter_folder(tiny_model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A LoRA adapter of the tiny model as PEFT saves it, without a tokenizer."""
    folder = tmp_path_factory.mktemp("adapter") / "sft"
    model = AutoModelForCausalLM.from_pretrained(tiny_model_folder)
    torch.manual_seed(0)
    get_peft_model(model, LoraConfig(r=2, target_modules=["q_proj"], init_lora_weights=False)).save_pretrained(folder)
    return folder


def changed_copy(folder: Path, copy: Path) -> Path:
    shutil.copytree(folder, copy)
    weights = load_file(copy / "model.safetensors")
    weights["model.norm.weight"] = weights["model.norm.weight"] * 1.01
    save_file(weights, copy / "model.safetensors", metadata={"format": "pt"})
    return copy


def with_record(adapter: Path, copy: Path, fingerprint: str) -> Path:
    shutil.copytree(adapter, copy)
    (copy / "run.json").write_text(json.dumps({"base": {"path": "somewhere", "fingerprint": fingerprint}}))
    return copy


def test_the_base_gets_plain_prompts_and_the_instruct_model_its_template(
    tiny_model_folder: Path, tmp_path: Path
) -> None:
    base = save_chain_model(tiny_model_folder, tmp_path / "base", [" max"], ends=False)
    instruct = save_chain_model(tiny_model_folder, tmp_path / "instruct", ["def find"], ends=True)
    measured, seconds = measure_models(str(base), [str(instruct)], PROMPTS, PLAN)
    assert [(one.name, one.role, one.prompt_style) for one in measured] == [
        ("base", Role.BASE, PromptStyle.PLAIN),
        ("instruct", Role.INSTRUCT, PromptStyle.CHAT),
    ]
    assert [one.text for one in measured[1].greedy] == ["def find"] * 3
    assert [one.stopped for one in measured[1].greedy] == [True] * 3
    assert [one.text for one in measured[0].greedy] == [" max" * 12] * 3
    assert [one.stopped for one in measured[0].greedy] == [False] * 3
    assert [[sample.text for sample in samples] for samples in measured[1].samples] == [["def find"] * 2] * 3
    assert set(measured[0].likelihoods) == {PromptStyle.PLAIN, PromptStyle.CHAT}
    assert set(measured[1].likelihoods) == {PromptStyle.CHAT}
    found = measured[1].likelihoods[PromptStyle.CHAT]
    assert found[2] is None
    assert found[0] is not None
    assert found[0].n_bytes == 8
    assert found[0].nll_nats < 0.01
    assert any(name.startswith("instruct: sampled") for name in seconds)


def test_samples_are_left_out_with_num_samples_0(tiny_model_folder: Path) -> None:
    plan = MeasurementPlan(DecodingPlan(max_new_tokens=4, num_samples=0, temperature=0.0))
    measured, _ = measure_models(str(tiny_model_folder), [str(tiny_model_folder)], PROMPTS, plan)
    assert [one.samples for one in measured] == [[], []]
    assert all(len(one.greedy) == 3 for one in measured)


def test_the_first_greedy_answers_keep_the_probability_of_each_token(tiny_model_folder: Path, tmp_path: Path) -> None:
    folder = str(save_chain_model(tiny_model_folder, tmp_path / "sure", ["def find"], ends=True))
    plan = MeasurementPlan(DecodingPlan(max_new_tokens=8, num_samples=0), n_token_choices=2)
    measured, _ = measure_models(folder, [folder], PROMPTS, plan)
    assert set(measured[1].token_choices) == {0, 1}
    choices = measured[1].token_choices[0]
    assert [one.token_id for one in choices] == list(measured[1].greedy[0].token_ids)
    assert all(one.probability > 0.99 for one in choices)


def test_a_base_gets_its_own_template_if_asked_and_is_refused_without_one(
    tiny_model_folder: Path, tmp_path: Path
) -> None:
    plan = replace(PLAN, base_prompt_style=PromptStyle.CHAT)
    measured, _ = measure_models(str(tiny_model_folder), [str(tiny_model_folder)], PROMPTS, plan)
    assert [one.prompt_style for one in measured] == [PromptStyle.CHAT] * 2
    assert measured[0].greedy == measured[1].greedy
    bare = Path(shutil.copytree(tiny_model_folder, tmp_path / "bare"))
    (bare / "chat_template.jinja").unlink()
    with pytest.raises(UserError, match=r"--base_prompt_style is chat, but .*bare has no chat template"):
        measure_models(str(bare), [str(tiny_model_folder)], PROMPTS, plan)


def test_a_model_without_a_template_gets_plain_prompts_and_says_so(
    tiny_model_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = Path(shutil.copytree(tiny_model_folder, tmp_path / "bare"))
    (folder / "chat_template.jinja").unlink()
    measured, _ = measure_models(str(folder), [str(folder)], PROMPTS, PLAN)
    assert measured[1].prompt_style is PromptStyle.PLAIN
    assert set(measured[0].likelihoods) == {PromptStyle.PLAIN}
    assert measured[0].greedy == measured[1].greedy
    assert measured[0].samples == measured[1].samples
    assert measured[0].likelihoods == measured[1].likelihoods
    assert f"instruct: no chat template in {folder}" in capsys.readouterr().err


@pytest.mark.parametrize("kind", ["another model", "renumbered"])
def test_a_template_of_another_vocabulary_is_not_used_with_the_base(
    kind: str, tiny_model_folder: Path, shared_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
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


def test_several_instruct_models_go_by_their_folders_names(tiny_model_folder: Path, tmp_path: Path) -> None:
    folders = [tiny_model_folder, shutil.copytree(tiny_model_folder, tmp_path / "other")]
    folders.append(shutil.copytree(tiny_model_folder, tmp_path / "again" / "other"))
    measured, _ = measure_models(str(tiny_model_folder), [str(folder) for folder in folders], PROMPTS[:2], PLAN)
    assert [one.name for one in measured] == ["base", "tiny", "other", "other_2"]


def test_an_adapter_is_measured_on_the_base_that_was_given(
    tiny_model_folder: Path, adapter_folder: Path, tmp_path: Path
) -> None:
    base = Path(shutil.copytree(tiny_model_folder, tmp_path / "moved"))
    adapter = with_record(adapter_folder, tmp_path / "sft", model_fingerprint(str(base)))
    config = json.loads((adapter / "adapter_config.json").read_text())
    (adapter / "adapter_config.json").write_text(json.dumps(config | {"base_model_name_or_path": "gone/from/there"}))
    measured, _ = measure_models(str(base), [str(adapter)], PROMPTS, PLAN)
    assert measured[1].path == str(adapter)
    assert measured[1].fingerprint != measured[0].fingerprint
    assert measured[1].likelihoods[PromptStyle.CHAT] != measured[0].likelihoods[PromptStyle.CHAT]


def test_an_adapter_of_another_base_is_refused(tiny_model_folder: Path, adapter_folder: Path, tmp_path: Path) -> None:
    other = changed_copy(tiny_model_folder, tmp_path / "other")
    with pytest.raises(UserError) as error:
        measure_models(str(other), [str(adapter_folder)], PROMPTS, PLAN)
    assert str(error.value).startswith(
        f"the adapter {adapter_folder} was trained on {tiny_model_folder}, got the base {other}; "
    )
