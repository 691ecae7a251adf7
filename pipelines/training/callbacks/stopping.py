"""Stop a run early, with a checkpoint: at Ctrl-C, SIGTERM, SIGUSR1 (Slurm's warning), or before `max_hours` end."""

import ctypes
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import torch
from accelerate.utils import gather_object
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_utils import SaveStrategy

from pipelines.errors import Stopped
from pipelines.training.machine_failures import bytes_of_checkpoint

_SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGUSR1") if hasattr(signal, name))
_TIME_IS_OVER = 75  # EX_TEMPFAIL of sysexits.h: try again
# A terminal or a queue signals the launcher and every rank, and the launcher passes it on: that is one signal.
_SECONDS_OF_ONE_SIGNAL = 2.0
_SIGNAL_AT_END_OF_PARENT = 1  # PR_SET_PDEATHSIG of Linux' prctl
_SAVED_PER_SECOND = 100e6  # bytes, until a checkpoint was measured; a slow network disk


class StopWithCheckpoint(TrainerCallback):
    """At the end of the step, or of the evaluation, in which a signal came, save a checkpoint and end the training.

    So it does before `max_hours` after the start of this process would pass: when they leave no time for one more step,
    an evaluation and a checkpoint, each as long as the longest so far. Every rank stops if one does. A second Ctrl-C,
    and any other signal that comes twice, acts as it would without this.
    """

    def __init__(self, max_hours: float | None = None) -> None:
        self.deadline = max_hours and psutil.Process().create_time() + max_hours * 3600
        self.exit_code: int | None = None
        self.stopped_at: int | None = None
        self._before: dict[int, Any] = {}
        self._process, self._asked_at, self._is_launched = os.getpid(), 0.0, False
        self._longest, self._since = {"step": 0.0, "evaluation": 0.0, "save": 0.0}, time.monotonic()

    def on_train_begin(self, args: TrainingArguments, *_: Any, model: torch.nn.Module | None = None, **__: Any) -> None:
        """Take the signals, and start the clock."""
        if threading.current_thread() is threading.main_thread():  # no other can
            self._before = {one: signal.signal(one, self._ask) for one in _SIGNALS}
            self._is_launched = "WORLD_SIZE" in os.environ or _follows_launcher()
        self._longest["save"] = bytes_of_checkpoint(model, Path(str(args.output_dir))) / _SAVED_PER_SECOND
        self._since = time.monotonic()

    def on_step_begin(self, *_: Any, **__: Any) -> None:
        """A resumed run has passed over the rows of earlier steps before its first one."""
        if not self._longest["step"]:
            self._since = time.monotonic()

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Save a checkpoint that can be resumed, and stop."""
        self._note_time("step")
        if self.deadline is not None and time.time() + sum(self._longest.values()) >= self.deadline:
            self.exit_code = self.exit_code or _TIME_IS_OVER
        self._stop_if_asked(args, state, control)

    def on_evaluate(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """As at the end of a step; before the first one, and outside of the training, there is nothing to save."""
        self._note_time("evaluation")
        if self._before and state.global_step:
            self._stop_if_asked(args, state, control)

    def on_epoch_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:  # noqa: ARG002
        """transformers ends the epoch, whole or not. The checkpoint is written, and a run resumed from it does what is
        due."""
        if self.stopped_at is not None:
            control.should_log = control.should_evaluate = control.should_save = False

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """A signal that came meanwhile stops at this checkpoint."""
        self._note_time("save")
        if not args.save_only_model:
            self._stop_if_asked(args, state, control)
            control.should_save = False

    def give_back(self) -> None:
        """Restore the handlers that were there before the training, also after an error."""
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}

    def raise_if_stopped(self) -> None:
        """Raise `Stopped` with the line that says how to go on."""
        if self.stopped_at is None or self.exit_code is None:
            return
        why = "max_hours is over" if self.exit_code == _TIME_IS_OVER else signal.Signals(self.exit_code - 128).name
        raise Stopped(
            f"stopped at step {self.stopped_at} ({why}), which is saved; continue with the same command and --resume",
            self.exit_code,
        )

    def _stop_if_asked(self, args: TrainingArguments, state: TrainerState, control: TrainerControl) -> None:
        asked = [self.exit_code] if args.world_size == 1 else gather_object([self.exit_code])
        code = next((one for one in asked if one is not None), None)
        if code is None or state.global_step >= state.max_steps:
            return  # a signal that came while the ranks were asked counts at the next step
        self.exit_code = code
        args.save_only_model = False
        if args.save_strategy == SaveStrategy.BEST:  # it would skip a checkpoint that is not the best
            args.save_strategy = SaveStrategy.STEPS
        control.should_save = control.should_training_stop = True
        self.stopped_at = state.global_step

    def _note_time(self, kind: str) -> None:
        now = time.monotonic()
        self._longest[kind], self._since = max(self._longest[kind], now - self._since), now

    def _ask(self, number: int, frame: Any) -> None:  # noqa: ARG002
        if os.getpid() != self._process:  # a worker of the data loader; the run needs it until it stops
            if number == signal.SIGTERM:
                os._exit(128 + number)
            return
        name, now = signal.Signals(number).name, time.monotonic()
        if self.exit_code is None or self.exit_code == _TIME_IS_OVER:
            self.exit_code, self._asked_at = 128 + number, now
            with suppress(OSError):  # nobody reads; and print cannot be called within a print
                line = f"{name}: stopping after this step with a checkpoint, or finishing if it is the last\n"
                os.write(2, line.encode())
        elif self._is_launched and now - self._asked_at < _SECONDS_OF_ONE_SIGNAL:
            return
        elif number in (signal.SIGINT, self.exit_code - 128):
            signal.signal(number, self._before.pop(number) or signal.SIG_DFL)
            signal.raise_signal(number)


def _follows_launcher() -> bool:
    """Whether `accelerate launch` has started this process. It passes no signal on to a single one, which would go on
    alone: Linux then sends SIGTERM when the launcher has ended."""
    parent = psutil.Process().parent()
    if parent is None or not _is_launcher(parent.cmdline()):
        return False
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_SIGNAL_AT_END_OF_PARENT, signal.SIGTERM)
    return True


def _is_launcher(command: Sequence[str]) -> bool:
    """Also `accelerate-launch`, and `python -m accelerate.commands.launch`."""
    words = [Path(word).name for word in command if not word.startswith("-")]
    return any(re.fullmatch(r"accelerate([-.]\w+)*", name) for name in words[:2])
