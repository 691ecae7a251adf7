"""Out of memory in a training: at which rows, and what to change in the recipe."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from transformers import Trainer

from pipelines.errors import MachineFailure, UserError, is_out_of_memory
from pipelines.training.step.finite_steps import row_number, single_rows

_MOST_NAMED = 8


def out_of_memory(trainer: Trainer, problem: str, n_sequences: int, *, evaluates: bool = False) -> UserError:
    """The error for a batch of `n_sequences`, with keys to change; of a run that has begun, those that still may."""
    args: Any = trainer.args
    budget, size = getattr(trainer, "max_tokens_per_micro_batch", 0), args.per_device_train_batch_size
    ways = [f"lower max_tokens_per_micro_batch ({budget:,})"] if budget and n_sequences > 1 else []
    if evaluates:
        ways = ways or [f"lower per_device_eval_batch_size ({args.per_device_eval_batch_size})"]
    elif not args.activation_checkpointing and not (budget and args.device.type == "cpu"):  # there it is turned off
        ways.append("set activation_checkpointing: true")
    if trainer.state.global_step:
        return MachineFailure(problem, ", or ".join(["free memory on this machine", *ways]))
    if not budget and size > 1 and not evaluates:
        n_steps = args.gradient_accumulation_steps
        ways.append(
            f"set per_device_train_batch_size: {size // 2} (now {size}) and gradient_accumulation_steps: "
            f"{-(-size * n_steps // (size // 2))} (now {n_steps})"
        )
    return UserError(problem, ", or ".join([*ways, "lower max_length"]) + "; start again with another --output_dir")


def named_rows(numbers: Sequence[int], shape: Sequence[int]) -> str:
    """`rows 3, 17 (2 x 1,024 tokens, the longest first)`: numbers in the split; sequences,
    and tokens of each with padding."""
    size = " x ".join(f"{n:,}" for n in shape) + " tokens"
    if not numbers:
        return f"a batch of {size}"
    named = ", ".join(map(str, numbers[:_MOST_NAMED]))
    more = f" and {len(numbers) - _MOST_NAMED} more" if len(numbers) > _MOST_NAMED else ""
    order = ", the longest first" if len(numbers) > 1 else ""
    return f"row{'' if len(numbers) == 1 else 's'} {named}{more} ({size}{order})"


@contextmanager
def memory_errors_explained(trainer: Trainer) -> Iterator[None]:
    """Raise an out of memory error of the training as `UserError`, with the step, its rows and what to change."""
    try:
        yield
    except (RuntimeError, MemoryError, OSError) as error:
        if not is_out_of_memory(error):
            raise
        batches = [one for one in getattr(trainer, "_batches", ()) if one["input_ids"].numel()]
        shape = max((tuple(one["input_ids"].shape) for one in batches), default=(1, 0))
        evaluates = trainer.model is not None and not trainer.model.training
        if evaluates or not batches:
            where = f"after step {trainer.state.global_step}" + (", in an evaluation" if evaluates else "")
        else:
            where = f"in step {trainer.state.global_step + 1}: {named_rows(_numbers(trainer, batches), shape)}"
        raise out_of_memory(trainer, f"out of memory {where}", shape[0], evaluates=evaluates) from error


def _numbers(trainer: Any, batches: Sequence[Any]) -> list[int]:
    """The numbers of the rows in the batches of a step, of the longest first, found by their tokens."""
    rows = []
    for row in (row for batch in batches for row in single_rows(batch)):
        real = row["attention_mask"][0].bool() if "attention_mask" in row else slice(None)
        rows.append(row["input_ids"][0, real].tolist())
    found = [row_number(ids, trainer.examples, trainer.ledger) for ids in sorted(rows, key=len, reverse=True)]
    return [number for number in found if number is not None]
