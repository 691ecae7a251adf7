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
from pipelines.training.exact_resume import ExactResume, ExactResumeCallback
from pipelines.training.machine_failures import lost_processes_explained
from pipelines.training.memory_errors import memory_errors_explained
from pipelines.training.step.finite_steps import refuse_broken_weights

_SECONDS_BETWEEN_NOTES = 30.0
_BYTES_PER_UNIT = 1 if sys.platform == "darwin" else 1024  # getrusage counts bytes on macOS and KiB on Linux


def peak_memory_bytes() -> int:
    """Peak bytes on the accelerator if one was used, else the peak resident set of this process."""
    if torch.cuda.is_available() and torch.cuda.max_memory_allocated():
        return int(torch.cuda.max_memory_allocated())
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _BYTES_PER_UNIT


class CostCallback(TrainerCallback):
    """The cost of a run over all its legs, for each checkpoint and for run.json."""

    def __init__(self, run: Run, trainer: Trainer) -> None:
        self.run, self.trainer = run, trainer
        self.began = self.noted = time.perf_counter()

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:  # noqa: ARG002
        """Start the clock."""
        self.began = time.perf_counter()

    def so_far(self) -> dict[str, Any]:
        """Trained tokens without padding (None if the trainer counts none), seconds of training, wall time and peak
        memory up to now."""
        before, n_tokens = self.run.before, getattr(self.trainer, "_total_train_tokens", None)
        return {
            "n_tokens": None if n_tokens is None else int(n_tokens),
            "seconds_train": before.get("seconds_train", 0.0) + time.perf_counter() - self.began,
            "seconds_wall": self.run.seconds_wall(),
            "peak_memory_bytes": max(peak_memory_bytes(), before.get("peak_memory_bytes", 0)),
        }

    def on_log(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:  # noqa: ARG002
        """Record step and time now and then: a run that is killed between two checkpoints has spent it too."""
        if time.perf_counter() - self.noted > _SECONDS_BETWEEN_NOTES:
            self.run.note_spent(state.global_step)
            self.noted = time.perf_counter()

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:  # noqa: ARG002
        """Record them with each checkpoint."""
        self.run.note_spent(state.global_step)


def run_training(trainer: Trainer, run: Run, checkpoint: Path | None, max_hours: float | None = None) -> dict[str, Any]:
    """Train, from `checkpoint` if given; return the metrics of all legs of `run`. Raises `Diverged`,
    and `Stopped` after a signal or `max_hours`, with a checkpoint."""
    notes = CostCallback(run, trainer)
    if isinstance(trainer, ExactResume):
        trainer.cost_so_far, trainer.seconds_before = notes.so_far, run.before.get("seconds_train", 0.0)
        trainer.add_callback(ExactResumeCallback(trainer, checkpoint, run.before.get("total_loss", 0.0)))
    trainer.add_callback(notes)
    if hasattr(trainer, "_total_train_tokens"):  # TRL would count from 0 again
        trainer._total_train_tokens = run.before.get("n_tokens") or 0
    stopping = StopWithCheckpoint(max_hours)
    trainer.add_callback(stopping)
    try:
        with lost_processes_explained(trainer), memory_errors_explained(trainer):
            metrics = trainer.train(resume_from_checkpoint=None if checkpoint is None else str(checkpoint)).metrics
    finally:
        stopping.give_back()
    run.note_spent(trainer.state.global_step)
    stopping.raise_if_stopped()
    refuse_broken_weights(trainer)
    run.before = {**notes.so_far(), "seconds_train": metrics["train_runtime"]}
    return dict(metrics)


def cost_of_training(run: Run) -> dict[str, Any]:
    """After `run_training`, for run.json: trained tokens without padding (None if the trainer counts none), their rate
    over the wall time with evaluations, and peak memory."""
    n_tokens, seconds = run.before.get("n_tokens"), run.before.get("seconds_train")
    return {
        "n_tokens": n_tokens,
        "tokens_per_second": round(n_tokens / seconds, 1) if n_tokens and seconds else None,
        "peak_memory_bytes": max(peak_memory_bytes(), run.before.get("peak_memory_bytes", 0)),
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
        self._window_began = self._seconds_carried = 0.0

    def count(self, batch: Mapping[str, Any], step: int) -> None:
        """Add the next batch, after `step` optimizer steps. Never waits for the device."""
        if self._began is None:
            self._seconds_paused, self._first_step = 0.0, step
            self._began = self._window_began = self._now()
        elif self._warm is None and step > self._first_step:
            self._warm = self._now()
        counts = batch_counts(batch)
        self._counts = counts if self._counts is None else self._counts.to(counts.device) + counts

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

    def window(self) -> tuple[torch.Tensor | None, float]:
        """Sums of `batch_counts` and seconds of training since the window was closed."""
        running = 0.0 if self._began is None else self._now() - self._window_began
        return self._counts, self._seconds_carried + running

    def continue_window(self, counts: torch.Tensor | None, seconds: float) -> None:
        """Begin with the window of an earlier leg of the run."""
        self._counts, self._seconds_carried = counts, seconds

    def close_window(self) -> tuple[torch.Tensor | None, float]:
        """The same, and begin the next window."""
        counts, seconds = self.window()
        self._counts, self._window_began, self._seconds_carried = None, self._now(), 0.0
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
