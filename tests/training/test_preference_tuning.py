"""DPO changes the adapter that it should and nothing else, against a reference that is what the policy was."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM
from trl import DPOConfig, DPOTrainer, ModelConfig

from pipelines.errors import UserError
from pipelines.inference.loading import load_for_inference
from pipelines.modeling.loading import resize_embeddings
from pipelines.recipe.arguments import RunArguments
from pipelines.training.fine_tuning import save_trained
from pipelines.training.preference_tuning import load_policy, load_policy_tokenizer, preference_trainer, score_pairs
from pipelines.training.starting_point import starting_point
from tests.run_files import adapter_weights
from tests.training.data.preference_models import adapter_on, base_without_template, tokenized, training_arguments


@pytest.fixture(scope="module")
def base(tiny_model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return base_without_template(tiny_model_folder, tmp_path_factory.mktemp("preferences") / "base")


@pytest.fixture(scope="module")
def adapter(base: Path) -> Path:
    return adapter_on(base, base.parent / "adapter")


def trainer_on(model: Path, adapter: Path | None, training: DPOConfig, **options: Any) -> DPOTrainer:
    arguments = ModelConfig(model_name_or_path=str(model), lora_r=4, lora_dropout=0.0, **options)
    start = starting_point(arguments, str(adapter) if adapter else None)
    tokenizer, new_tokens = load_policy_tokenizer(start)
    policy = load_policy(start, arguments, training, tokenizer, new_tokens)
    pairs = tokenized(tokenizer)
    return preference_trainer(policy, training, pairs, pairs.select(range(8)), RunArguments(n_samples=1))


def plain_log_probability(model: Any, prompt_ids: list[int], answer_ids: list[int]) -> float:
    ids = torch.tensor([[*prompt_ids, *answer_ids]])
    with torch.no_grad():
        log_p = torch.log_softmax(model(ids).logits[0, :-1].float(), dim=-1)
    return log_p.gather(1, ids[0, 1:, None])[len(prompt_ids) - 1 :].sum().item()


def weights_of(trainer: DPOTrainer, *, named: str) -> dict[str, torch.Tensor]:
    parameters = trainer.model.named_parameters(remove_duplicate=False)
    return {name: value.detach().clone() for name, value in parameters if named in name.split(".")}


def train_and_score(trainer: DPOTrainer) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """The scores before and after a training whose loss falls: against a reference that was the policy and stays."""
    before = score_pairs(trainer)
    assert np.array_equal(before["chosen"], before["reference_chosen"])
    trainer.train()
    after = score_pairs(trainer)
    for side in ("reference_chosen", "reference_rejected"):
        assert np.array_equal(before[side], after[side])
    losses = [log["loss"] for log in trainer.state.log_history if "loss" in log]
    assert losses[-1] < losses[0]
    return before, after


@pytest.mark.parametrize(
    ("tied", "options"),
    [(True, {}), (False, {}), (True, {"use_dora": True}), (True, {"lora_modules_to_save": ["embed_tokens"]})],
    ids=["tied", "untied", "dora", "whole embeddings"],
)
def test_the_reference_is_the_whole_adapter(tiny_model_folder, tmp_path, tied, options):
    base = base_without_template(tiny_model_folder, tmp_path / "base", tied=tied)
    adapter = adapter_on(base, tmp_path / "adapter", **options)
    trainer = trainer_on(base, adapter, training_arguments(tmp_path / "run"))
    served = load_for_inference(str(base), str(adapter))
    scores = score_pairs(trainer)
    for number, pair in enumerate(trainer.eval_dataset):
        for side in ("chosen", "rejected"):
            expected = plain_log_probability(served.model, pair["prompt_ids"], pair[f"{side}_ids"])
            assert scores[side][number] == pytest.approx(expected, rel=1e-5)
            assert scores[f"reference_{side}"][number] == pytest.approx(expected, rel=1e-5)


def test_trl_alone_forgets_new_tokens(base, adapter, tmp_path, monkeypatch):
    """If this fails, TRL copies them itself and `complete_reference` can go."""
    monkeypatch.setattr("pipelines.training.preference_tuning.complete_reference", lambda _: None)
    scores = score_pairs(trainer_on(base, adapter, training_arguments(tmp_path)))
    assert np.abs(scores["chosen"] - scores["reference_chosen"]).max() > 0.1


def test_steps_on_an_adapter_change_that_adapter_only(base, adapter, tmp_path):
    trainer = trainer_on(base, adapter, training_arguments(tmp_path, max_steps=5))
    before = weights_of(trainer, named="default")
    kept = {n: p.detach().clone() for n, p in trainer.model.named_parameters() if "default" not in n.split(".")}
    assert any("ref" in name.split(".") for name in kept)
    scores, trained = train_and_score(trainer)
    after = weights_of(trainer, named="default")
    assert any("trainable_tokens_delta" in name for name in after)
    assert all(not torch.equal(before[name], after[name]) for name in before)
    assert all(torch.equal(value, trainer.model.get_parameter(name)) for name, value in kept.items())
    losses = [log["loss"] for log in trainer.state.log_history if "loss" in log]
    assert losses[0] == pytest.approx(np.log(2), abs=1e-5)
    assert losses[-1] < 0.9 * losses[0]
    assert (trained["chosen"] - trained["rejected"]).mean() > (scores["chosen"] - scores["rejected"]).mean()


def test_what_is_saved_is_one_adapter_with_the_trained_logits(base, adapter, tmp_path):
    trainer = trainer_on(base, adapter, training_arguments(tmp_path, save_strategy="steps", save_steps=2))
    trainer.train()
    save_trained(trainer, tmp_path)
    assert not list(tmp_path.rglob("ref"))
    assert not [name for name in adapter_weights(tmp_path) if name.endswith("embed_tokens.weight")]
    assert (tmp_path / "checkpoint-2" / "adapter_model.safetensors").is_file()
    plain = AutoModelForCausalLM.from_pretrained(base)
    resize_embeddings(plain, AutoTokenizer.from_pretrained(tmp_path))
    loaded = PeftModel.from_pretrained(plain, tmp_path).eval()
    assert list(loaded.peft_config) == ["default"]
    assert loaded.peft_config["default"].base_model_name_or_path == str(base)
    pair = trainer.eval_dataset[0]
    ids = torch.tensor([pair["prompt_ids"] + pair["chosen_ids"]])
    trainer.model.eval()
    with torch.no_grad():
        assert torch.allclose(loaded(ids).logits, trainer.model(ids).logits, atol=1e-5)
    assert (tmp_path / "generation_config.json").is_file()


@pytest.mark.parametrize("use_peft", [True, False])
def test_without_an_adapter_the_reference_is_the_model(tiny_model_folder, base, tmp_path, use_peft):
    """A new adapter is compared with the model without it, a fully trained model with a copy that has the new rows."""
    arguments = training_arguments(tmp_path, learning_rate=1e-2 if use_peft else 1e-3)
    trainer = trainer_on(tiny_model_folder if use_peft else base, None, arguments, use_peft=use_peft)
    assert list(getattr(trainer.model, "peft_config", [])) == ["default"] * use_peft
    before, after = train_and_score(trainer)
    assert not np.array_equal(before["chosen"], after["chosen"])


@pytest.mark.parametrize("kind", ["adapter", "full"])
def test_precomputed_reference_scores_are_the_same(base, adapter, tmp_path, kind):
    on = adapter if kind == "adapter" else None
    now = score_pairs(trainer_on(base, on, training_arguments(tmp_path / "a")))
    early = score_pairs(trainer_on(base, on, training_arguments(tmp_path / "b", precompute_ref_log_probs=True)))
    assert np.allclose(early["reference_chosen"], early["chosen"], atol=1e-4)
    assert np.allclose(now["reference_chosen"], early["reference_chosen"], atol=1e-4)


def test_a_four_bit_base_keeps_the_adapter_and_its_reference_alike(tiny_model_folder, tmp_path):
    config = LlamaConfig.from_pretrained(tiny_model_folder, hidden_size=128, intermediate_size=256, head_dim=64)
    shutil.copytree(tiny_model_folder, tmp_path / "wide")
    LlamaForCausalLM(config).save_pretrained(tmp_path / "wide")  # bitsandbytes packs columns by 64
    base = base_without_template(tmp_path / "wide", tmp_path / "base")
    adapter = adapter_on(base, tmp_path / "adapter")
    trainer = trainer_on(base, adapter, training_arguments(tmp_path / "run", max_steps=5), load_in_4bit=True)
    train_and_score(trainer)


def test_an_adapter_names_its_base_and_contradictions_are_refused(base, adapter, tmp_path):
    start = starting_point(ModelConfig(model_name_or_path=str(adapter)), None)
    assert (start.base, start.adapter) == (str(base), str(adapter))
    assert starting_point(ModelConfig(), str(adapter)) == start
    with pytest.raises(UserError, match="name a folder or a Hub id"):
        starting_point(ModelConfig(), None)
    with pytest.raises(UserError, match=r"is the adapter .*: expected a base"):
        starting_point(ModelConfig(model_name_or_path=str(adapter)), str(adapter))
    both = r"has lora_r: 8, use_dora: True, the adapter .* has lora_r: 4, use_dora: False; remove"
    with pytest.raises(UserError, match=both):
        starting_point(ModelConfig(), str(adapter), {"lora_r": 8, "seed": 1, "use_dora": True, "lora_dropout": 0.0})
    same = {"lora_r": 4, "lora_target_modules": "all-linear"}
    assert starting_point(ModelConfig(), str(adapter), same).adapter == str(adapter)
    with pytest.raises(UserError, match="sync_ref_model"):
        trainer_on(base, adapter, training_arguments(tmp_path, sync_ref_model=True))
    with pytest.raises(UserError, match="set use_peft: true"):
        trainer_on(base, None, training_arguments(tmp_path), load_in_4bit=True)


def test_nothing_is_left_for_trl_to_cut(base, adapter, tmp_path):
    trainer = trainer_on(base, adapter, training_arguments(tmp_path, max_length=8))
    assert trainer.data_collator([trainer.train_dataset[0]])["input_ids"].shape[1] > 8
