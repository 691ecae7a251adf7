"""Learning rate schedules: transformers' own, checked before a model is loaded."""

from typing import Any, cast

import torch
from transformers import TrainingArguments, get_scheduler

from pipelines.errors import UserError

_EXAMPLES = {
    "warmup_stable_decay": "{num_decay_steps: 100, decay_type: 1-sqrt}",
    "cosine_with_min_lr": "{min_lr_rate: 0.1}",
    "cosine_warmup_with_min_lr": "{min_lr_rate: 0.1}",
}
_ANY_LENGTH = 1_000_000  # stands in for the number of steps where epochs decide it


def refuse_impossible_schedule(training: TrainingArguments) -> None:
    """Raise `UserError` if `lr_scheduler_type` cannot be built with these `lr_scheduler_kwargs` and steps.

    transformers finds out after everything is loaded, and lets a decay that is longer than the run pass: the learning
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
            f"for {kind} write lr_scheduler_kwargs: {_EXAMPLES[kind]}"
            if kind in _EXAMPLES
            else "change or remove lr_scheduler_kwargs",
        ) from error
    if kind == "warmup_stable_decay" and n_warmup + n_after_warmup > n_steps:
        raise UserError(
            f"warmup ({n_warmup} steps), stable steps and decay ({n_after_warmup}) exceed the run's {n_steps}",
            "raise max_steps, or lower warmup_steps, num_stable_steps or num_decay_steps",
        )
