"""The adapter: PEFT's LoRA configuration out of TRL's `ModelConfig`, with safe defaults."""

import re
from typing import cast

import torch
from peft import LoraConfig, PeftModel
from transformers import PreTrainedModel
from trl import ModelConfig, get_peft_config

from pipelines.errors import UserError
from pipelines.modeling.loading import hub_commit

ALL_LINEAR = "all-linear"


def lora_config(arguments: ModelConfig, model: PreTrainedModel, trained_token_ids: list[int]) -> LoraConfig | None:
    """PEFT's configuration, None for full fine-tuning.

    LoRA goes to all linear layers unless the recipe names targets (PEFT's own default is q_proj and v_proj alone).
    `trained_token_ids` are tokens new to the base (the chat template's marks): their embedding rows are trained beside
    the matrices, and those of an untied output head too, since LoRA itself leaves embeddings frozen.
    """
    config = cast(LoraConfig | None, get_peft_config(arguments))
    if config is None:
        return None
    config.target_modules = _targets(arguments)
    config.revision = hub_commit(model)  # PEFT notes the base's id, and would load another commit of it later
    if trained_token_ids and not config.modules_to_save:
        embeddings = {_name_of(model, model.get_input_embeddings()): trained_token_ids}
        head = model.get_output_embeddings()
        if head is not None and not model.config.get_text_config().tie_word_embeddings:
            embeddings[_name_of(model, head)] = trained_token_ids
        config.trainable_token_indices = embeddings
    if config.modules_to_save and model.config.get_text_config().tie_word_embeddings:
        config.ensure_weight_tying = True
    return config


def train_adapters_in_float32(model: PeftModel) -> None:
    """Make every adapter's own weights float32, whatever the base is.

    TRL makes those on a quantized base bfloat16. Steps of 5e-6, as in preference optimization, are then below half of
    what bfloat16 can tell apart at a LoRA A matrix's weights (2**-9 of them), and the matrix never moves.
    """
    names = set(model.peft_config)
    for name, parameter in model.named_parameters():
        if names & set(name.split(".")) and parameter.dtype in (torch.bfloat16, torch.float16):
            parameter.data = parameter.data.float()


def _targets(arguments: ModelConfig) -> str | list[str]:
    """TRL hands a single target over as text, which PEFT would match as a pattern against whole module paths."""
    targets: str | list[str] | None = arguments.lora_target_modules
    if targets is None or targets in (ALL_LINEAR, [ALL_LINEAR]):
        return ALL_LINEAR
    if isinstance(targets, list) or targets.replace("_", "").isalnum():
        return [targets] if isinstance(targets, str) else targets
    try:
        re.compile(targets)
    except re.error as error:
        raise UserError(
            expected="lora_target_modules to be all-linear, names of modules or a regular expression",
            got=f"{targets!r}: {error}",
            remedy="mend it",
        ) from error
    return targets


def _name_of(model: PreTrainedModel, module: object) -> str:
    return next(name for name, candidate in model.named_modules() if candidate is module).rpartition(".")[2]
