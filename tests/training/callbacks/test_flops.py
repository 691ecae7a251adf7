"""FLOPs against numbers worked out by hand, and the peaks of the devices that they are divided by."""

from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import (
    AutoModelForCausalLM,
    BitsAndBytesConfig,
    Gemma3TextConfig,
    GPT2Config,
    LlamaConfig,
    MixtralConfig,
    PreTrainedModel,
)

from pipelines.training.callbacks.flops import peak_flops, training_flops

# Two layers: q and o 64 x 64, k and v 64 x 32 (grouped queries), three MLP matrices 64 x 128. Head: 64 x 100.
LLAMA = LlamaConfig(
    vocab_size=100, hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=4,
    num_key_value_heads=2, max_position_embeddings=64, tie_word_embeddings=True,
)  # fmt: skip
LLAMA_BODY = 2 * (2 * 64 * 64 + 2 * 64 * 32 + 3 * 64 * 128)
LLAMA_HEAD = 64 * 100


def model_of(config: Any) -> PreTrainedModel:
    return AutoModelForCausalLM.from_config(config)


def flops_of(model: Any) -> Any:
    flops = training_flops(model)
    assert flops is not None
    return flops


def lora(**options: Any) -> LoraConfig:
    return LoraConfig(r=4, target_modules=["q_proj"], task_type="CAUSAL_LM", **options)


def test_full_training_of_a_llama_is_six_flops_for_each_weight_but_the_embeddings():
    flops = flops_of(model_of(LLAMA))
    assert (flops.body, flops.head) == (6 * LLAMA_BODY, 6 * LLAMA_HEAD)
    assert (flops.attention, flops.attention_in_window) == (12 * 2 * 64, 0)
    counts = {"n_tokens": 30, "n_loss_tokens": 12, "n_pairs": 10**2 + 20**2}
    assert flops.of(**counts) == 6 * LLAMA_BODY * 30 + 6 * LLAMA_HEAD * 12 + 12 * 2 * 64 * 500
    assert flops.of(**counts, reference=True) == pytest.approx(flops.of(**counts) * 4 / 3)  # DPO: one more forward


def test_the_projections_of_gpt2_are_matrices_too():
    flops = flops_of(model_of(GPT2Config(vocab_size=100, n_embd=48, n_layer=3, n_head=4, n_positions=64)))
    assert (flops.head, flops.attention) == (6 * 48 * 100, 12 * 3 * 48)
    assert flops.body == 6 * 3 * (48 * 144 + 48 * 48 + 2 * 48 * 192)


@pytest.mark.parametrize("dora", [False, True])
def test_lora_saves_the_gradients_of_frozen_weights_and_nothing_else(dora):
    flops = flops_of(get_peft_model(model_of(LLAMA), lora(use_dora=dora)))
    assert flops.body == 4 * LLAMA_BODY + 6 * 2 * (64 * 4 + 4 * 64)
    assert (flops.head, flops.attention) == (4 * LLAMA_HEAD, 12 * 2 * 64)


def test_a_resting_adapter_the_original_of_a_copy_and_rows_of_new_tokens_cost_nothing():
    model = get_peft_model(model_of(LLAMA), lora(modules_to_save=["lm_head"]))
    flops = flops_of(model)
    assert flops.head == 6 * LLAMA_HEAD
    model.add_adapter("reference", lora())
    assert flops_of(model) == flops
    rows = lora(trainable_token_indices={"embed_tokens": [1, 2]})
    assert flops_of(get_peft_model(model_of(LLAMA), rows)).head == 4 * LLAMA_HEAD


def test_a_4_bit_matrix_counts_like_the_one_that_it_packs(tmp_path):
    model_of(LLAMA).save_pretrained(tmp_path)
    four_bit = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_compute_dtype=torch.bfloat16)
    packed = AutoModelForCausalLM.from_pretrained(tmp_path, quantization_config=four_bit)
    assert packed.model.layers[0].self_attn.q_proj.weight.numel() == 64 * 64 // 2
    assert flops_of(get_peft_model(packed, lora())).body == 4 * LLAMA_BODY + 6 * 2 * (64 * 4 + 4 * 64)


def test_layers_with_a_window_count_no_more_than_the_window():
    config = Gemma3TextConfig(
        vocab_size=100, hidden_size=32, intermediate_size=64, num_hidden_layers=3, num_attention_heads=2,
        num_key_value_heads=1, head_dim=24, sliding_window=8,
        layer_types=["sliding_attention", "sliding_attention", "full_attention"],
    )  # fmt: skip
    flops = flops_of(model_of(config))
    width = 12 * 2 * 24
    long, short = (flops.of(n_tokens=n, n_loss_tokens=0, n_pairs=n * n) - flops.body * n for n in (32, 4))
    assert (long, short) == (width * (32 * 32 + 2 * 32 * 8), width * 3 * 4 * 4)


def test_a_mixture_of_experts_is_not_guessed_at():
    config = MixtralConfig(
        vocab_size=100, hidden_size=32, intermediate_size=64, num_hidden_layers=1, num_attention_heads=2,
        num_key_value_heads=1, num_local_experts=4,
    )  # fmt: skip
    assert training_flops(model_of(config)) is None


@pytest.mark.parametrize(
    ("name", "peak"),
    [
        ("NVIDIA H200", 989e12), ("NVIDIA H100 80GB HBM3", 989e12), ("NVIDIA H100 PCIe", 756e12),
        ("NVIDIA A100-SXM4-80GB", 312e12), ("NVIDIA A10G", 70e12), ("NVIDIA L4", 121e12), ("NVIDIA L40S", 362e12),
        ("NVIDIA GeForce RTX 4090", 165.2e12), ("Tesla T4", 65e12), ("NVIDIA H20", None), ("cpu", None),
        ("NVIDIA GeForce RTX 4090 D", None), ("NVIDIA GeForce RTX 4090 Laptop GPU", None),
        ("NVIDIA H100 80GB HBM3 MIG 1g.10gb", None),
    ],
)  # fmt: skip
def test_the_peak_is_that_of_the_very_device_or_none(name, peak):
    assert peak_flops(name) == peak
