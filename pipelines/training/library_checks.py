"""Checks of what TRL, transformers and PEFT reject, before rows are read: schedule, base and adapter."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields, replace
from typing import Any, cast

import torch
from huggingface_hub.errors import StrictDataclassError
from peft import get_peft_model
from transformers import AutoModelForCausalLM, PreTrainedModel, TrainingArguments, get_scheduler
from trl import ModelConfig

from pipelines.errors import UserError
from pipelines.modeling import lora_config
from pipelines.modeling.loading import attach_quietly, load_config

# What these libraries raise for values that they do not accept.
LIBRARY_ERRORS = (
    ImportError, RuntimeError, ValueError, TypeError, KeyError, AttributeError, NotImplementedError, AssertionError,
    ArithmeticError, StrictDataclassError,
)  # fmt: skip
_MAX_CHARACTERS = 800
# Keys that name modules: the doctor has a finding for names that match nothing, with the names that exist.
_NAMES = {"lora_target_modules", "lora_target_parameters", "lora_modules_to_save"}
_SCHEDULE_EXAMPLES = {
    "warmup_stable_decay": "{num_decay_steps: 100, decay_type: 1-sqrt}",
    "cosine_with_min_lr": "{min_lr_rate: 0.1}",
    "cosine_warmup_with_min_lr": "{min_lr_rate: 0.1}",
}
_ANY_LENGTH = 1_000_000  # steps, if epochs decide


def message_of(error: BaseException) -> str:
    """A library's whole message on one line."""
    said = error.args[0] if isinstance(error, KeyError) and error.args else error  # a KeyError's text is quoted
    return " ".join(str(said).split())[:_MAX_CHARACTERS] or type(error).__name__


@contextmanager
def explain_library_errors(problem: str, fix: str) -> Iterator[None]:
    """Raise a library's error as a `UserError` that quotes it."""
    try:
        yield
    except LIBRARY_ERRORS as error:
        raise UserError(f"{problem}: {message_of(error)}", fix) from error


def refuse_impossible_base(
    base: str, arguments: ModelConfig, options: dict[str, Any] | None = None, *, new_adapter: bool
) -> None:
    """Raise `UserError` if the model at `base` cannot be built with `options` (model_init_kwargs), or PEFT refuses the
    recipe's adapter; the fix names a key without which it works."""
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
    """PEFT's error for the adapter of `arguments`, None if it accepts it."""
    try:
        with attach_quietly(), warnings.catch_warnings(), torch.device("meta"):
            warnings.simplefilter("ignore")
            config = lora_config(arguments, skeleton, [])
            assert config is not None
            get_peft_model(AutoModelForCausalLM.from_config(skeleton.config), config)
    except LIBRARY_ERRORS as error:
        return error
    return None


def refuse_impossible_schedule(training: TrainingArguments) -> None:
    """Raise `UserError` if `lr_scheduler_type` cannot be built with these `lr_scheduler_kwargs` and steps.

    transformers finds out after everything is loaded, and accepts a decay that is longer than the run: the learning
    rate would then fall from the start, or never.
    """
    n_steps = training.max_steps if training.max_steps > 0 else _ANY_LENGTH
    options: dict[str, Any] = dict(cast(dict[str, Any], training.lr_scheduler_kwargs or {}))
    kind = str(getattr(training.lr_scheduler_type, "value", training.lr_scheduler_type))
    n_warmup = training.get_warmup_steps(n_steps)
    rate = training.learning_rate if (training.learning_rate or 0.0) > 0 else 1.0  # another rate is another fault
    try:
        optimizer = torch.optim.SGD([torch.zeros(1)], lr=rate)
        get_scheduler(kind, optimizer, n_warmup, n_steps, options)
        n_after_warmup = options.get("num_decay_steps", 0) + options.get("num_stable_steps", 0)
    except (TypeError, ValueError) as error:
        raise UserError(
            f"the schedule {kind} does not take lr_scheduler_kwargs {options}: {str(error).replace('()', '')}",
            f"for {kind} write lr_scheduler_kwargs: {_SCHEDULE_EXAMPLES[kind]}"
            if kind in _SCHEDULE_EXAMPLES
            else "change or remove lr_scheduler_kwargs",
        ) from error
    if kind == "warmup_stable_decay" and n_warmup + n_after_warmup > n_steps:
        raise UserError(
            f"warmup ({n_warmup} steps), stable steps and decay ({n_after_warmup}) exceed the run's {n_steps}",
            "raise max_steps, or lower warmup_steps, num_stable_steps or num_decay_steps",
        )
