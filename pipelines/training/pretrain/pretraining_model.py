"""The model to pretrain: new from a config, or a checkpoint, in full or with LoRA or QLoRA."""

import difflib
import json
from typing import Any, cast

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    TrainingArguments,
    set_seed,
)
from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES
from trl import ModelConfig

from pipelines.errors import UserError
from pipelines.modeling import load_tokenizer, lora_config, train_adapters_in_float32
from pipelines.modeling.loading import load_base_model, load_config, resize_embeddings
from pipelines.modeling.quantization import (
    keep_four_bit_gradients,
    quantization_config,
    refuse_full_training_of_quantized,
)
from pipelines.recipe.arguments import PretrainingArguments
from pipelines.training.library_checks import explain_library_errors
from pipelines.training.pretrain.document_boundaries import refuse_leaking_attention

_DTYPES = ("float32", "bfloat16", "float16")


def tokenizer_to_pretrain(arguments: PretrainingArguments, model_arguments: ModelConfig) -> PreTrainedTokenizerBase:
    """Load the recipe's tokenizer, else the checkpoint's."""
    if arguments.tokenizer_name_or_path is not None:
        return load_tokenizer(arguments.tokenizer_name_or_path)
    if model_arguments.model_name_or_path is None:
        raise UserError(
            "tokenizer_name_or_path is missing in the recipe, which trains from scratch",
            "train one with data_prep/train_tokenizer.py, or name another model's",
        )
    return load_tokenizer(model_arguments.model_name_or_path, model_arguments.model_revision)


def model_to_pretrain(
    arguments: PretrainingArguments,
    model_arguments: ModelConfig,
    training: TrainingArguments,
    tokenizer: PreTrainedTokenizerBase,
) -> PreTrainedModel | PeftModel:
    """Load the checkpoint to continue from, with an adapter if `use_peft`, or make a new model of `model_type`.

    Raises `UserError` for a model that cannot keep documents of a block apart.
    """
    set_seed(training.seed)
    if model_arguments.model_name_or_path is None:
        model = _new_model(arguments, model_arguments, tokenizer)
        added = range(0)
    else:
        model, added = _checkpoint(model_arguments, training, tokenizer)
    if arguments.respect_documents:
        refuse_leaking_attention(model)
    lora = lora_config(model_arguments, model, list(added))
    return model if lora is None else _with_adapter(model, lora, training)


def refuse_impossible_model(
    arguments: PretrainingArguments, model_arguments: ModelConfig, tokenizer: PreTrainedTokenizerBase
) -> None:
    """Raise `UserError` for contradictory keys and for a model that cannot read blocks of `max_length`; needs only the
    model's config, before a run is opened."""
    refuse_contradictions(arguments, model_arguments)
    path = model_arguments.model_name_or_path
    config = load_config(path, model_arguments.model_revision) if path else new_config(arguments, tokenizer)
    longest = getattr(config.get_text_config(), "max_position_embeddings", None)
    if longest is not None and longest < arguments.max_length:
        raise UserError(
            f"max_length is {arguments.max_length}, above the model's max_position_embeddings {longest}",
            "lower max_length, or raise max_position_embeddings in the model_config of a new model",
        )


def refuse_contradictions(arguments: PretrainingArguments, model_arguments: ModelConfig) -> None:
    """Raise `UserError` for contradictory keys: a checkpoint and a new model, a new model and LoRA, ..."""
    continues = model_arguments.model_name_or_path is not None
    starts = arguments.model_type is not None or arguments.model_config is not None
    if continues == starts:
        raise UserError(
            f"the recipe has {'both' if continues else 'neither'} of model_name_or_path (to continue from) and "
            "model_type with model_config (to start from scratch)",
            "set one of them",
        )
    if arguments.save_dtype not in _DTYPES:
        raise UserError(f"save_dtype is {arguments.save_dtype}", f"use one of {', '.join(_DTYPES)}")
    refuse_full_training_of_quantized(model_arguments)
    if model_arguments.use_peft and not continues:
        raise UserError(
            "use_peft is set for a model from scratch, which has no base to adapt",
            "remove use_peft, or set model_name_or_path",
        )


def _new_model(
    arguments: PretrainingArguments, model_arguments: ModelConfig, tokenizer: PreTrainedTokenizerBase
) -> PreTrainedModel:
    dtype = "float32" if model_arguments.dtype in (None, "auto") else str(model_arguments.dtype)
    if dtype not in _DTYPES:
        raise UserError(f"dtype is {dtype}", f"use one of {', '.join(_DTYPES)}")
    attention = model_arguments.attn_implementation
    options: dict[str, Any] = {} if attention is None else {"attn_implementation": attention}
    return built(new_config(arguments, tokenizer), dtype=getattr(torch, dtype), **options)


def built(config: Any, **options: Any) -> PreTrainedModel:
    """Make a new model of `config`. Raises `UserError` if it cannot be built."""
    problem = f"no causal language model of model_type {config.model_type} can be built"
    with explain_library_errors(problem, "change model_type, model_config or attn_implementation"):
        return AutoModelForCausalLM.from_config(config, **options)


def new_config(arguments: PretrainingArguments, tokenizer: PreTrainedTokenizerBase) -> Any:
    """Make the config of a model from scratch. Raises `UserError` for unknown types and keys."""
    if arguments.model_type is None or arguments.model_config is None:
        raise UserError(
            f"{'model_type' if arguments.model_type is None else 'model_config'} is missing: a model from "
            "scratch needs both",
            "set the other one too",
        )
    if arguments.model_type not in CONFIG_MAPPING_NAMES:
        close = difflib.get_close_matches(arguments.model_type, CONFIG_MAPPING_NAMES, n=1)
        raise UserError(
            f"transformers has no model_type {arguments.model_type}, expected one such as llama, gpt2 or qwen2",
            f"did you mean {close[0]}?" if close else "see the model's config.json",
        )
    keys = _model_config_keys(arguments.model_config)
    defaults = AutoConfig.for_model(arguments.model_type)
    unknown = [key for key in keys if not hasattr(defaults, key)]
    if unknown:
        raise UserError(
            f"model_config has {', '.join(unknown)}, which {type(defaults).__name__} does not have",
            "correct or remove these keys",
        )
    from_tokenizer = {
        "vocab_size": len(tokenizer),
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    with explain_library_errors(f"{type(defaults).__name__} rejects the values in model_config", "correct them"):
        return AutoConfig.for_model(arguments.model_type, **{**keys, **from_tokenizer})


def _model_config_keys(written: dict[str, Any] | str) -> dict[str, Any]:
    if isinstance(written, dict):
        return dict(written)
    try:
        keys = json.loads(str(written))
    except json.JSONDecodeError:
        keys = None
    if not isinstance(keys, dict):
        raise UserError(f"model_config is {written!r}, expected keys with values", 'write {"hidden_size": 256, ...}')
    return keys


def _checkpoint(
    model_arguments: ModelConfig, training: TrainingArguments, tokenizer: PreTrainedTokenizerBase
) -> tuple[PreTrainedModel, range]:
    """Load the checkpoint; return it with the ids of tokens with new embeddings, whose rows an adapter trains."""
    quantization = quantization_config(model_arguments, training)
    options: dict[str, Any] = {} if quantization is None else {"quantization_config": quantization}
    model = load_base_model(
        str(model_arguments.model_name_or_path),
        dtype=model_arguments.dtype or "float32",
        revision=model_arguments.model_revision,
        attn_implementation=model_arguments.attn_implementation,
        **options,
    )
    keep_four_bit_gradients(model)  # because held-out text is scored before training
    return model, resize_embeddings(model, tokenizer)


def _with_adapter(model: PreTrainedModel, lora: LoraConfig, training: TrainingArguments) -> PeftModel:
    adapted = cast(PeftModel, get_peft_model(model, lora))
    if training.activation_checkpointing:
        adapted.enable_input_require_grads()  # transformers' trainer leaves it out (transformers#42489)
    train_adapters_in_float32(adapted)
    return adapted
