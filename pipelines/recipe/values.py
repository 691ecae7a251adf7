"""Convert and check values: the type, the choices and the range of each key."""

import difflib
import math
import re
from collections.abc import Callable
from typing import Any

from pipelines.errors import UserError
from pipelines.recipe.accepted_keys import AcceptedKey, accepted_keys, registered_names
from pipelines.recipe.raw_values import RawValue, read_yaml_value

_BOOLEANS = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}
_WORDS = re.compile(r"[\w.\-]+(,\s*[\w.\-]+)+")  # a,b,c: not a pattern, not a sentence
_NO_NUMBER = re.compile(r"[-+]?\.(inf|nan)", re.IGNORECASE)  # as YAML writes them
_PROSE = ("sample_prompts",)  # lists whose items may hold a comma
_PATHS_OR_MAPPINGS = ("deepspeed", "fsdp_config", "accelerator_config", "data_files")
# Values that other trainers accept for keys that are true or false here.
_OTHER_VALUES = {
    ("bf16", "auto"): "remove it: the precision follows from the machine",
    ("fp16", "auto"): "remove it: the precision follows from the machine",
    ("tf32", "auto"): "remove it",
    ("gradient_checkpointing", "unsloth"): "write true",
    ("activation_checkpointing", "unsloth"): "write true",
}
# Choices that are in a registry of the library, and those that it accepts in addition.
_REGISTRIES = {
    "attn_implementation": (("transformers.modeling_utils", "_global_mapping"), ("eager",)),
    "report_to": (("transformers.integrations.integration_utils", "INTEGRATION_TO_CALLBACK"), ("all", "none")),
}
_LISTED = {
    "bnb_4bit_quant_storage": ("uint8", "float16", "bfloat16", "float32"),
    "pad_to_multiple_of": ("auto",),
    "torch_compile_mode": ("default", "reduce-overhead", "max-autotune", "max-autotune-no-cudagraphs"),
    "save_dtype": ("float32", "bfloat16"),
}

Number = int | float
Range = tuple[Callable[[Number], bool], str]


def _is_whole_or_share(value: Number) -> bool:
    return 0 < value < 1 or (value >= 1 and value == int(value))


_ABOVE_ZERO: Range = (lambda value: value > 0, "a number above 0")
_NOT_NEGATIVE: Range = (lambda value: value >= 0, "a number of 0 or more")
_SHARE: Range = (lambda value: 0 <= value <= 1, "a number from 0 to 1")
_BELOW_ONE: Range = (lambda value: 0 <= value < 1, "a number of at least 0 and below 1")
_SEED: Range = (lambda value: 0 <= value < 2**32, "a whole number from 0 to 4294967295")  # what NumPy takes
_INTERVAL: Range = (_is_whole_or_share, "a whole number of steps, or a share of the run below 1")
_WARMUP: Range = (lambda value: value == 0 or _is_whole_or_share(value), _INTERVAL[1])
_STEPS: Range = (lambda value: value == -1 or value > 0, "a number of steps above 0, or -1 for num_train_epochs")
_SPLIT: Range = (_is_whole_or_share, "a share below 1, or a whole number of rows")

_KEYS_OF_RANGE: list[tuple[Range, str]] = [
    (
        _ABOVE_ZERO,
        "per_device_train_batch_size per_device_eval_batch_size gradient_accumulation_steps num_train_epochs lora_r "
        "lora_alpha max_length adam_epsilon save_total_limit dataset_num_proc eval_accumulation_steps discopop_tau "
        "ref_model_sync_steps precompute_ref_batch_size torch_empty_cache_steps dataloader_prefetch_factor "
        "ddp_bucket_cap_mb ddp_timeout pad_to_multiple_of sample_max_new_tokens muon_learning_rate max_hours patience "
        "keep_best_rows keep_best_max_new_tokens",
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


def typed(key: AcceptedKey, raw: RawValue) -> Any:
    """Convert `raw` to the type of `key`. Raises `UserError` for a wrong type, choice or range."""
    value = _converted(key, raw)
    _refuse_other_than_choices(key, value)
    _refuse_out_of_range(key.name, value)
    return value


def _converted(key: AcceptedKey, raw: RawValue) -> Any:
    text, value = raw.text, raw.value
    if text is not None and ("\0" in text or (text == "" and raw.from_command_line)):
        raise _ill_typed(key, repr(text))
    if text is not None and "dict" in key.types and key.name not in _PATHS_OR_MAPPINGS:
        value = read_yaml_value(text)  # '{"num_cycles": 2}' on the command line
    if "dict" in key.types and isinstance(value, dict):
        return value
    if text is not None and "list" in key.types and isinstance(value, list):
        return _list(key, value, tuple(map(str, value)))
    if text is not None:
        return _scalar(key, text, value)
    if value is None:
        if "None" in key.types:
            return None
        raise UserError(f"`{key.name}` has no value, expected {_words(key)}", f"write one, or remove `{key.name}`")
    if value is True and "bool" in key.types:
        return True
    if isinstance(value, list) and "list" in key.types:
        return _list(key, value, raw.items)
    if raw.from_command_line:
        values = "no value" if value is True else f"the values {' '.join(map(repr, raw.items or ()))}"
        raise UserError(f"--{key.name} has {values}, expected one", f"write --{key.name} VALUE")
    raise _ill_typed(key, repr(value))


def _scalar(key: AcceptedKey, text: str, value: Any) -> Any:
    if "None" in key.types and (text == "None" or ("str" not in key.types and text.lower() in ("none", "null"))):
        return None
    if "bool" in key.types and isinstance(value, bool):
        return value
    if "dict" in key.types and key.name not in _PATHS_OR_MAPPINGS:
        raise _ill_typed(key, repr(text))
    if "list" in key.types and ("str" not in key.types or _WORDS.fullmatch(text)):
        items = re.split(r",\s*", text) if _WORDS.fullmatch(text) and key.name not in _PROSE else [text]
        return _list(key, items, tuple(items))
    if key.types & {"int", "float"}:
        return _number(key, text)
    if "bool" in key.types and "str" not in key.types:
        if text.lower() not in _BOOLEANS:
            raise _ill_typed(key, repr(text), fix=_OTHER_VALUES.get((key.name, text)))
        return _BOOLEANS[text.lower()]
    return _spelled_as_choice(key, text)


def _number(key: AcceptedKey, text: str) -> int | float | str:
    try:
        number = int(text) if re.fullmatch(r"[-+]?[\d_]+", text) else float(_NO_NUMBER.sub("nan", text))
    except ValueError:
        if "str" in key.types:
            return text
        raise _ill_typed(key, repr(text)) from None
    if not math.isfinite(number):
        raise _ill_typed(key, repr(text), "a finite number")
    if "float" in key.types:
        return number
    if number != int(number):
        raise _ill_typed(key, repr(text))
    return int(number)


def _list(key: AcceptedKey, values: list[Any], items: tuple[str, ...] | None) -> list[Any]:
    """Convert the items of a list; `items` is the source of each, None if they are not scalars."""
    if key.item_type == "DatasetConfig":
        if not all(isinstance(one, dict) for one in values):
            raise _ill_typed(key, repr(values))
        return [_mixture_part(number, one) for number, one in enumerate(values, 1)]
    if key.item_type == "float":
        try:
            return [float(item) for item in items or [""]]
        except ValueError:
            raise _ill_typed(key, repr(values)) from None
    if items is None or not all(isinstance(one, str | bool) for one in values):  # YAML reads `no` as a bool
        raise _ill_typed(key, repr(values))
    return [_spelled_as_choice(key, item) for item in items]


def _mixture_part(number: int, entry: dict[Any, Any]) -> dict[str, Any]:
    """One entry of `datasets`, its values converted."""
    accepted = accepted_keys(["pipelines.recipe.arguments.MixturePart"])
    unknown = [str(one) for one in entry if one not in accepted]
    if unknown:
        problem = f"entry {number} of `datasets` has the unknown {', '.join(unknown)}, expected {', '.join(accepted)}"
        raise UserError(problem, f"remove or rename {', '.join(unknown)}")
    if "path" not in entry:
        raise UserError(f"entry {number} of `datasets` has no path", "name its path")
    pairs = [(one, RawValue(value, None if value is None else str(value))) for one, value in entry.items()]
    plain = {one: entry[one] for one, raw in pairs if isinstance(raw.value, dict | list)}
    return {one: plain[one] if one in plain else typed(accepted[one], raw) for one, raw in pairs}


def _spelled_as_choice(key: AcceptedKey, text: str) -> str:
    """`text`, in lower case if only that is a choice; false is how YAML spells a bare `off` or `no`."""
    if text in key.choices or text.lower() in key.choices:
        return text if text in key.choices else text.lower()
    off = [choice for choice in ("off", "no") if choice in key.choices]
    return off[0] if text.lower() == "false" and off else text


def _refuse_other_than_choices(key: AcceptedKey, value: Any) -> None:
    choices = choices_of(key)
    values = value if isinstance(value, list) else [value]
    for one in values if choices else ():
        if isinstance(one, str) and one not in choices and not _is_kernel(key.name, one):
            close = difflib.get_close_matches(one, choices, n=1)
            if one.lower() in ("false", "no", "off") and "none" in choices:
                close = ["none"]
            problem = f"`{key.name}` is {one!r}, expected one of {', '.join(choices)}"
            raise UserError(problem, f"did you mean {close[0]}?" if close else None)


def choices_of(key: AcceptedKey) -> tuple[str, ...]:
    """Return the values that `key` accepts, empty for any."""
    if key.name in _REGISTRIES:
        (module, variable), others = _REGISTRIES[key.name]
        return (*others, *registered_names(module, variable))
    return key.choices or _LISTED.get(key.name, ())


def _is_kernel(key: str, value: str) -> bool:
    """Whether `value` is an attention kernel of the Hub, as org/name."""
    return key == "attn_implementation" and ("/" in value or value.startswith("paged|"))


def _refuse_out_of_range(key: str, value: Any) -> None:
    if key in RANGES and isinstance(value, int | float) and not isinstance(value, bool):
        is_allowed, words = RANGES[key]
        if not is_allowed(value):
            raise UserError(f"`{key}` is {value}, expected {words}")


def _ill_typed(key: AcceptedKey, value: str, expected: str | None = None, fix: str | None = None) -> UserError:
    return UserError(f"`{key.name}` is {value}, expected {expected or _words(key)}", fix)


def _words(key: AcceptedKey) -> str:
    """The type of `key` in words."""
    if key.types & {"int", "float"}:
        return "a whole number" if "float" not in key.types else "a number"
    if "list" in key.types:
        others = {"float": "a list of numbers", "DatasetConfig": "a list of mappings, each with a path"}
        return others.get(key.item_type, "a list of words")
    if "dict" in key.types:
        return "a mapping"
    return "true or false" if "bool" in key.types and "str" not in key.types else "text"
