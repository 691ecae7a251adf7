"""A 4-bit base has the same gradients after an evaluation as before it."""

from pathlib import Path

import torch
from transformers import LlamaConfig, LlamaForCausalLM
from trl import ModelConfig

from pipelines.modeling.loading import load_base_model
from pipelines.modeling.quantization import keep_four_bit_gradients, quantization_config


def gradient_at_the_bottom(model: LlamaForCausalLM) -> torch.Tensor:
    model.train()
    ids = torch.arange(1, 17)[None]
    embedded = model.get_input_embeddings()(ids).detach().requires_grad_()
    model(inputs_embeds=embedded, labels=ids).loss.backward()
    assert embedded.grad is not None
    return embedded.grad


def test_an_evaluation_on_a_cpu_does_not_take_the_gradients_away(tmp_path: Path) -> None:
    config = LlamaConfig(
        vocab_size=64, hidden_size=128, intermediate_size=256, num_hidden_layers=2, num_attention_heads=2
    )
    torch.manual_seed(0)
    LlamaForCausalLM(config).save_pretrained(tmp_path)
    arguments = ModelConfig(load_in_4bit=True)
    model = load_base_model(str(tmp_path), dtype="float32", quantization_config=quantization_config(arguments))
    keep_four_bit_gradients(model)
    before = gradient_at_the_bottom(model)
    model.eval()
    with torch.no_grad():
        model(torch.arange(1, 17)[None])
    assert torch.allclose(gradient_at_the_bottom(model), before, rtol=1e-3, atol=1e-6)
