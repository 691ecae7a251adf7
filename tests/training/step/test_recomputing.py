"""Activation checkpointing stays where memory asks for it, and only there."""

import pytest
import torch
from datasets import Dataset
from peft import LoraConfig
from transformers import AutoModelForCausalLM
from trl import SFTConfig

from pipelines.modeling import load_tokenizer
from pipelines.training.fine_tuning import ModelBundle, sft_trainer
from pipelines.training.step import recomputing


@pytest.fixture
def trained(base, tmp_path, capsys):
    """Train one step; loss, gradient norm, whether layers were computed twice, and what was printed."""

    def run(lora):
        torch.manual_seed(0)
        config = LoraConfig(target_modules="all-linear", lora_dropout=0.1) if lora else None
        bundle = ModelBundle(AutoModelForCausalLM.from_pretrained(base), load_tokenizer(str(base)), config)
        rows = Dataset.from_dict({"input_ids": [list(range(5, 45))] * 4, "labels": [list(range(5, 45))] * 4})
        training = SFTConfig(
            str(tmp_path), bf16=False, use_cpu=True, max_steps=1, logging_steps=1, report_to="none", max_length=64
        )
        trainer = sft_trainer(bundle, training, rows, None)
        trainer.train()
        log = trainer.state.log_history[0]
        return log["loss"], log["grad_norm"], trainer.model.is_activation_checkpointing, capsys.readouterr().out

    return run


@pytest.mark.parametrize("lora", [True, False], ids=["lora", "full"])
def test_layers_are_computed_once_if_their_activations_fit_with_the_same_gradient(trained, monkeypatch, lora):
    *once, recomputes, said = trained(lora)
    assert not recomputes
    assert "activation checkpointing is off" in said
    monkeypatch.setattr(recomputing, "_SHARE_OF_MEMORY", 0)
    *twice, recomputes, said = trained(lora)
    assert recomputes
    assert "checkpointing" not in said
    assert once == pytest.approx(twice, rel=1e-5)


def test_the_memory_of_a_token_is_what_the_layers_keep():
    layers = torch.nn.Sequential(torch.nn.Linear(8, 16), torch.nn.Sigmoid(), torch.nn.Linear(16, 4))

    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = layers
            self.embedding = torch.nn.Embedding(10, 8)

        def forward(self, input_ids, **_):
            return self.layers(self.embedding(input_ids))

    floats, ids = 8 + 16, 1  # inputs of both linear layers (the sigmoid keeps its output), and the token's id
    assert recomputing.bytes_per_token(Model()) == 4 * floats + 8 * ids
