"""FLOPs of a token by hand, and the time that follows from a stated MFU."""

from dataclasses import replace

import pytest

from pipelines.modeling.step_memory.model_shape import model_shape
from pipelines.modeling.step_memory.training_load import Method, TrainingLoad
from pipelines.preflight.forecast.time import flops_per_token, seconds_per_million_tokens
from tests.twins.models import real_config

FULL = TrainingLoad(Method.FULL, n_tokens=2048, sequence_length=2048)
LORA = replace(FULL, method=Method.LORA, lora_rank=16)


def test_full_training_is_six_flops_a_weight_and_attention():
    shape = model_shape(real_config("llama-3.1-8b"))
    n_applied = 8_030_261_248 - 128_256 * 4096 - (2 * 32 + 1) * 4096
    assert flops_per_token(shape, FULL) == 6 * n_applied + 12 * 4096 * 32 * 2048


def test_lora_is_four_flops_a_frozen_weight_and_six_its_own():
    shape = model_shape(real_config("llama-3.1-8b"))
    saved = 2 * (shape.n_matrix_parameters + shape.n_head_parameters) - 6 * shape.n_lora_parameters(16)
    assert flops_per_token(shape, FULL) - flops_per_token(shape, LORA) == saved


def test_a_windowed_layer_attends_to_its_window_only():
    shape = model_shape(real_config("gemma-3-1b"))
    longer = flops_per_token(shape, replace(FULL, sequence_length=4096)) - flops_per_token(shape, FULL)
    assert longer == 12 * 4 * 256 * 4 * 2048  # heads * head size * full layers * further tokens


def test_the_published_speed_of_lora_on_an_h100_follows_at_its_published_mfu():
    """NeMo AutoModel, Llama-3-8B LoRA, sequences of 4096: 12,473 tokens/s at 402 TFLOP/s, which is 40.6 % of 989."""
    load = replace(LORA, sequence_length=4096)
    seconds = seconds_per_million_tokens(model_shape(real_config("llama-3.1-8b")), load, mfu=0.406)
    assert 1e6 / seconds == pytest.approx(12_473, rel=0.15)


def test_half_the_mfu_takes_twice_the_time_and_qlora_more_than_lora():
    shape = model_shape(real_config("qwen2.5-7b"))
    seconds = seconds_per_million_tokens(shape, LORA, mfu=0.4)
    assert seconds_per_million_tokens(shape, LORA, mfu=0.2) == pytest.approx(2 * seconds)
    assert seconds_per_million_tokens(shape, replace(LORA, method=Method.QLORA), mfu=0.4) > seconds
