"""The forecast of a case: what `doctor.py --forecast` prints, from a config without weights."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from transformers import MambaConfig

from pipelines.modeling.step_memory.forecast import memory_forecast
from pipelines.modeling.step_memory.model_shape import model_shape
from pipelines.modeling.step_memory.training_load import Method, training_load
from pipelines.preflight.check_context import CheckContext, Machine, Stage
from pipelines.preflight.forecast.forecasting import forecast_lines, forecast_of, longest_sequence
from tests.preflight.contexts import base_of, context_of, rows_of
from tests.twins.models import real_config, save_twin_tokenizer


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Llama-3.1-8B without its weights."""
    folder = tmp_path_factory.mktemp("llama")
    real_config("llama-3.1-8b").save_pretrained(folder)
    return save_twin_tokenizer("llama", folder)


def packed(folder: Path, base: Path, **keys: Any) -> CheckContext:
    shown = {"dtype": "bfloat16", "packing": True, "max_length": 2048, "activation_checkpointing": True}
    return context_of(folder, base, rows_of(40), **{**shown, **keys})


def test_the_forecast_of_a_case_is_that_of_its_recipe(llama, tmp_path):
    context = packed(tmp_path, llama, load_in_4bit=True)
    forecast = forecast_of(context)
    assert forecast is not None
    load = training_load(context.model, context.training, 2048, trains_tokens=True)
    load = replace(load, packed=False)  # attention over several packed rows is never computed
    assert forecast.load == load
    assert forecast.load.method is Method.QLORA
    assert forecast.memory == memory_forecast(model_shape(real_config("llama-3.1-8b")), load)


@pytest.mark.parametrize(
    ("budget", "gib", "n_tokens", "has_mask"),
    [
        ("auto", 150, 8 * 2 * 2048, False),  # all rows of the step
        ("auto", 12, 2048, False),
        ("4096", 150, 4096, False),
        ("1024", 150, 2048, False),  # one row
        ("0", 150, 8 * 2048, True),  # a batch as TRL packs it
    ],
)
def test_the_forecast_is_of_the_largest_micro_batch(llama, tmp_path, budget, gib, n_tokens, has_mask):
    keys = {"per_device_train_batch_size": 8, "gradient_accumulation_steps": 2, "load_in_4bit": True}
    context = packed(tmp_path, llama, max_tokens_per_micro_batch=budget, **keys)
    on_gpu = replace(context, machine=Machine("NVIDIA", gib * 2**30, True, 10**12, {}))
    forecast = forecast_of(on_gpu)
    assert forecast is not None
    assert (forecast.load.n_tokens, forecast.load.packed) == (n_tokens, has_mask)


def test_rows_that_are_not_packed_count_with_their_own_length(llama, tmp_path):
    context = context_of(tmp_path, llama, rows_of(20), max_length=2048, per_device_train_batch_size=2)
    longest = max(map(len, context.examples()))
    assert longest_sequence(context) == longest < 2048
    forecast = forecast_of(context)
    assert forecast is not None
    assert forecast.load.n_tokens == 2 * longest
    assert longest_sequence(packed(tmp_path / "packed", llama)) == 2048


def test_the_tokens_of_a_run_are_those_of_the_rows_times_epochs_or_of_its_steps(llama, tmp_path):
    context = context_of(tmp_path, llama, rows_of(20), num_train_epochs=3)
    n_row_tokens = sum(map(len, context.examples()))
    forecast = forecast_of(context)
    assert forecast is not None
    assert forecast.n_tokens == 3 * n_row_tokens
    sampled = forecast_of(replace(context, train=replace(context.train, n_rows=200)))
    assert sampled is not None
    assert sampled.n_tokens == pytest.approx(30 * n_row_tokens)
    steps = forecast_of(packed(tmp_path / "steps", llama, max_steps=10, gradient_accumulation_steps=4))
    assert steps is not None
    assert steps.n_tokens == 10 * 2 * 4 * 2048
    assert steps.hours == pytest.approx(steps.n_tokens / 1e6 * steps.seconds_per_million_tokens / 3600)


def test_auto_is_the_dtype_of_the_base(llama, tmp_path):
    context = packed(tmp_path, llama, dtype="auto")
    context.base.config.dtype = "bfloat16"
    forecast = forecast_of(context)
    assert forecast is not None
    assert forecast.load.weight_bytes == 2


def test_the_forecast_counts_the_precision_that_is_computed_in(llama, tmp_path):
    found = {
        bf16: forecast_of(packed(tmp_path / str(bf16), llama, bf16=bf16, dtype="float32")) for bf16 in (True, False)
    }
    assert found[True]
    assert found[False]
    assert (found[True].load.compute_bytes, found[False].load.compute_bytes) == (2, 4)
    assert found[True].memory.activations < found[False].memory.activations


def test_a_processor_without_bfloat16_forecasts_a_gpu_by_the_recipe(llama, tmp_path):
    context = packed(tmp_path, llama, bf16=None)
    context.training.bf16, context.model.dtype = False, "float32"  # as this processor would compute
    context = replace(context, machine=Machine(None, 2**34, False, 10**12, {}))
    assert forecast_lines(context)[0].startswith("forecast for one GPU that computes in 16 bits")
    asked = replace(context, keys={**context.keys, "bf16": False, "dtype": "float32"})
    assert forecast_lines(asked)[0].startswith("forecast for one GPU that computes in float32")


def test_preferences_count_both_answers_and_the_adapter_that_is_there(tmp_path):
    rows = [{"prompt": f"Question {i}?", "chosen": f"Good {i}.", "rejected": f"Bad answer {i}."} for i in range(4)]
    base = base_of("qwen", tmp_path / "base")
    keys = {"stage": Stage.DPO, "use_peft": None, "lora_r": None, "lora_target_modules": None}
    adapter = _adapter(base, tmp_path / "adapter")
    context = context_of(tmp_path, base, rows, **keys, adapter_name_or_path=str(adapter), learning_rate=5e-6)
    forecast = forecast_of(context)
    assert forecast is not None
    assert (forecast.load.method, forecast.load.lora_rank, forecast.load.reference) == (Method.LORA, 4, True)
    assert forecast.load.n_tokens == 4 * longest_sequence(context)
    assert forecast.n_tokens == 3 * sum(map(len, context.examples()))


def _adapter(base: Path, folder: Path) -> Path:
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(base)
    get_peft_model(model, LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM")).save_pretrained(folder)
    return folder


def test_the_lines_name_every_part_the_run_and_what_is_assumed(llama, tmp_path):
    context = packed(tmp_path, llama)
    on_gpu = replace(context, machine=Machine("NVIDIA H200", 150 * 2**30, True, 10**12, {}))
    text = "\n".join(forecast_lines(on_gpu))
    for word in ("LoRA on 8.03B weights", "weights", "activations", "total", "NVIDIA H200 here has 150.0 GiB",
                 "s for a million tokens", "40 rows; 3 epochs", "assumed"):  # fmt: skip
        assert word in text
    on_cpu = replace(context, machine=Machine(None, 2**34, True, 10**12, {}))
    assert "this machine has no GPU to compare it with" in "\n".join(forecast_lines(on_cpu))


def test_an_architecture_without_attention_has_no_forecast(llama, tmp_path):
    context = packed(tmp_path, llama)
    mamba = replace(context, base=replace(context.base, config=MambaConfig(num_hidden_layers=2, hidden_size=64)))
    assert forecast_of(mamba) is None
    assert "no forecast" in forecast_lines(mamba)[0]
