"""Renamed keys: those that TRL 1.x and transformers 5 no longer accept, and those of other trainers (axolotl,
LLaMA-Factory, unsloth, ms-swift, torchtune), with the key to write instead.
"""

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

# The new key takes the same value. The values of the other renamed keys have another form, so a person decides.
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
}  # not push_to_hub_token: the fix would print and record the token
# A switch that became a choice of another key; switched off, it has no replacement.
_SWITCHES = {
    "group_by_length": ("train_sampling_strategy", "group_by_length"),
    "use_flash_attention_2": ("attn_implementation", "flash_attention_2"),
}
_REMOVED = {"overwrite_output_dir": (True, False), "save_safetensors": (True,)}  # the values that can be removed


def certain_replacement(key: str, value: Any) -> Mapping[str, Any] | None:
    """Return the keys that replace the old `key: value` (empty: it can be removed), None if that is not certain.

    A `warmup_ratio` of 1 or more has no replacement: as `warmup_steps` it would count steps.
    """
    if key == "warmup_ratio" and not _is_share(value):
        return None
    if key in _SUCCESSORS:
        return {_SUCCESSORS[key]: value}
    if key in _SWITCHES and isinstance(value, bool):
        return dict([_SWITCHES[key]]) if value else {}
    return {} if isinstance(value, bool) and value in _REMOVED.get(key, ()) else None


def successor_of(key: str) -> str | None:
    """Return the new name of `key`, None if it is removed without a replacement or has no single one."""
    return _SUCCESSORS.get(key) or _SWITCHES.get(key, (None,))[0]


def _is_share(value: Any) -> bool:
    try:
        return not isinstance(value, bool) and 0 <= float(value) < 1
    except (TypeError, ValueError):
        return False


# Keys of other trainers with the same meaning and the same values: theirs=ours.
_PAIRS = """
    base_model=model_name_or_path model_name=model_name_or_path model=model_name_or_path
    model_id=model_name_or_path pretrained_model_name_or_path=model_name_or_path
    lora_model_dir=adapter_name_or_path adapter_path=adapter_name_or_path
    sequence_len=max_length cutoff_len=max_length max_seq_len=max_length max_sequence_length=max_length
    seq_length=max_length block_size=max_length
    sample_packing=packing neat_packing=packing eval_sample_packing=eval_packing
    micro_batch_size=per_device_train_batch_size batch_size=per_device_train_batch_size
    train_batch_size=per_device_train_batch_size per_device_batch_size=per_device_train_batch_size
    eval_batch_size=per_device_eval_batch_size gradient_accumulation=gradient_accumulation_steps
    num_epochs=num_train_epochs epochs=num_train_epochs n_epochs=num_train_epochs
    lr=learning_rate optimizer=optim lr_scheduler=lr_scheduler_type scheduler=lr_scheduler_type
    clip_grad_norm=max_grad_norm random_state=seed random_seed=seed log_every_n_steps=logging_steps
    lora_rank=lora_r r=lora_r target_modules=lora_target_modules lora_attn_modules=lora_target_modules
    modules_to_save=lora_modules_to_save additional_target=lora_modules_to_save
    target_parameters=lora_target_parameters peft_use_dora=use_dora peft_use_rslora=use_rslora
    attn_impl=attn_implementation
    dataset=dataset_name dataset_path=dataset_name data_path=dataset_name train_file=dataset_name
    train_dataset=dataset_name
    val_set_size=test_split_size val_size=test_split_size split_dataset_ratio=test_split_size
    preprocessing_num_workers=dataset_num_proc dataset_processes=dataset_num_proc
    pref_beta=beta pref_loss=loss_type dpo_beta=beta rl_beta=beta
    compile=torch_compile enable_activation_checkpointing=activation_checkpointing
    use_gradient_checkpointing=activation_checkpointing enable_activation_offloading=activation_offloading
    wandb_name=run_name output_path=output_dir save_dir=output_dir output=output_dir
    bnb_4bit_use_double_quant=use_bnb_nested_quant
"""
_SAME_VALUE: dict[str, str] = dict(pair.split("=") for pair in _PAIRS.split())
# Values of other trainers and our keys for them: {their key: {their value: our keys}}.
_BY_VALUE: dict[str, dict[Any, dict[str, Any]]] = {
    "adapter": {"lora": {"use_peft": True}, "qlora": {"use_peft": True, "load_in_4bit": True}},
    "finetuning_type": {"lora": {"use_peft": True}, "full": {"use_peft": False}},
    "train_type": {"lora": {"use_peft": True}, "full": {"use_peft": False}},
    "tuner_type": {"lora": {"use_peft": True}, "full": {"use_peft": False}},
    "full_finetuning": {True: {"use_peft": False}, False: {"use_peft": True}},
    "quantization_bit": {4: {"load_in_4bit": True}, 8: {"load_in_8bit": True}},
    "quant_bits": {4: {"load_in_4bit": True}, 8: {"load_in_8bit": True}},
    "lora_target": {"all": {"lora_target_modules": "all-linear"}},
    "lora_target_linear": {True: {"lora_target_modules": "all-linear"}, False: {}},
    "flash_attention": {True: {"attn_implementation": "flash_attention_2"}, False: {}},
    "sdp_attention": {True: {"attn_implementation": "sdpa"}, False: {}},
    "flash_attn": {
        "fa2": {"attn_implementation": "flash_attention_2"},
        "sdpa": {"attn_implementation": "sdpa"},
        "disabled": {"attn_implementation": "eager"},
        "auto": {},
    },
    "train_on_inputs": {False: {}, True: {"completion_only_loss": False}},
    "train_on_prompt": {False: {}, True: {"completion_only_loss": False}},
    "mask_history": {False: {}, True: {"train_on": "last_turn"}},
    "disable_gradient_checkpointing": {False: {}, True: {"activation_checkpointing": False}},
    "pure_bf16": {False: {}, True: {"dtype": "bfloat16"}},
    "use_wandb": {False: {}, True: {"report_to": "wandb"}},
    "packing_type": {"bfd": {"packing_strategy": "bfd"}},
    "lora_bias": {"none": {}},
    "bias": {"none": {}},
}
# Keys without an equivalent, and what to do in words.
_IN_WORDS = {
    "stage": "the program itself: sft.py, dpo.py or pretrain.py",
    "rl": "the program itself: dpo.py",
    "rlhf_type": "the program itself: dpo.py",
    "template": "chat_template_path (a .jinja file, a tokenizer folder, a Hub id), or nothing for the base's own",
    "dataset_dir": "dataset_name with the whole path",
    "eval_dataset": "dataset_test_split, a split of dataset_name, or test_split_size",
    "val_dataset": "dataset_test_split, a split of dataset_name, or test_split_size",
    "test_datasets": "dataset_test_split, a split of dataset_name, or test_split_size",
    "validation_file": "dataset_test_split, a split of dataset_name, or test_split_size",
    "max_samples": "dataset_train_split: train[:N]",
    "evals_per_epoch": "eval_strategy: steps with eval_steps (a value below 1 is a share of the run)",
    "saves_per_epoch": "save_strategy: steps with save_steps (a value below 1 is a share of the run)",
    "wandb_project": "report_to: wandb with env: {WANDB_PROJECT: NAME}",
    "wandb_entity": "report_to: wandb with env: {WANDB_ENTITY: NAME}",
    "special_tokens": "eos_token and pad_token; the base's tokenizer has the others",
    "cosine_min_lr_ratio": "lr_scheduler_type: cosine_with_min_lr with lr_scheduler_kwargs: {min_lr_rate: SHARE}",
    "early_stopping_patience": "load_best_model_at_end, which keeps the best checkpoint",
    "enable_liger_kernel": "model_init_kwargs: {use_kernels: true}",
    "predict_with_generate": "compare.py, which generates answers to the test split",
    "export_dir": "merge.py --output",
    "interleave_probs": "datasets with a fraction for each entry (weight in pretrain.py)",
    "use_galore": "optim: galore_adamw with optim_target_modules",
    "cache_dir": "the variable HF_HOME of the environment",
    "token": "`hf auth login`, or the variable HF_TOKEN of the environment",
    "system": "a `system` column of the rows",
    "lora_config": "keys of their own at the top level: lora_r, lora_alpha, lora_dropout, lora_target_modules",
    "peft_config": "keys of their own at the top level: lora_r, lora_alpha, lora_dropout, lora_target_modules",
    "lora": "keys of their own at the top level: lora_r, lora_alpha, lora_dropout, lora_target_modules",
    "peft": "keys of their own at the top level: lora_r, lora_alpha, lora_dropout, lora_target_modules",
    "quantization_config": "load_in_4bit or load_in_8bit",
    "quantization": "load_in_4bit or load_in_8bit",
    "xformers_attention": "attn_implementation",
}
_NOT_NEEDED = {
    **dict.fromkeys(
        ("use_unsloth", "use_fast_tokenizer", "tokenizer_type", "strict", "fast_inference"), "it is not needed"
    ),
    **dict.fromkeys(("overwrite_cache", "dataset_prepared_path", "tokenized_path"), "rows are tokenized at each start"),
    **dict.fromkeys(("resize_vocab", "resize_token_embeddings_to_32x"), "embeddings are resized if needed"),
    **dict.fromkeys(("pad_to_sequence_len", "pad_to_max_length"), "rows are padded to the longest of their batch"),
    **dict.fromkeys(("bnb_4bit_compute_dtype", "compute_dtype", "precision"), "the precision follows from the machine"),
    **dict.fromkeys(("plot_loss", "plot_losses"), "the losses are in trainer_state.json and the tracker"),
    "model_type": "it follows from the base",
    "device_map": "`accelerate launch` places the model",
    "infer_backend": "not needed: generate.py and compare.py use transformers",
}


def is_of_another_trainer(key: str) -> bool:
    """Whether `key` is a known key of another trainer."""
    return key in _SAME_VALUE or key in _BY_VALUE or key in _IN_WORDS or key in _NOT_NEEDED


def what_to_write(key: str, value: Any) -> str:
    """Return what to write for another trainer's `key: value`, in words."""
    if value is None:
        return "remove it, it is empty"
    if key in _IN_WORDS:
        return f"write {_IN_WORDS[key]}"
    if key in _NOT_NEEDED:
        return f"remove it, {_NOT_NEEDED[key]}"
    keys = same_meaning(key, value)
    if keys == {}:
        return "remove it, it is the default"
    if key in _SAME_VALUE:
        return f"write `{_SAME_VALUE[key]}`"
    if keys:
        return "write " + " and ".join(f"`{new}: {_as_yaml(one)}`" for new, one in keys.items())
    return f"its known values are {', '.join(map(_as_yaml, _BY_VALUE[key]))}"


def same_meaning(key: str, value: Any) -> Mapping[str, Any] | None:
    """Return the keys that mean the same as another trainer's `key: value`, None if that is not certain."""
    if _SAME_VALUE.get(key) == "test_split_size" and value == 0:
        return {}
    if key in _SAME_VALUE:
        return {_SAME_VALUE[key]: value}
    if key in _NOT_NEEDED and not isinstance(value, dict | list):
        return {}
    if key == "lora_target" and isinstance(value, str | list) and value != "all":
        return {"lora_target_modules": value}
    try:
        return _BY_VALUE.get(key, {}).get(value)
    except TypeError:  # a list or a mapping
        return None


def _as_yaml(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
