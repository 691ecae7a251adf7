"""The worst batch first: what would run out of memory at step 900 does so before step 1."""

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import psutil
import torch
from accelerate.utils import DistributedType, gather_object
from torch.utils.data import IterableDataset
from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from trl import DPOTrainer, SFTTrainer

from pipelines.errors import UserError, is_out_of_memory
from pipelines.modeling.step_memory.fitting import load_of_model
from pipelines.modeling.step_memory.forecast import GIB, memory_forecast
from pipelines.modeling.step_memory.model_shape import model_shape
from pipelines.records import Run
from pipelines.training.callbacks.logging_callback import say
from pipelines.training.callbacks.throughput import peak_memory_bytes
from pipelines.training.memory_errors import named_rows, out_of_memory
from pipelines.training.step.largest_batch import LargestBatch, largest_batches
from pipelines.training.step.undoing import trial_optimizer_step, undone


class WorstBatchFirst(TrainerCallback):
    """Before step 1, run the largest batch that the sampler can form through optimizer, forward and backward, and the
    largest batch of an evaluation through forward; then undo all of it, to the bit.

    Raises `UserError` on every rank if one runs out of memory.
    """

    def __init__(self, trainer: Trainer, run: Run, *, wanted: bool = True) -> None:
        self.trainer, self.run, self.wanted = trainer, run, wanted

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:  # noqa: ARG002
        """Try them, print one line and note it in run.json; nothing if the recipe does not want it."""
        if not self.wanted:
            return
        reason = _why_not(self.trainer)
        if reason is not None:
            self._tell(f"worst batch: not tried, {reason}", {"reason": reason})
            return
        began, train, held_out = time.perf_counter(), *self._batches()
        forecast = _forecast(self.trainer, max(train, key=_n_tokens))
        what = "; ".join([self._named(one) for one in train] + [f"evaluation ({_size(one)})" for one in held_out])
        foreseen = "" if forecast is None else f"; forecast {forecast / GIB:.2f} GiB"
        self._raise_on_all(self._failure(train, held_out, foreseen))
        peak = peak_memory_bytes()
        facts = {
            "tried": what,
            "peak_memory_bytes": peak,
            "forecast_bytes": forecast and round(forecast),
            "seconds": round(time.perf_counter() - began, 3),
        }
        self._tell(f"worst batch: {what}: {peak / GIB:.2f} GiB at its peak{foreseen}", facts)

    def _batches(self) -> tuple[list[LargestBatch], list[LargestBatch]]:
        trainer, args = self.trainer, self.trainer.args
        sets = trainer.eval_dataset
        held_out: list[Any] = [] if sets is None else [*sets.values()] if isinstance(sets, dict) else [sets]
        train: Any = trainer.train_dataset
        size, eval_size = trainer._train_batch_size, args.eval_batch_size
        if isinstance(train, IterableDataset):  # a stream's blocks are as long as those held out, and never too few
            train = [held_out[0][n % len(held_out[0])] for n in range(size)]
        tried = largest_batches(trainer, train, size, size * args.gradient_accumulation_steps)
        return tried, [one for rows in held_out for one in largest_batches(trainer, rows, eval_size, eval_size)]

    def _failure(
        self, train: Sequence[LargestBatch], held_out: Sequence[LargestBatch], foreseen: str
    ) -> UserError | None:
        """The error of this rank, if it runs out of memory."""
        trainer, trying, evaluates = self.trainer, "", False
        try:
            with undone(trainer), trial_optimizer_step(trainer):
                for one in train:
                    trying = self._named(one)
                    _train_on(trainer, one)
                for one in held_out:
                    trying, evaluates = f"evaluation ({_size(one)})", True
                    _evaluate_on(trainer, one)
        except (RuntimeError, MemoryError, OSError) as error:
            if not is_out_of_memory(error) or trainer.args.auto_find_batch_size:
                raise
            place = f"in {trying}, the largest batch that this run can form" if trying else "in the optimizer"
            n_rows = max(one.shape[0] for one in (held_out if evaluates else train))
            problem = f"out of memory before the first step, {place}{foreseen}"
            return out_of_memory(trainer, problem, n_rows, evaluates=evaluates)
        return None

    def _raise_on_all(self, failure: UserError | None) -> None:
        """Each rank has computed without the others, unless the weights are in shards."""
        ranks = [failure]
        if self.trainer.accelerator.num_processes > 1 and not self.trainer.is_fsdp_enabled:
            ranks = gather_object(ranks)
        for one in ranks:
            if one is not None:
                raise one

    def _tell(self, line: str, facts: dict[str, Any]) -> None:
        self.run.note(worst_batch=facts)
        if self.run.writes:
            say(line)

    def _named(self, batch: LargestBatch) -> str:
        ledger = getattr(self.trainer, "ledger", None)
        numbers = ledger.numbers_of_examples() if ledger is not None and batch.places else ()
        return named_rows([numbers[place] for place in batch.places if numbers], batch.shape)


def _train_on(trainer: Trainer, batch: LargestBatch) -> None:
    trainer.current_gradient_accumulation_steps = trainer.args.gradient_accumulation_steps  # set in the loop of steps
    n_items = trainer._get_num_items_in_batch([batch.inputs], trainer.args.device)
    trainer.training_step(_model(trainer), batch.inputs, n_items)


def _evaluate_on(trainer: Trainer, batch: LargestBatch) -> None:
    model = _model(trainer)
    model.zero_grad()
    model.eval()
    trainer.prediction_step(model, batch.inputs, prediction_loss_only=True)


def _model(trainer: Trainer) -> Any:
    """The model as it is trained; of DDP what it wraps, which waits for no other rank and leaves its buckets alone."""
    is_ddp = trainer.accelerator.distributed_type in (DistributedType.MULTI_GPU, DistributedType.MULTI_CPU)
    return trainer.model if is_ddp else trainer.model_wrapped


def _why_not(trainer: Trainer) -> str | None:
    """Why a trial step would not be undone to the bit, None if it would."""
    args, parallel = trainer.args, trainer.accelerator.parallelism_config
    optimizer = str(getattr(args.optim, "value", args.optim))
    if trainer.is_deepspeed_enabled:
        return "DeepSpeed keeps the optimizer to itself"
    if trainer.is_fsdp_enabled and getattr(trainer.accelerator.state.fsdp_plugin, "fsdp_version", 1) == 1:
        return "FSDP 1 keeps the weights to itself (fsdp_version: 2 does not)"
    if args.torch_compile:
        return "torch_compile would compile for its shape first"
    if "layerwise" in optimizer or "lomo" in optimizer:
        return f"optim: {optimizer} changes weights during the backward pass"
    if parallel is not None and (parallel.cp_enabled or parallel.sp_enabled or parallel.tp_enabled):
        return "a sequence or a matrix is in parts on several devices"
    return None


def _forecast(trainer: Trainer, batch: LargestBatch) -> float | None:
    """Bytes that are in use now, and what a step of `batch` is forecast to add; None where that is unknown."""
    model: Any = trainer.accelerator.unwrap_model(trainer.model)
    try:
        shape = model_shape(model.config)
    except AttributeError:  # a state-space model's config has no attention heads
        return None
    if trainer.is_fsdp_enabled:
        return None
    load = replace(
        load_of_model(model, trainer.args),
        n_tokens=_n_tokens(batch),
        fused_head=isinstance(trainer, SFTTrainer | DPOTrainer),
    )
    adds, on_cuda = memory_forecast(shape, load), trainer.args.device.type == "cuda"
    in_use = torch.cuda.memory_allocated() if on_cuda else psutil.Process().memory_info().rss
    mask = batch.inputs.get("attention_mask")
    is_padded = mask is not None and not bool(mask.all())  # rows of one length need no mask
    squares = _n_tokens(batch) * batch.shape[1] * (1 + load.compute_bytes) if is_padded else 0
    return in_use + adds.gradients + adds.optimizer + adds.activations + adds.head + squares


def _n_tokens(batch: LargestBatch) -> int:
    return batch.shape[0] * batch.shape[1]


def _size(batch: LargestBatch) -> str:
    return f"{batch.shape[0]:,} x {batch.shape[1]:,} tokens"
