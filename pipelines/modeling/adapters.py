"""Adapters: PEFT's LoRA configuration from TRL's `ModelConfig` with safe defaults, and training one further."""

import copy
import re
from typing import cast

import torch
from peft import LoraConfig, PeftModel, get_peft_model_state_dict
from peft.utils import load_peft_weights
from safetensors import SafetensorError
from transformers import GenerationConfig, PreTrainedModel
from trl import ModelConfig, get_peft_config

from pipelines.errors import UserError
from pipelines.hub.pulling import local_copy
from pipelines.hub.references import reference
from pipelines.modeling.loading import attach_quietly, hub_commit

ALL_LINEAR = "all-linear"


def lora_config(arguments: ModelConfig, model: PreTrainedModel, trained_token_ids: list[int]) -> LoraConfig | None:
    """Build PEFT's configuration, None for full fine-tuning.

    LoRA targets all linear layers unless the recipe names targets (PEFT's default is only q_proj and v_proj).
    `trained_token_ids` are tokens new to the base (the chat template's): their rows in the embeddings and in an untied
    output head are trained too, because LoRA leaves embeddings frozen.
    """
    config = cast(LoraConfig | None, get_peft_config(arguments))
    if config is None:
        return None
    config.target_modules = _targets(arguments)
    config.revision = hub_commit(model)  # PEFT records only the base's id, and would load another commit later
    if trained_token_ids and not config.modules_to_save:
        embeddings = {_name_of(model, model.get_input_embeddings()): trained_token_ids}
        head = model.get_output_embeddings()
        if head is not None and not model.config.get_text_config().tie_word_embeddings:
            embeddings[_name_of(model, head)] = trained_token_ids
        config.trainable_token_indices = embeddings
    if config.modules_to_save and model.config.get_text_config().tie_word_embeddings:
        config.ensure_weight_tying = True
    return config


def refuse_sharded_token_rows(config: LoraConfig | None, sharded_by: str | None) -> None:
    """Raise `UserError` if `config` trains rows of new tokens in a run sharded by FSDP: PEFT's wrapper of the
    embeddings mixes whole tensors with shards (PEFT 0.21, `TrainableTokensLayer.get_merged_weights`)."""
    indices = getattr(config, "trainable_token_indices", None)
    if sharded_by != "FSDP" or not indices:
        return
    n_rows = len(next(iter(indices.values()))) if isinstance(indices, dict) else len(indices)
    raise UserError(
        f"the adapter trains the embedding rows of {n_rows} tokens new to the base, which FSDP cannot shard",
        "launch with accelerate_configs/multi_gpu.yaml, set use_peft: false, or use a base with the template's tokens",
        finding="TOKEN_ROWS_SHARDED",
    )


def train_adapters_in_float32(model: PeftModel) -> None:
    """Convert all adapter weights to float32, whatever the base is.

    TRL makes them bfloat16 on a quantized base. Steps of 5e-6, as in preference optimization, are then rounded away
    (bfloat16 resolves 2**-9 of a LoRA A matrix's weights), and the matrix never moves.
    """
    names = set(model.peft_config)
    for name, parameter in model.named_parameters():
        if names & set(name.split(".")) and parameter.dtype in (torch.bfloat16, torch.float16):
            parameter.data = parameter.data.float()


def attach_trainable_adapter(base_model: PreTrainedModel, adapter: str, base: str) -> PeftModel:
    """Put `adapter` on `base_model` to train it further; the adapter's generation config wins if it has one.

    Raises `UserError` if the adapter's matrices do not fit the base.
    """
    found = local_copy(adapter, weights=True)
    try:
        with attach_quietly():
            model = PeftModel.from_pretrained(base_model, str(found.folder), is_trainable=True)
            weights = load_peft_weights(str(found.folder), device="cpu")
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise _misfit(adapter, base, " ".join(str(error).split())[:200]) from error
    wanted = get_peft_model_state_dict(model, save_embedding_layers=False).keys()
    absent = sorted(wanted - weights.keys())
    unused = sorted(name for name in weights.keys() - wanted if ".lora_" in name)
    if absent or unused:
        which = f"no place for {unused[0]}" if unused else f"no weights for {absent[0]}"
        raise _misfit(adapter, base, f"{which} and {len(absent) + len(unused) - 1} others")
    if found.has("generation_config.json"):
        base_model.generation_config = GenerationConfig.from_pretrained(found.folder)
    config = model.peft_config["default"] = copy.copy(model.peft_config["default"])
    # the base's current place: the saved adapter must find it again
    config.base_model_name_or_path, config.revision = reference(base).repo_id or base, hub_commit(base_model)
    return model


def _targets(arguments: ModelConfig) -> str | list[str]:
    """TRL passes a single target as text, which PEFT would match as a pattern against whole module paths."""
    targets: str | list[str] | None = arguments.lora_target_modules
    if targets is None or targets in (ALL_LINEAR, [ALL_LINEAR]):
        return ALL_LINEAR
    if isinstance(targets, list) or targets.replace("_", "").isalnum():
        return [targets] if isinstance(targets, str) else targets
    try:
        re.compile(targets)
    except re.error as error:
        raise UserError(
            f"lora_target_modules {targets!r} is not a valid regular expression ({error})",
            "write all-linear, module names or a regular expression",
        ) from error
    return targets


def _name_of(model: PreTrainedModel, module: object) -> str:
    return next(name for name, candidate in model.named_modules() if candidate is module).rpartition(".")[2]


def _misfit(adapter: str, base: str, what: str) -> UserError:
    return UserError(
        f"the adapter {adapter} does not fit the base {base}: {what}",
        "set model_name_or_path to the base that the adapter was trained on",
    )
