"""How many tokens of a micro-batch fit in the memory of an accelerator, from the memory forecast."""

from dataclasses import replace
from typing import cast

import torch
from peft import LoraConfig, PeftModel
from transformers import PreTrainedModel, TrainingArguments

from pipelines.modeling.step_memory.forecast import memory_forecast
from pipelines.modeling.step_memory.model_shape import ModelShape, model_shape
from pipelines.modeling.step_memory.training_load import Method, TrainingLoad

FEWEST_TOKENS, MOST_TOKENS = 1024, 65_536  # beyond that a step is no faster, and an error of the forecast costs GBs
_FILLED_SHARE = 0.85  # measured peaks were up to 10% above the forecast


def tokens_that_fit(shape: ModelShape, load: TrainingLoad, available_bytes: int) -> int:
    """Tokens of the largest micro-batch whose step is forecast to take 85% of `available_bytes` or less.

    `load.n_tokens` is ignored. The result is a power of two from 1,024 to 65,536, so that it does not change with every
    MB that another process holds; 1,024 also where that does not fit.
    """
    n_tokens = MOST_TOKENS
    while n_tokens > FEWEST_TOKENS:
        if memory_forecast(shape, replace(load, n_tokens=n_tokens)).total <= _FILLED_SHARE * available_bytes:
            break
        n_tokens //= 2
    return n_tokens


def tokens_on_this_device(model: PreTrainedModel | PeftModel, training: TrainingArguments) -> int | None:
    """`tokens_that_fit` for a loaded model on a CUDA or ROCm device, whose memory is what is free and what this process
    holds. None on other devices, and for architectures whose memory is not forecast."""
    if training.device.type != "cuda":
        return None
    try:
        shape = model_shape(model.config)
    except AttributeError:  # a state-space model's config has no attention heads
        return None
    free, _ = torch.cuda.mem_get_info(training.device)
    return tokens_that_fit(shape, load_of_model(model, training), free + torch.cuda.memory_reserved(training.device))


def load_of_model(model: PreTrainedModel | PeftModel, training: TrainingArguments) -> TrainingLoad:
    """The load of a step of rows apart (no mask over several), except for its tokens, from a model ready to train."""
    base = cast(PreTrainedModel, model.get_base_model() if isinstance(model, PeftModel) else model)
    weight_bytes = base.dtype.itemsize
    rows_apart = TrainingLoad(
        Method.FULL,
        n_tokens=0,
        sequence_length=0,
        weight_bytes=weight_bytes,
        activation_checkpointing=bool(training.activation_checkpointing),
        compute_bytes=2 if training.bf16 or training.fp16 else weight_bytes,
    )
    if not isinstance(model, PeftModel):
        return rows_apart
    adapter = model.peft_config[model.active_adapter]
    quantized = Method.LORA_8BIT if getattr(base, "is_loaded_in_8bit", False) else Method.LORA
    return replace(
        rows_apart,
        method=Method.QLORA if getattr(base, "is_loaded_in_4bit", False) else quantized,
        lora_dropout=isinstance(adapter, LoraConfig) and adapter.lora_dropout > 0,
        trains_tokens=bool(getattr(adapter, "trainable_token_indices", None)),
        n_adapter=sum(weight.numel() for weight in model.parameters() if weight.requires_grad),
    )
