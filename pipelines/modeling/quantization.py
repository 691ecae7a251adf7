"""4-bit and 8-bit bases by bitsandbytes, with the compute type that QLoRA was designed for."""

import torch
from transformers import BitsAndBytesConfig, PreTrainedModel, TrainingArguments
from trl import ModelConfig, get_quantization_config

from pipelines.errors import UserError
from pipelines.recipe import precision

_PACKS = "support_avx512bf16_for_cpu"  # the attribute that bitsandbytes reads from each of its 4-bit layers


def refuse_full_training_of_quantized(arguments: ModelConfig) -> None:
    """Raise `UserError` for a 4-bit or 8-bit base without an adapter: its weights cannot be trained."""
    if (arguments.load_in_4bit or arguments.load_in_8bit) and not arguments.use_peft:
        raise UserError(
            "use_peft is false with a 4-bit or 8-bit base, whose own weights cannot be trained",
            "set use_peft: true, or remove load_in_4bit and load_in_8bit",
        )


def quantization_config(arguments: ModelConfig, training: TrainingArguments | None = None) -> BitsAndBytesConfig | None:
    """TRL's quantization config, None without quantization.

    A 4-bit base has double quantization and computes in the precision of `training`, by default bfloat16 (Dettmers et
    al. 2023, QLoRA, section 3), or without `training` in a precision that is fast here. TRL would take `dtype`'s
    default float32, which is slow and large.
    """
    config = get_quantization_config(arguments)
    if config is not None and arguments.load_in_4bit:
        if training is None:
            is_fast = precision.arithmetic("bfloat16", on_cpu=not torch.cuda.is_available()).is_fast
            dtype = torch.bfloat16 if is_fast else torch.float32
        else:
            dtype = torch.bfloat16 if training.bf16 else torch.float16 if training.fp16 else torch.float32
        config.bnb_4bit_compute_dtype = dtype
        config.bnb_4bit_use_double_quant = True
    return config


def keep_four_bit_gradients(model: PreTrainedModel) -> None:
    """Keep bitsandbytes from packing the 4-bit layers of `model` for inference on a CPU.

    At the first forward in evaluation mode, on a processor with AVX512-BF16, it rewrites the weights for a kernel
    without backward: after one evaluation the layers below get no gradient, and training continues silently
    (bitsandbytes 0.50, `Linear4bit.forward` and `matmul_4bit`).
    """
    for module in model.modules():
        if hasattr(module, _PACKS):
            setattr(module, _PACKS, False)
