"""Keys of older recipes that TRL 1.x and transformers 5 no longer take, and what replaced each."""

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
}
