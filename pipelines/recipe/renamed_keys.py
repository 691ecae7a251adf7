"""Keys of older recipes that TRL 1.x and transformers 5 no longer take, and what replaced each."""

from collections.abc import Mapping
from typing import Any

RENAMED_KEYS = {
    "torch_dtype": "dtype",
    "max_seq_length": "max_length",
    "warmup_ratio": "warmup_steps (a value below 1 is a share of the run)",
    "gradient_checkpointing": "activation_checkpointing",
    "gradient_checkpointing_kwargs": "activation_checkpointing_kwargs",
    "evaluation_strategy": "eval_strategy",
    "group_by_length": "train_sampling_strategy: group_by_length",
    "dataset_mixture": "datasets",
    "dataset_mixer": "datasets",
    "chat_template": "chat_template_path (a .jinja file, a tokenizer folder or a Hub id)",
    "use_liger_kernel": "model_init_kwargs: {use_kernels: true}",
    "tokenizer": "processing_class (set by the program; for a template use chat_template_path)",
    "overwrite_output_dir": "nothing: a run folder is fresh, or continued by --resume",
    "use_flash_attention_2": "attn_implementation: flash_attention_2",
    "no_cuda": "use_cpu",
    "per_gpu_train_batch_size": "per_device_train_batch_size",
    "per_gpu_eval_batch_size": "per_device_eval_batch_size",
    "push_to_hub_model_id": "hub_model_id",
    "push_to_hub_token": "hub_token",
    "save_safetensors": "nothing: weights are always saved as safetensors",
}

# Where the new key means the same with the same value. The others need a person: their values have another form.
_SUCCESSORS = {
    "torch_dtype": "dtype",
    "max_seq_length": "max_length",
    "warmup_ratio": "warmup_steps",
    "gradient_checkpointing": "activation_checkpointing",
    "gradient_checkpointing_kwargs": "activation_checkpointing_kwargs",
    "evaluation_strategy": "eval_strategy",
    "no_cuda": "use_cpu",
    "per_gpu_train_batch_size": "per_device_train_batch_size",
    "per_gpu_eval_batch_size": "per_device_eval_batch_size",
    "push_to_hub_model_id": "hub_model_id",
}  # not push_to_hub_token: a fix is printed and recorded with its value
# A switch that became a choice of another key; switched off, nothing takes its place.
_SWITCHES = {
    "group_by_length": ("train_sampling_strategy", "group_by_length"),
    "use_flash_attention_2": ("attn_implementation", "flash_attention_2"),
}
_NEEDLESS = {"overwrite_output_dir": (True, False), "save_safetensors": (True,)}  # and the values that meant nothing


def certain_replacement(key: str, value: Any) -> Mapping[str, Any] | None:
    """What certainly replaces `key: value`: other keys with their values, or none of any. None if that is not certain.

    A `warmup_ratio` of 1 or more is none: as `warmup_steps` it would count steps.
    """
    if key == "warmup_ratio" and not _is_share(value):
        return None
    if key in _SUCCESSORS:
        return {_SUCCESSORS[key]: value}
    if key in _SWITCHES and isinstance(value, bool):
        return dict([_SWITCHES[key]]) if value else {}
    return {} if isinstance(value, bool) and value in _NEEDLESS.get(key, ()) else None


def successor_of(key: str) -> str | None:
    """The one key that can take the place of the renamed `key`, None if it just goes or is another matter."""
    return _SUCCESSORS.get(key) or _SWITCHES.get(key, (None,))[0]


def _is_share(value: Any) -> bool:
    try:
        return not isinstance(value, bool) and 0 <= float(value) < 1
    except (TypeError, ValueError):
        return False
