"""Resume to the bit: what transformers leaves out of a checkpoint, and where a resumed loop would take another way."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
from torch.utils.data import Sampler
from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_pt_utils import LengthGroupedSampler
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR, IntervalStrategy, has_length

from pipelines.records.checkpoint import remove_checkpoint, remove_older_checkpoints, seal_checkpoint

if TYPE_CHECKING:
    _AnyTrainer = Trainer
else:
    _AnyTrainer = object


class ExactResume(_AnyTrainer):
    """A mixin before a trainer class, with `ThroughputLogging` behind it: seals each checkpoint before an older one is
    removed, and adds to it the sums of a log line that has only begun.

    `cost_so_far` returns what a checkpoint records as the cost of the run, `seconds_before` is the training time of
    earlier legs.
    """

    cost_so_far: Callable[[], dict[str, Any]] = dict
    seconds_before = 0.0
    _limit: int | None = None
    _has_random_state = False

    def train(self, *arguments: Any, **options: Any) -> Any:
        """Train as transformers does, but count and remove older checkpoints here, also at the end of a training."""
        self._limit, self.args.save_total_limit = self.args.save_total_limit, None
        try:
            return super().train(*arguments, **options)
        finally:
            self.args.save_total_limit = self._limit

    def continue_from(self, checkpoint: Path, total_loss: float) -> None:
        """Go on with the sums of `checkpoint`, once transformers has set its own to 0; an older checkpoint has none but
        `total_loss`, the sum of all losses. The mean loss is then that of all steps."""
        self._initial_global_step = 0
        self._total_loss_scalar = total_loss
        sums = self._sums_of(checkpoint)
        if sums.is_file():
            found = torch.load(sums, map_location="cpu", weights_only=True)
            self._tr_loss = found["loss"].to(self.args.device)
            self._total_loss_scalar = found["total_loss"]
            self._globalstep_last_logged = found["last_logged_step"]
            cast(torch.nn.Module, self.model).train(found["in_training"])  # TRL's last log goes by it
            self.throughput.continue_window(found["counts"], found["seconds"])  # type: ignore[attr-defined]
            for name, values in found["metrics"].items():
                self._metrics["train"][name] = values  # type: ignore[attr-defined]

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Log `logs`; the time and the rates of a finished training are those of all its legs."""
        if "train_runtime" in logs and self.seconds_before:
            seconds = logs["train_runtime"] + self.seconds_before
            rates = {key: logs[key] * logs["train_runtime"] for key in logs if key.endswith("_per_second")}
            logs.update({key: round(value / seconds, 3) for key, value in rates.items()}, train_runtime=seconds)
        super().log(logs, start_time)

    def _run_epoch(self, *arguments: Any, **options: Any) -> None:
        """Train an epoch; nothing if all steps are done, or early stopping has ended the run. transformers would train
        one more from their checkpoint."""
        if self.state.global_step >= self.state.max_steps or self.control.should_training_stop:
            self.control.should_training_stop = True
        else:
            super()._run_epoch(*arguments, **options)

    def _evaluate(self, trial: Any, ignore_keys_for_eval: list[str] | None, skip_scheduler: bool = False) -> Any:
        """The evaluation of an epoch that a resumed run catches up on is as in a straight run: it draws the same random
        numbers, counts for the schedule and can be the best."""
        if not (skip_scheduler and self.state.global_step):
            return super()._evaluate(trial, ignore_keys_for_eval, skip_scheduler)
        checkpoint = str(self._folder_of_step())
        self._load_rng_state(checkpoint)
        metrics = super()._evaluate(trial, ignore_keys_for_eval)
        if self._determine_best_metric(metrics, trial):
            self.state.best_model_checkpoint = checkpoint
        return metrics

    def _load_rng_state(self, checkpoint: str | None) -> None:
        """transformers would load it again after that evaluation."""
        if not self._has_random_state:
            super()._load_rng_state(checkpoint)
        self._has_random_state = True

    def _folder_of_step(self) -> Path:
        return Path(str(self.args.output_dir)) / f"{PREFIX_CHECKPOINT_DIR}-{self.state.global_step}"

    def _get_train_sampler(self, *arguments: Any, **options: Any) -> Any:
        sampler = super()._get_train_sampler(*arguments, **options)
        if isinstance(sampler, LengthGroupedSampler):
            return _GroupsOfEpoch(sampler, self.args.data_seed or self.args.seed)
        return sampler

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        folder = self._folder_of_step()
        if self.args.should_save:
            remove_checkpoint(folder)  # one that was interrupted, perhaps with other files
        self.accelerator.wait_for_everyone()
        super()._save_checkpoint(model, trial)
        self._save_own_state(folder)
        self.accelerator.wait_for_everyone()  # each rank has its own files
        if self.args.should_save:
            seal_checkpoint(folder, self.cost_so_far(), can_be_resumed=not self.args.save_only_model)
            remove_older_checkpoints(folder, self._limit, self.state.best_model_checkpoint)

    def _save_own_state(self, folder: Path) -> None:
        if not self.args.save_only_model:
            counts, seconds = self.throughput.window()  # type: ignore[attr-defined]
            sums = {
                "loss": self._tr_loss,
                "total_loss": self._total_loss_scalar,
                "last_logged_step": self._globalstep_last_logged,
                "in_training": cast(torch.nn.Module, self.model).training,
                "counts": counts,
                "seconds": seconds,
                "metrics": dict(getattr(self, "_metrics", {"train": {}})["train"]),
            }
            torch.save(sums, self._sums_of(folder))

    def _sums_of(self, checkpoint: Path) -> Path:
        return checkpoint / f"sums_{self.args.process_index}.pt"


class _GroupsOfEpoch(Sampler):
    """Rows grouped by length in an order that follows from the seed and the epoch. transformers draws it from the
    generator that dropout uses too, so a run resumed after the first epoch would see other rows."""

    def __init__(self, groups: LengthGroupedSampler, seed: int) -> None:
        self.groups, self.seed, self.epoch = groups, seed, 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.groups)

    def __iter__(self) -> Iterator[int]:
        self.groups.generator = torch.Generator().manual_seed(self.seed + self.epoch)
        return iter(self.groups)


class ExactResumeCallback(TrainerCallback):
    """The places of the training loop where a resumed run needs something else than a straight one. `total_loss` is for
    an older checkpoint, see `ExactResume.continue_from`."""

    def __init__(self, trainer: ExactResume, checkpoint: Path | None, total_loss: float) -> None:
        self.trainer, self.checkpoint, self.total_loss = trainer, checkpoint, total_loss
        self._save_waits = False

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:  # noqa: ARG002
        """Restore the sums. The evaluation before the first step has been; that of an epoch may be due, after a signal
        in its last step."""
        if self.checkpoint is not None:
            self.trainer.continue_from(self.checkpoint, self.total_loss)
            evaluated = any(one["step"] == state.global_step and "eval_loss" in one for one in state.log_history)
            by_epoch = args.eval_strategy == IntervalStrategy.EPOCH and args.eval_delay <= (state.epoch or 0)
            args.eval_on_start = by_epoch and _at_border(state) and not evaluated

    def on_epoch_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:  # noqa: ARG002
        """Tell the sampler its epoch: accelerate does not reach it when several processes skip batches."""
        loader: Any = self.trainer.callback_handler.train_dataloader
        while getattr(loader, "batch_sampler", None) is not None:
            loader = loader.batch_sampler
        sampler: Any = getattr(loader, "sampler", None)
        if hasattr(sampler, "set_epoch"):
            sampler.set_epoch(int(state.epoch or 0))

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """A checkpoint of an epoch's last step has the epoch's log and waits for its evaluation: a resumed run begins
        with the next epoch. In a stream, transformers would count the epoch from the checkpoint on."""
        if not has_length(self.trainer.train_dataset):
            state.epoch = state.global_step / state.max_steps
        is_last = _at_border(state) or state.global_step >= state.max_steps
        if is_last and args.logging_strategy == IntervalStrategy.EPOCH:
            control.should_log = True
        if is_last and args.eval_strategy == IntervalStrategy.EPOCH:
            control.should_save, self._save_waits = False, control.should_save

    def on_epoch_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:  # noqa: ARG002
        """Save what has waited."""
        control.should_save, self._save_waits = control.should_save or self._save_waits, False


def _at_border(state: TrainerState) -> bool:
    return bool(state.epoch) and state.epoch == int(state.epoch)
