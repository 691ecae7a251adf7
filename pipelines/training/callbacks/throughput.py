"""Throughput and cost of a run: tokens, seconds and peak memory, also over the parts of a resumed run."""

import resource
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from pipelines.inference.teacher_forcing import IGNORED
from pipelines.records import Run
from pipelines.training.callbacks.stopping import StopWithCheckpoint
from pipelines.training.saving import CompleteSaving
from pipelines.training.step.finite_steps import refuse_broken_weights

_SECONDS_BETWEEN_NOTES = 30.0
_BYTES_PER_UNIT = 1 if sys.platform == "darwin" else 1024  # getrusage counts bytes on macOS and KiB on Linux


def peak_memory_bytes() -> int:
    """Peak bytes on the accelerator if one was used, else the peak resident set of this process."""
    if torch.cuda.is_available() and torch.cuda.max_memory_allocated():
        return int(torch.cuda.max_memory_allocated())
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _BYTES_PER_UNIT


class CostCallback(TrainerCallback):
    """The cost of a run, for each checkpoint, so that a resumed run can add its own."""

    def __init__(self, run: Run, trainer: Trainer) -> None:
        self.run, self.trainer = run, trainer
        self.first_step, self.began, self.noted = 0, time.perf_counter(), time.perf_counter()

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:  # noqa: ARG002
        """Start the clock."""
        self.first_step, self.began = state.global_step, time.perf_counter()

    def so_far(self) -> dict[str, Any]:
        """Tokens, seconds of training and the sum of the losses of all steps up to now."""
        pending, n_steps = getattr(self.trainer, "_tr_loss", 0.0), self.trainer.state.global_step - self.first_step
        mean = (self.trainer._total_loss_scalar + float(pending)) / max(1, n_steps)
        return self.cost(time.perf_counter() - self.began, mean)

    def on_log(self, *_: Any, **__: Any) -> None:
        """Record the time now and then: a run that is killed between two checkpoints has spent it too."""
        if time.perf_counter() - self.noted > _SECONDS_BETWEEN_NOTES:
            self.run.note_spent()
            self.noted = time.perf_counter()

    def cost(self, seconds: float, mean_loss: float) -> dict[str, Any]:
        """Totals over all parts of a resumed run: trained tokens without padding (None if the trainer counts none),
        seconds of training and the sum of the losses. `seconds` and `mean_loss` belong to this part."""
        before, n_steps = self.run.before, self.trainer.state.global_step - self.first_step
        n_tokens = getattr(self.trainer, "_total_train_tokens", None)
        return {
            "n_tokens": None if n_tokens is None else int(n_tokens),
            "seconds_train": before.get("seconds_train", 0.0) + seconds,
            "total_loss": before.get("total_loss", 0.0) + mean_loss * n_steps,
        }


def run_training(trainer: Trainer, run: Run, checkpoint: Path | None, max_hours: float | None = None) -> dict[str, Any]:
    """Train, from `checkpoint` if given; return the metrics of all parts of `run`. Raises `Diverged`,
    and `Stopped` after a signal or `max_hours`, with a checkpoint."""
    notes = CostCallback(run, trainer)
    trainer.add_callback(notes)
    if isinstance(trainer, CompleteSaving):
        trainer.cost_so_far = notes.so_far
    if hasattr(trainer, "_total_train_tokens"):  # TRL would count from 0 again
        trainer._total_train_tokens = run.before.get("n_tokens") or 0
    stopping = StopWithCheckpoint(max_hours)
    trainer.add_callback(stopping)
    try:
        metrics = trainer.train(resume_from_checkpoint=None if checkpoint is None else str(checkpoint)).metrics
    finally:
        stopping.give_back()
    run.note_spent()
    stopping.raise_if_stopped()
    refuse_broken_weights(trainer)
    whole = notes.cost(metrics["train_runtime"], metrics["train_loss"])
    run.before = whole
    if checkpoint is None:
        return metrics
    seconds = whole["seconds_train"]
    return {
        **metrics,
        "train_loss": whole["total_loss"] / max(1, trainer.state.global_step),
        "train_runtime": round(seconds, 4),
        "train_steps_per_second": round(trainer.state.global_step / seconds, 3),
    }


def cost_of_training(run: Run) -> dict[str, Any]:
    """After `run_training`, for run.json: trained tokens without padding (None if the trainer counts none), their rate
    over the wall time with evaluations, and peak memory."""
    n_tokens, seconds = run.before.get("n_tokens"), run.before.get("seconds_train")
    return {
        "n_tokens": n_tokens,
        "tokens_per_second": round(n_tokens / seconds, 1) if n_tokens and seconds else None,
        "peak_memory_bytes": peak_memory_bytes(),
    }


def batch_counts(batch: Mapping[str, Any]) -> torch.Tensor:
    """Count tokens without padding, tokens whose prediction is in the loss, and pairs of tokens of one sequence.

    Shape (3,), int64, on the batch's device, without waiting for it. Pairs are the sum of squared sequence lengths;
    `position_ids` that restart inside a row mark several sequences. The first token of a row is never predicted.
    """
    ids, mask, positions = batch["input_ids"], batch.get("attention_mask"), batch.get("position_ids")
    real = (mask != 0).long() if mask is not None and mask.shape == ids.shape else torch.ones_like(ids)
    if positions is not None and positions.shape == ids.shape:
        n_pairs = ((2 * positions + 1) * real).sum()  # 1 + 3 + 5 + ... over a sequence of n tokens is n squared
    else:
        n_pairs = real.sum(dim=1).square().sum()
    if "shift_labels" in batch:
        in_loss = batch["shift_labels"] != IGNORED
    elif "labels" in batch:
        in_loss = batch["labels"][:, 1:] != IGNORED
    else:  # preference pairs: the completions, chosen and rejected alike
        in_loss = batch["completion_mask"][:, 1:] != 0
    return torch.stack([real.sum(), in_loss.sum().to(ids.device), n_pairs])


class ThroughputMeter:
    """Measure tokens and training time of this process.

    The clock starts with the first training step and stops in `paused` (evaluation, saving a checkpoint). A window
    lasts from one log to the next; the first one includes the warm-up of the first step.
    """

    def __init__(self) -> None:
        self._seconds_paused = 0.0
        self._depth_of_pause = 0
        self._counts: torch.Tensor | None = None
        self._first_step = 0
        self._began: float | None = None  # on this clock, as all times below
        self._warm: float | None = None  # when the first step was over
        self._window_began = 0.0

    def count(self, batch: Mapping[str, Any], step: int) -> None:
        """Add the next batch, after `step` optimizer steps. Never waits for the device."""
        if self._began is None:
            self._seconds_paused, self._first_step = 0.0, step
            self._began = self._window_began = self._now()
        elif self._warm is None and step > self._first_step:
            self._warm = self._now()
        counts = batch_counts(batch)
        self._counts = counts if self._counts is None else self._counts + counts

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Stop the clock; may be nested."""
        began, self._depth_of_pause = time.perf_counter(), self._depth_of_pause + 1
        try:
            yield
        finally:
            self._depth_of_pause -= 1
            if self._depth_of_pause == 0:
                self._seconds_paused += time.perf_counter() - began

    @property
    def is_paused(self) -> bool:
        """Whether the clock is stopped."""
        return self._depth_of_pause > 0

    def close_window(self) -> tuple[torch.Tensor | None, float]:
        """Sums of `batch_counts` and seconds of training since the last call."""
        now = self._now()
        counts, seconds = self._counts, now - self._window_began
        self._counts, self._window_began = None, now
        return counts, seconds

    def seconds_left(self, step: int, last_step: int) -> float | None:
        """Estimate the seconds from `step` to `last_step`, pauses included; None before the first step.

        The first step is left out once there are others, because it includes warm-up.
        """
        n_done = step - self._first_step
        if self._began is None or n_done < 1:
            return None
        if self._warm is not None and n_done > 1:
            seconds_per_step = (self._now() - self._warm) / (n_done - 1)
        else:
            seconds_per_step = (self._now() - self._began) / n_done
        return max(last_step - step, 0) * (seconds_per_step + self._seconds_paused / n_done)

    def _now(self) -> float:
        return time.perf_counter() - self._seconds_paused
