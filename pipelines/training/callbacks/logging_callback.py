"""The logging callback: throughput and memory in each training log, and one line for it on the terminal."""

import math
import sys
from typing import TYPE_CHECKING, Any

import torch
from accelerate.utils import broadcast_object_list
from tqdm.auto import tqdm
from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_callback import PrinterCallback, ProgressCallback

from pipelines.training.callbacks.flops import TrainingFlops, peak_flops, training_flops
from pipelines.training.callbacks.local_trackio import keep_trackio_quiet
from pipelines.training.callbacks.throughput import ThroughputMeter, peak_memory_bytes

if TYPE_CHECKING:
    _AnyTrainer = Trainer
else:
    _AnyTrainer = object

_DOT = " \u00b7 "  # a middle dot; a bar if the terminal's encoding has none
_GIB = 1 << 30


class EvaluationMetrics(TrainerCallback):
    """A callback that adds metrics to each evaluation of a `ThroughputLogging` trainer before they are logged."""

    def measure(self, trainer: Trainer, prefix: str) -> dict[str, float]:
        """Metrics named `{prefix}_...`; called on the ranks that `runs_on` allows, with the model in any mode."""
        raise NotImplementedError

    def runs_on(self, trainer: Trainer) -> bool:
        """Whether this rank measures: rank 0, and every rank if a forward needs all of them (sharded models)."""
        return trainer.is_world_process_zero() or trainer.is_fsdp_enabled or trainer.is_deepspeed_enabled


class ThroughputLogging(_AnyTrainer):
    """A mixin before a trainer class of transformers or TRL: `class LoggedSFTTrainer(ThroughputLogging, SFTTrainer)`.

    Adds to every training log, over the steps since the last log: `tokens_per_second` (no padding, all ranks),
    `loss_token_share` (tokens whose prediction is in the loss), `tflops_per_second` (of one device, see
    `training_flops`) and `mfu` if the device's peak is known; over the run so far: `peak_memory_gib` (the fullest rank)
    and `seconds_left`. Evaluation and saving are not training time. Tokens are counted on the device; only a log waits
    for it.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self.throughput = ThroughputMeter()
        self._flops: TrainingFlops | None = None
        self._flops_are_known = False
        self._has_reference_pass = False
        self._prefix_to_measure: str | None = None
        super().__init__(*arguments, **options)

    def training_step(self, model: Any, inputs: Any, *arguments: Any, **options: Any) -> torch.Tensor:
        """Count the batch, then run forward and backward."""
        self._has_reference_pass = "completion_mask" in inputs and "ref_chosen_logps" not in inputs
        self.throughput.count(inputs, self.state.global_step)
        return super().training_step(model, inputs, *arguments, **options)

    def evaluate(self, *arguments: Any, **options: Any) -> dict[str, float]:
        """Evaluate, with the metrics of every `EvaluationMetrics` callback."""
        if not self.throughput.is_paused:  # called again for each set of a dict of sets; measure once
            self._prefix_to_measure = options.get("metric_key_prefix", "eval")
        with self.throughput.paused():
            return super().evaluate(*arguments, **options)

    def _save_checkpoint(self, *arguments: Any, **options: Any) -> None:
        with self.throughput.paused():
            super()._save_checkpoint(*arguments, **options)

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Log `logs` with the added figures; every rank must call it."""
        if self.throughput.is_paused and self._prefix_to_measure is not None:
            prefix, self._prefix_to_measure = self._prefix_to_measure, None
            logs.update(self._measures(prefix))
        elif "loss" in logs:
            logs.update(self._throughput())
        super().log(logs, start_time)

    def _throughput(self) -> dict[str, float]:
        counts, seconds = self.throughput.close_window()
        if counts is None:
            return {}
        device = self.accelerator.device
        own = torch.cat([counts.to(device), torch.tensor([peak_memory_bytes()], device=device)])
        ranks = self.accelerator.gather(own[None]).tolist()  # waits for the device
        copies = self.get_tp_size()  # ranks of one tensor parallel group see the same batch
        n_tokens, n_loss_tokens, n_pairs = (sum(rank[place] for rank in ranks) // copies for place in range(3))
        left = self.throughput.seconds_left(self.state.global_step, self.state.max_steps)
        return {
            "tokens_per_second": round(n_tokens / seconds, 1),
            "loss_token_share": round(n_loss_tokens / max(n_tokens, 1), 4),
            **self._utilization(n_tokens, n_loss_tokens, n_pairs, seconds * len(ranks) * max(self.args.n_gpu, 1)),
            "peak_memory_gib": round(max(rank[3] for rank in ranks) / _GIB, 3),
            **({} if left is None else {"seconds_left": round(left, 1)}),
        }

    def _utilization(self, n_tokens: int, n_loss_tokens: int, n_pairs: int, device_seconds: float) -> dict[str, float]:
        if not self._flops_are_known:
            self._flops, self._flops_are_known = training_flops(self.accelerator.unwrap_model(self.model)), True
        if self._flops is None:
            return {}
        counts = {"n_tokens": n_tokens, "n_loss_tokens": n_loss_tokens, "n_pairs": n_pairs}
        rate = self._flops.of(**counts, reference=self._has_reference_pass) / device_seconds
        found = {"tflops_per_second": float(f"{rate / 1e12:.4g}")}
        peak = peak_flops(torch.cuda.get_device_name()) if self.args.device.type == "cuda" else None
        return found if peak is None else {**found, "mfu": round(rate / peak, 4)}

    def _measures(self, prefix: str) -> dict[str, float]:
        """Every rank gets the values of rank 0, because they may choose the best checkpoint."""
        found: dict[str, float] = {}
        for callback in self.callback_handler.callbacks:
            if isinstance(callback, EvaluationMetrics):
                shared = [callback.measure(self, prefix) if callback.runs_on(self) else {}]
                if self.accelerator.num_processes > 1:
                    broadcast_object_list(shared)
                found.update(shared[0])
        return found


class LoggingCallback(TrainerCallback):
    """Print one line for each log on rank 0."""

    def on_log(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **options: Any) -> None:  # noqa: ARG002
        """Print the line; the logs are left as they are."""
        line = log_line(options.get("logs") or {}, state.global_step, state.max_steps)
        if line and state.is_world_process_zero:
            say(line)


class ProgressBarCallback(ProgressCallback):
    """transformers' progress bars without the dict that they print for each log."""

    def on_log(self, *_: Any, **__: Any) -> None:
        """Leave it to `LoggingCallback`."""


def add_logging(trainer: Trainer) -> None:
    """Replace transformers' printed dicts by `LoggingCallback`; progress bars stay."""
    if any(type(callback) is ProgressCallback for callback in trainer.callback_handler.callbacks):
        trainer.remove_callback(ProgressCallback)
        trainer.add_callback(ProgressBarCallback())
    trainer.remove_callback(PrinterCallback)
    trainer.remove_callback(LoggingCallback)
    keep_trackio_quiet(trainer)
    trainer.add_callback(LoggingCallback())


def say(text: str) -> None:
    """Print a line above the progress bars, in characters of the terminal's encoding."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    try:
        _DOT.encode(encoding)
    except (UnicodeEncodeError, LookupError):
        text = text.replace(_DOT, " | ")
        encoding = "ascii"
    tqdm.write(text.encode(encoding, "backslashreplace").decode(encoding))
    sys.stdout.flush()


def log_line(logs: dict[str, Any], step: int, last_step: int) -> str:
    """Format `logs` for the terminal; empty if there is nothing to show."""
    if "train_runtime" in logs:
        return _DOT.join(
            [f"trained to step {step} in {_duration(logs['train_runtime'])}", f"mean loss {logs['train_loss']:.4g}"]
        )
    if "loss" in logs:
        return _DOT.join([f"step {step}/{last_step}", *_training_words(logs)])
    prefix = next((key.removesuffix("_loss") for key in logs if key.endswith("_loss")), None)
    return "" if prefix is None else _DOT.join([f"step {step}", *_evaluation_words(logs, prefix)])


def _training_words(logs: dict[str, Any]) -> list[str]:
    words = [f"loss {logs['loss']:.4g}"]
    if "rewards/accuracies" in logs:
        words.append(f"{logs['rewards/accuracies']:.0%} of pairs right")
    if not math.isfinite(logs.get("grad_norm", 0.0)):
        words.append(f"GRAD NORM {logs['grad_norm']}")
    formats = {
        "learning_rate": "lr {:.1e}",
        "tokens_per_second": "{:,.0f} tok/s",
        "loss_token_share": "{:.0%} in loss",
        "tflops_per_second": "{:.3g} TFLOP/s" if logs.get("tflops_per_second", 0) >= 0.1 else "",  # a toy's is no news
        "mfu": "{:.1%} MFU",
        "peak_memory_gib": "{:.1f} GiB",
    }
    words += [form.format(logs[key]) for key, form in formats.items() if form and key in logs]
    return [*words, f"{_duration(logs['seconds_left'])} left"] if "seconds_left" in logs else words


def _evaluation_words(logs: dict[str, Any], prefix: str) -> list[str]:
    words = [f"{prefix.replace('_', ' ')} loss {logs[f'{prefix}_loss']:.4g}"]
    if f"{prefix}_rewards/accuracies" in logs:
        words.append(f"{logs[f'{prefix}_rewards/accuracies']:.0%} of pairs right")
    if f"{prefix}_p_end" in logs:
        words.append(f"P(end) {logs[f'{prefix}_p_end']:.2g} at the end")
        if f"{prefix}_p_end_inside" in logs:
            words[-1] += f", {logs[f'{prefix}_p_end_inside']:.2g} inside"
    if f"{prefix}_stop_rate" in logs:
        words.append(f"{logs[f'{prefix}_stop_rate']:.0%} of samples stop")
    return words


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"
