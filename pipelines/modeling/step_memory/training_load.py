"""What one device holds and computes in a step, read from the arguments of a parsed recipe."""

from dataclasses import dataclass
from enum import StrEnum

from transformers import TrainingArguments
from trl import DPOConfig, ModelConfig, SFTConfig

from pipelines.recipe.precision import HALF_TYPES


class Method(StrEnum):
    """What is trained: all weights, or LoRA on a base in the recipe's dtype, in 8 bits or in 4 bits."""

    FULL = "full"
    LORA = "lora"
    LORA_8BIT = "lora-8bit"
    QLORA = "qlora"


@dataclass(frozen=True)
class TrainingLoad:
    """One device's part of a run.

    `n_tokens` is what one forward and backward takes in, padding included: sequences of the batch times their longest
    length, for preferences chosen and rejected together. `weight_bytes` is the size of a weight that is loaded in the
    recipe's dtype. `trains_tokens`: rows of the embeddings are trained with LoRA, because a chat template is new to
    the base. `fused_head`: the loss is computed in tiles of the logits, as TRL's trainers do. `packed`: the rows of a
    batch are laid end to end, and a mask over all their tokens keeps examples apart. `compute_bytes` is the size of a
    number in the arithmetic: 2 for bfloat16 and float16, 4 for float32. `n_adapter` are the weights of an adapter that
    is not LoRA of one rank on all linear layers, such as that on experts; None for one that is.
    """

    method: Method
    n_tokens: int
    sequence_length: int
    lora_rank: int = 0
    lora_dropout: bool = False
    weight_bytes: int = 2
    activation_checkpointing: bool = True
    trains_tokens: bool = False
    fused_head: bool = True
    reference: bool = False
    packed: bool = False
    compute_bytes: int = 2
    n_adapter: int | None = None


def training_load(
    model: ModelConfig,
    training: TrainingArguments,
    max_length: int,
    *,
    trains_tokens: bool = False,
    adapter: ModelConfig | None = None,
) -> TrainingLoad:
    """The load of a recipe. `adapter` is the recipe of the adapter that DPO trains further.

    It computes in 16 bits where `training` says so (bf16, fp16), or where the weights are loaded in them.
    """
    in_16_bits = training.bf16 or training.fp16 or model.dtype in HALF_TYPES
    lora = adapter or model
    n_sequences = training.per_device_train_batch_size * (2 if isinstance(training, DPOConfig) else 1)
    method = _method(model) if lora.use_peft else Method.FULL
    return TrainingLoad(
        method=method,
        n_tokens=n_sequences * max_length,
        sequence_length=max_length,
        lora_rank=0 if method is Method.FULL else lora.lora_r,
        lora_dropout=lora.lora_dropout > 0 and not isinstance(training, DPOConfig),  # DPO turns dropout off
        weight_bytes=2 if model.dtype in HALF_TYPES else 4,
        activation_checkpointing=bool(training.activation_checkpointing),
        trains_tokens=trains_tokens and method is not Method.FULL,
        fused_head=isinstance(training, SFTConfig | DPOConfig),
        reference=isinstance(training, DPOConfig),
        packed=isinstance(training, SFTConfig) and bool(training.packing or training.padding_free),
        compute_bytes=2 if in_16_bits else 4,
    )


def _method(model: ModelConfig) -> Method:
    if model.load_in_4bit:
        return Method.QLORA
    return Method.LORA_8BIT if model.load_in_8bit else Method.LORA
