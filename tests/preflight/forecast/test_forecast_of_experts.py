"""The forecast of a mixture of experts counts what PEFT trains: attention, router and experts."""

import pytest
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, AutoTokenizer, Qwen3MoeConfig, Qwen3MoeForCausalLM

from pipelines.preflight.forecast.forecasting import forecast_of
from pipelines.preflight.trained_weights import lora_plan
from tests.preflight.contexts import base_of, context_of, rows_of


@pytest.mark.parametrize("targets", ["all-linear", ["q_proj", "v_proj"]])
def test_the_adapter_on_experts_is_counted_as_peft_makes_it(tmp_path, targets):
    tokenizer = AutoTokenizer.from_pretrained(base_of("qwen", tmp_path / "qwen"))
    base = tmp_path / "experts"
    config = Qwen3MoeConfig(
        vocab_size=len(tokenizer), hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=2, head_dim=16, num_experts=8, num_experts_per_tok=2, moe_intermediate_size=32,
    )  # fmt: skip
    Qwen3MoeForCausalLM(config).save_pretrained(base)
    tokenizer.save_pretrained(base)
    context = context_of(tmp_path, base, rows_of(4), lora_dropout=0.0, lora_r=8, lora_target_modules=targets)
    real = get_peft_model(
        AutoModelForCausalLM.from_pretrained(base), LoraConfig(r=8, target_modules=targets, lora_dropout=0.0)
    )
    n_trained = sum(parameter.numel() for parameter in real.parameters() if parameter.requires_grad)
    plan, forecast = lora_plan(context), forecast_of(context)
    assert plan is not None
    assert forecast is not None
    assert plan.n_matrix_weights == n_trained
    assert forecast.memory.gradients == 4 * n_trained
    experts = 2 * 8 * (2 * 32 * 32 + 32 * 32)  # layers, experts, gate and up together, down
    assert forecast.shape.n_active_in_experts == experts * 2 // 8
