"""A training step on a CPU without work that does not reach the gradient."""

from typing import cast

import torch
from transformers import Trainer

from pipelines.training.step.fast_dropout import use_fast_dropout
from pipelines.training.step.freed_memory import keep_freed_memory
from pipelines.training.step.trained_tokens_head import train_head_where_labels_are


def make_step_lean(trainer: Trainer) -> None:
    """Output head only where labels are, fast dropout and no memory given back between steps, on a CPU.

    A compiled step is left as it is: together with these, torch's compiler ended in an error.
    """
    if trainer.args.device.type == "cpu" and not trainer.args.torch_compile:
        train_head_where_labels_are()
        use_fast_dropout(cast(torch.nn.Module, trainer.model))
        keep_freed_memory()
