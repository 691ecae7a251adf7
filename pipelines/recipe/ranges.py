"""The ranges of numbers: values outside them make a run impossible, meaningless or another one than asked for."""

from collections.abc import Callable

Number = int | float
Range = tuple[Callable[[Number], bool], str]


def _is_whole_or_share(value: Number) -> bool:
    return 0 < value < 1 or (value >= 1 and value == int(value))


_ABOVE_ZERO: Range = (lambda value: value > 0, "a number above 0")
_NOT_NEGATIVE: Range = (lambda value: value >= 0, "a number of 0 or more")
_SHARE: Range = (lambda value: 0 <= value <= 1, "a number from 0 to 1")
_BELOW_ONE: Range = (lambda value: 0 <= value < 1, "a number of at least 0 and below 1")
_SEED: Range = (lambda value: 0 <= value < 2**32, "a whole number from 0 to 4294967295")  # what NumPy takes
_INTERVAL: Range = (_is_whole_or_share, "a whole number of steps, or a share of the run below 1,")
_WARMUP: Range = (lambda value: value == 0 or _is_whole_or_share(value), _INTERVAL[1])
_STEPS: Range = (lambda value: value == -1 or value > 0, "a number of steps above 0, or -1 for num_train_epochs,")
_SPLIT: Range = (_is_whole_or_share, "a share below 1, or a whole number of rows,")

_KEYS_OF_RANGE: list[tuple[Range, str]] = [
    (
        _ABOVE_ZERO,
        "per_device_train_batch_size per_device_eval_batch_size gradient_accumulation_steps num_train_epochs lora_r "
        "lora_alpha max_length adam_epsilon save_total_limit dataset_num_proc eval_accumulation_steps discopop_tau "
        "ref_model_sync_steps precompute_ref_batch_size torch_empty_cache_steps dataloader_prefetch_factor "
        "ddp_bucket_cap_mb ddp_timeout pad_to_multiple_of sample_max_new_tokens muon_learning_rate",
    ),
    (
        _NOT_NEGATIVE,
        "learning_rate weight_decay max_grad_norm dataloader_num_workers neftune_noise_alpha eval_delay n_samples "
        "n_validation_documents router_aux_loss_coef beta f_alpha_divergence_coef",
    ),
    (_SHARE, "max_answer_cut_share max_dropped_share ld_alpha ref_model_mixup_alpha"),
    (_BELOW_ONE, "adam_beta1 adam_beta2 label_smoothing_factor label_smoothing lora_dropout text_validation_share"),
    (_SEED, "seed data_seed"),
    (_INTERVAL, "logging_steps eval_steps save_steps"),
    (_WARMUP, "warmup_steps"),
    (_STEPS, "max_steps"),
    (_SPLIT, "test_split_size"),
    (_ABOVE_ZERO, "fraction weight"),
]
RANGES: dict[str, Range] = {key: one for one, keys in _KEYS_OF_RANGE for key in keys.split()}
