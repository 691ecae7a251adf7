"""The tokens of a micro-batch that a device's memory holds, against the forecast's own numbers."""

from dataclasses import replace

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, BitsAndBytesConfig
from trl import SFTConfig

from pipelines.modeling.step_memory import fitting
from pipelines.modeling.step_memory.fitting import load_of_model, tokens_on_this_device, tokens_that_fit
from pipelines.modeling.step_memory.forecast import GIB, memory_forecast
from pipelines.modeling.step_memory.model_shape import model_shape
from pipelines.modeling.step_memory.training_load import Method, TrainingLoad
from tests.conftest import PROJECT
from tests.twins.models import real_config

LORA = TrainingLoad(Method.LORA, n_tokens=0, sequence_length=0, lora_rank=16)
QLORA, FULL = replace(LORA, method=Method.QLORA), replace(LORA, method=Method.FULL, weight_bytes=4)
BASE = PROJECT / "recipes" / "quickstart" / "base"


@pytest.mark.parametrize("gib", [12, 24, 48, 80, 140])
@pytest.mark.parametrize("model", ["qwen2.5-0.5b", "llama-3.1-8b"])
@pytest.mark.parametrize("load", [LORA, QLORA, FULL], ids=lambda load: load.method)
def test_what_fits_is_forecast_within_85_percent_of_the_memory_and_twice_as_much_is_not(model, load, gib):
    shape = model_shape(real_config(model))
    n_tokens = tokens_that_fit(shape, load, gib * GIB)
    total, doubled = (memory_forecast(shape, replace(load, n_tokens=n)).total / GIB for n in (n_tokens, 2 * n_tokens))
    assert total <= 0.85 * gib or n_tokens == 1024
    assert doubled > 0.85 * gib or n_tokens == 65_536


@pytest.mark.parametrize(("load", "gib", "n_tokens"), [
    (LORA, 24, 4096), (LORA, 80, 65_536), (QLORA, 12, 4096), (FULL, 140, 1024), (QLORA, 4, 1024),
])  # fmt: skip
def test_an_8b_model_has_these_tokens_on_these_cards(load, gib, n_tokens):
    assert tokens_that_fit(model_shape(real_config("llama-3.1-8b")), load, gib * GIB) == n_tokens


def base(**options):
    return AutoModelForCausalLM.from_pretrained(BASE, **options)


def with_lora(model, **options):
    return get_peft_model(model, LoraConfig(r=8, target_modules="all-linear", **options))


def training(tmp_path, **options):
    return SFTConfig(output_dir=tmp_path, use_cpu=True, **{"bf16": False, **options})


def test_the_load_of_a_loaded_model_is_that_of_its_recipe(tmp_path):
    full = load_of_model(base(dtype=torch.float32), training(tmp_path, activation_checkpointing=False))
    assert (full.method, full.weight_bytes, full.compute_bytes, full.activation_checkpointing) == ("full", 4, 4, False)
    adapted = with_lora(base(dtype=torch.bfloat16), lora_dropout=0.1, trainable_token_indices=[5])
    found = load_of_model(adapted, training(tmp_path))
    assert (found.method, found.weight_bytes, found.compute_bytes, found.activation_checkpointing) == ("lora", 2, 2, 1)
    assert found.lora_dropout
    assert found.trains_tokens
    shape = model_shape(adapted.config)
    assert found.n_adapter == shape.n_lora_parameters(8) + shape.hidden_width


def test_a_four_bit_base_is_known_by_its_weights_and_its_shape_by_its_config(tmp_path):
    four_bits = base(quantization_config=BitsAndBytesConfig(load_in_4bit=True), dtype=torch.bfloat16)
    assert load_of_model(with_lora(four_bits), training(tmp_path, bf16=True)).method == "qlora"
    assert model_shape(four_bits.config) == model_shape(base().config)


def test_a_processor_has_no_tokens_that_fit(tmp_path):
    assert tokens_on_this_device(base(), training(tmp_path)) is None


def test_memory_that_this_process_holds_already_counts_as_available(tmp_path, monkeypatch):
    """The forecast counts the weights, which are loaded before."""
    asked = []
    monkeypatch.setattr(SFTConfig, "device", torch.device("cuda"))
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _device: (3 * GIB, 8 * GIB))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda _device: 2 * GIB)
    monkeypatch.setattr(fitting, "tokens_that_fit", lambda *given: asked.append(given[-1]) or 2048)
    assert tokens_on_this_device(base(), training(tmp_path)) == 2048
    assert asked == [5 * GIB]
