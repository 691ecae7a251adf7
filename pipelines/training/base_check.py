"""The base and its adapter on the meta device: what cannot be loaded or adapted is refused before rows are read."""

import warnings
from dataclasses import fields, replace
from typing import Any

import torch
from peft import get_peft_model
from transformers import AutoModelForCausalLM, PreTrainedModel
from trl import ModelConfig

from pipelines.errors import UserError
from pipelines.modeling import lora_config
from pipelines.modeling.loading import attach_quietly, load_config
from pipelines.training.library_errors import LIBRARY_ERRORS, explain_library_errors, message_of

# Keys that name modules: the doctor has a finding for names that match nothing, with the names that there are.
_NAMES = {"lora_target_modules", "lora_target_parameters", "lora_modules_to_save"}


def refuse_impossible_base(
    base: str, arguments: ModelConfig, options: dict[str, Any] | None = None, *, new_adapter: bool
) -> None:
    """Raise `UserError` if the model at `base` cannot be built with `options` (model_init_kwargs), or if PEFT does not
    put the recipe's adapter on it. The remedy names a key without which it does."""
    skeleton = _skeleton(base, arguments, options or {})
    if not new_adapter or not arguments.use_peft:
        return
    error = _peft_error(skeleton, arguments)
    if error is None:
        return
    defaults = {**vars(ModelConfig()), "lora_dropout": 0.0}
    keys = [one.name for one in fields(ModelConfig) if one.name.startswith("lora_") or one.name.startswith("use_")]
    changed = {key: defaults[key] for key in keys if key != "use_peft" and getattr(arguments, key) != defaults[key]}
    culprits = [key for key, value in changed.items() if not _peft_error(skeleton, replace(arguments, **{key: value}))]
    if culprits and not set(culprits) & _NAMES:
        raise UserError(
            f"PEFT puts no adapter on {base} with "
            + ", ".join(f"{key}: {getattr(arguments, key)}" for key in culprits)
            + f" ({message_of(error)})",
            " or ".join(f"set {key}: {changed[key]}" for key in culprits),
        ) from error


def _skeleton(base: str, arguments: ModelConfig, options: dict[str, Any]) -> PreTrainedModel:
    """The model without its weights."""
    config = load_config(base, arguments.model_revision)
    attention = options.get("attn_implementation", arguments.attn_implementation)
    with (
        explain_library_errors(f"the model {base} cannot be built", "change attn_implementation or model_init_kwargs"),
        attach_quietly(),
        torch.device("meta"),
    ):
        return AutoModelForCausalLM.from_config(config, **({"attn_implementation": attention} if attention else {}))


def _peft_error(skeleton: PreTrainedModel, arguments: ModelConfig) -> BaseException | None:
    """What PEFT raises for the adapter of `arguments`, None if it puts it on."""
    try:
        with attach_quietly(), warnings.catch_warnings(), torch.device("meta"):
            warnings.simplefilter("ignore")
            config = lora_config(arguments, skeleton, [])
            assert config is not None
            get_peft_model(AutoModelForCausalLM.from_config(skeleton.config), config)
    except LIBRARY_ERRORS as error:
        return error
    return None
