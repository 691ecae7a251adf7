"""The memory forecast against published measurements, and what must grow with what."""

from dataclasses import replace

import pytest
from transformers import AutoConfig

from pipelines.modeling.step_memory.forecast import memory_forecast
from pipelines.modeling.step_memory.model_shape import ModelShape, model_shape
from pipelines.modeling.step_memory.training_load import Method, TrainingLoad
from tests.conftest import PROJECT
from tests.twins.forecast_tables import load_of
from tests.twins.models import ARCHITECTURES, real_config

GIB = 2**30


@pytest.fixture(scope="module")
def llama_8b() -> ModelShape:
    return model_shape(real_config("llama-3.1-8b"))


@pytest.fixture(scope="module")
def llama_3b() -> ModelShape:
    """Llama-3.2-3B, which has no recipe here but published measurements."""
    sizes = {"hidden_size": 3072, "num_hidden_layers": 28, "num_attention_heads": 24}
    return model_shape(AutoConfig.for_model(**{**ARCHITECTURES["llama-3.2-1b"]["config"], **sizes}))


LORA = TrainingLoad(Method.LORA, n_tokens=2 * 2048, sequence_length=2048, lora_rank=8)


# Peaks that torchtune's README and PEFT's method comparison publish; the forecast's deviation when this was written.
@pytest.mark.parametrize(
    ("model", "load", "measured_gib", "deviation"),
    [
        ("llama_8b", LORA, 16.2, 0.09),
        ("llama_8b", replace(LORA, method=Method.QLORA), 7.4, 0.07),
        ("llama_3b", TrainingLoad(Method.FULL, n_tokens=8192, sequence_length=4096), 24.9, 0.10),
        ("llama_3b", TrainingLoad(Method.LORA, n_tokens=8192, sequence_length=4096, lora_rank=64), 8.5, 0.23),
        (
            "llama_3b",
            TrainingLoad(
                Method.LORA, n_tokens=4 * 768, sequence_length=768, lora_rank=32, activation_checkpointing=False,
                fused_head=False,
            ),
            20.8,
            0.21,
        ),
    ],
    ids=["8B LoRA", "8B QLoRA", "3B full in bfloat16", "3B LoRA", "3B LoRA without checkpointing and fused head"],
)  # fmt: skip
def test_the_forecast_is_near_a_published_peak(model, load, measured_gib, deviation, request):
    predicted = memory_forecast(request.getfixturevalue(model), load).allocated / GIB
    assert predicted / measured_gib - 1 == pytest.approx(deviation, abs=0.01)
    assert abs(predicted / measured_gib - 1) < 0.25


@pytest.mark.parametrize(
    ("recipe", "flags", "measured_gib", "deviation"),
    [
        ("smollm2-135m/sft/full", [], 4.5, -0.10),
        ("qwen2.5-0.5b/sft/lora", [], 1.6, -0.02),
        ("qwen2.5-0.5b/sft/qlora", [], 1.0, 0.08),
        ("qwen2.5-0.5b/sft/lora", ["--per_device_train_batch_size", "8"], 4.4, -0.05),
    ],
    ids=["full", "LoRA", "QLoRA", "LoRA on eight packed rows"],
)
def test_the_forecast_is_near_the_peak_that_was_measured_on_an_h200(recipe, flags, measured_gib, deviation):
    """Peaks of allocated memory in tests/benchmarks/README.md."""
    path = PROJECT / "recipes" / f"{recipe}.yaml"
    shape = model_shape(real_config(recipe.partition("/")[0]))
    predicted = memory_forecast(shape, load_of(path, flags)).allocated / GIB
    assert predicted / measured_gib - 1 == pytest.approx(deviation, abs=0.02)


def test_qlora_takes_less_than_lora_and_lora_less_than_full(llama_8b):
    methods = [Method.QLORA, Method.LORA_8BIT, Method.LORA, Method.FULL]
    totals = [memory_forecast(llama_8b, replace(LORA, method=method)).total for method in methods]
    assert totals == sorted(totals)
    assert len(set(totals)) == len(totals)


@pytest.mark.parametrize(
    "more",
    [
        {"n_tokens": 8192},
        {"lora_rank": 64},
        {"lora_dropout": True},
        {"weight_bytes": 4},
        {"activation_checkpointing": False},
        {"trains_tokens": True},
        {"fused_head": False},
        {"reference": True},
        {"packed": True},
        {"compute_bytes": 4},
    ],
    ids=lambda more: next(iter(more)),
)
def test_more_of_anything_takes_more_memory(llama_8b, more):
    less = memory_forecast(llama_8b, LORA).total
    assert memory_forecast(llama_8b, replace(LORA, **more)).total > less


def test_full_training_takes_eighteen_bytes_for_a_weight(llama_8b):
    """float32 weights, gradients and two moments, and the bfloat16 copies of the matrices and the head."""
    load = TrainingLoad(Method.FULL, n_tokens=1, sequence_length=1, weight_bytes=4)
    forecast = memory_forecast(llama_8b, load)
    state = forecast.weights + forecast.gradients + forecast.optimizer
    assert state / llama_8b.n_parameters == pytest.approx(18, rel=0.01)


def test_a_four_bit_matrix_takes_a_little_more_than_half_a_byte(llama_8b):
    quantized = memory_forecast(llama_8b, replace(LORA, method=Method.QLORA, lora_rank=0)).weights
    others = 2 * (llama_8b.n_parameters - llama_8b.n_matrix_parameters)
    assert (quantized - others) / llama_8b.n_matrix_parameters == pytest.approx(0.516, abs=0.001)


def test_the_adapter_of_a_quantized_base_is_trained_in_float32(llama_8b):
    for method in (Method.LORA, Method.QLORA, Method.LORA_8BIT):
        forecast = memory_forecast(llama_8b, replace(LORA, method=method))
        assert forecast.gradients == 4 * llama_8b.n_lora_parameters(8)
        assert forecast.optimizer == 2 * forecast.gradients


def test_full_training_in_float32_keeps_no_copies_in_bfloat16(llama_8b):
    load = TrainingLoad(Method.FULL, n_tokens=1, sequence_length=1, weight_bytes=4, compute_bytes=4)
    assert memory_forecast(llama_8b, load).weights == 4 * llama_8b.n_parameters


def test_the_total_is_the_sum_of_its_parts(llama_8b):
    forecast = memory_forecast(llama_8b, LORA)
    assert forecast.total == pytest.approx(sum(vars(forecast).values()))
