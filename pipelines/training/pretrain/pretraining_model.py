"""The model that `pretrain.py` trains: new from a config, or a checkpoint, whole, by LoRA or by QLoRA."""

import difflib
import json
from typing import Any, cast

import torch
from huggingface_hub.errors import StrictDataclassError
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
from pipelines.modeling.four_bit_on_cpu import keep_four_bit_gradients
from pipelines.modeling.loading import load_base_model, load_config, resize_embeddings
from pipelines.modeling.quantization import quantization_config, refuse_full_training_of_quantized
from pipelines.recipe.arguments import PretrainingArguments
from pipelines.training.pretrain.document_boundaries import refuse_leaking_attention

_DTYPES = ("float32", "bfloat16", "float16")


def tokenizer_to_pretrain(arguments: PretrainingArguments, model_arguments: ModelConfig) -> PreTrainedTokenizerBase:
    """The tokenizer that the recipe names, else the checkpoint's own."""
    if arguments.tokenizer_name_or_path is not None:
        return load_tokenizer(arguments.tokenizer_name_or_path)
    if model_arguments.model_name_or_path is None:
        raise UserError(
            expected="tokenizer_name_or_path in the recipe, to train from scratch",
            got="none",
            remedy="train one with data_prep/train_tokenizer.py, or name another model's",
        )
    return load_tokenizer(model_arguments.model_name_or_path, model_arguments.model_revision)


def model_to_pretrain(
    arguments: PretrainingArguments,
    model_arguments: ModelConfig,
    training: TrainingArguments,
    tokenizer: PreTrainedTokenizerBase,
) -> PreTrainedModel | PeftModel:
    """The checkpoint to continue from, with an adapter if `use_peft`, or a new model of `model_type`.

    Raises `UserError` for a model that cannot keep documents apart in a block.
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
    """Raise `UserError` for keys that exclude each other and for a model that cannot read blocks of `max_length`: asked
    before a run is opened, from the model's config alone."""
    refuse_contradictions(arguments, model_arguments)
    path = model_arguments.model_name_or_path
    config = load_config(path, model_arguments.model_revision) if path else new_config(arguments, tokenizer)
    longest = getattr(config.get_text_config(), "max_position_embeddings", None)
    if longest is not None and longest < arguments.max_length:
        raise UserError(
            expected="max_length within the model's max_position_embeddings",
            got=f"{arguments.max_length} against {longest}",
            remedy="lower max_length, or raise max_position_embeddings in the model_config of a new model",
        )


def refuse_contradictions(arguments: PretrainingArguments, model_arguments: ModelConfig) -> None:
    """Raise `UserError` for keys that exclude each other: a checkpoint and a new model, a new model and LoRA, ..."""
    continues = model_arguments.model_name_or_path is not None
    starts = arguments.model_type is not None or arguments.model_config is not None
    if continues == starts:
        raise UserError(
            expected="either model_name_or_path to continue from, or model_type and model_config to start from scratch",
            got="both" if continues else "neither",
            remedy="set one of them in the recipe",
        )
    if arguments.save_dtype not in _DTYPES:
        raise UserError(
            expected=f"save_dtype to be one of {', '.join(_DTYPES)}", got=arguments.save_dtype, remedy="change it"
        )
    refuse_full_training_of_quantized(model_arguments)
    if model_arguments.use_peft and not continues:
        raise UserError(
            expected="a base for LoRA (model_name_or_path)",
            got="a model from scratch, which has nothing to adapt",
            remedy="remove use_peft, or name a base",
        )


def _new_model(
    arguments: PretrainingArguments, model_arguments: ModelConfig, tokenizer: PreTrainedTokenizerBase
) -> PreTrainedModel:
    dtype = "float32" if model_arguments.dtype in (None, "auto") else str(model_arguments.dtype)
    if dtype not in _DTYPES:
        raise UserError(expected=f"dtype to be one of {', '.join(_DTYPES)}", got=dtype, remedy="change it")
    attention = model_arguments.attn_implementation
    options: dict[str, Any] = {} if attention is None else {"attn_implementation": attention}
    return built(new_config(arguments, tokenizer), dtype=getattr(torch, dtype), **options)


def built(config: Any, **options: Any) -> PreTrainedModel:
    """A new model of `config`. Raises `UserError` for one that cannot be built."""
    try:
        return AutoModelForCausalLM.from_config(config, **options)
    except (ValueError, TypeError, ZeroDivisionError, ImportError, RuntimeError) as error:
        raise UserError(
            expected=f"a causal language model that can be built of model_type {config.model_type}",
            got=_first_line(error),
            remedy="mend model_type, model_config or attn_implementation",
        ) from error


def new_config(arguments: PretrainingArguments, tokenizer: PreTrainedTokenizerBase) -> Any:
    """The config of a model from scratch. Raises `UserError` for what transformers does not know."""
    if arguments.model_type is None or arguments.model_config is None:
        raise UserError(
            expected="model_type and model_config together, to start from scratch",
            got="model_config alone" if arguments.model_type is None else "model_type alone",
            remedy="set the other one too",
        )
    if arguments.model_type not in CONFIG_MAPPING_NAMES:
        close = difflib.get_close_matches(arguments.model_type, CONFIG_MAPPING_NAMES, n=1)
        raise UserError(
            expected="a model_type that transformers knows, such as llama, gpt2 or qwen2",
            got=arguments.model_type,
            remedy=f"did you mean {close[0]}?" if close else "see the model's config.json",
        )
    keys = _model_config_keys(arguments.model_config)
    defaults = AutoConfig.for_model(arguments.model_type)
    unknown = [key for key in keys if not hasattr(defaults, key)]
    if unknown:
        raise UserError(
            expected=f"keys of {type(defaults).__name__} in model_config",
            got=", ".join(unknown),
            remedy="mend or remove them",
        )
    from_tokenizer = {
        "vocab_size": len(tokenizer),
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    try:
        return AutoConfig.for_model(arguments.model_type, **{**keys, **from_tokenizer})
    except (ValueError, TypeError, StrictDataclassError) as error:
        raise UserError(
            expected=f"values that {type(defaults).__name__} takes in model_config",
            got=_first_line(error),
            remedy="mend them",
        ) from error


def _model_config_keys(written: dict[str, Any] | str) -> dict[str, Any]:
    if isinstance(written, dict):
        return dict(written)
    try:
        keys = json.loads(str(written))
    except json.JSONDecodeError:
        keys = None
    if not isinstance(keys, dict):
        raise UserError(
            expected="model_config as keys with values", got=repr(written), remedy='write {"hidden_size": 256, ...}'
        )
    return keys


def _checkpoint(
    model_arguments: ModelConfig, training: TrainingArguments, tokenizer: PreTrainedTokenizerBase
) -> tuple[PreTrainedModel, range]:
    """The checkpoint, and the ids of the tokens whose embeddings are new: an adapter trains their rows."""
    quantization = quantization_config(model_arguments, training)
    options: dict[str, Any] = {} if quantization is None else {"quantization_config": quantization}
    model = load_base_model(
        str(model_arguments.model_name_or_path),
        dtype=model_arguments.dtype or "float32",
        revision=model_arguments.model_revision,
        attn_implementation=model_arguments.attn_implementation,
        **options,
    )
    keep_four_bit_gradients(model)  # held-out text is scored before training
    return model, resize_embeddings(model, tokenizer)


def _with_adapter(model: PreTrainedModel, lora: LoraConfig, training: TrainingArguments) -> PeftModel:
    adapted = cast(PeftModel, get_peft_model(model, lora))
    if training.activation_checkpointing:
        adapted.enable_input_require_grads()  # transformers' trainer leaves it out (transformers#42489)
    train_adapters_in_float32(adapted)
    return adapted


def _first_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
