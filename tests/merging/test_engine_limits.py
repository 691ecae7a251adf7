"""Which engines do not load a model, by its config."""

import pytest
from transformers import GPT2Config, LlamaConfig, Qwen2Config

from pipelines.merging.engine_limits import refusal_lines, refusals


@pytest.mark.parametrize(("config", "engines"), [
    (LlamaConfig(), set()),
    (Qwen2Config(), set()),
    (LlamaConfig(hidden_size=64, num_attention_heads=8), {"onnxruntime-genai", "vLLM on a CPU"}),
    (LlamaConfig(hidden_size=64, num_attention_heads=4), {"vLLM on a CPU"}),
    (LlamaConfig(hidden_size=64, num_attention_heads=8, head_dim=128), set()),
    (GPT2Config(), {"onnxruntime-genai", "mlx-lm"}),
])  # fmt: skip
def test_engines_refuse_head_sizes_and_architectures(config, engines):
    assert refusals(config.to_dict()).keys() == engines


def test_multimodal_models_and_configs_without_heads_are_read():
    text = LlamaConfig(hidden_size=64, num_attention_heads=8).to_dict()
    assert refusals({"model_type": "llava", "text_config": text}).keys() == {"onnxruntime-genai", "vLLM on a CPU"}
    assert refusals({"model_type": "mamba", "hidden_size": 64}) == {}


def test_a_refusal_names_engine_and_reason(tmp_path):
    LlamaConfig(hidden_size=64, num_attention_heads=4).save_pretrained(tmp_path)
    [line] = refusal_lines(tmp_path)
    assert line.startswith("vLLM on a CPU does not load this model: its attention heads have 16 dimensions, not one of")
