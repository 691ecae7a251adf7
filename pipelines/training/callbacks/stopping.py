"""Stop a run early, with a checkpoint: at Ctrl-C, SIGTERM, SIGUSR1 (Slurm's warning), or after `max_hours`."""

import signal
import sys
import threading
import time
from typing import Any

from accelerate.utils import gather_object
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from pipelines.errors import Stopped

_SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGUSR1") if hasattr(signal, name))
_TIME_IS_OVER = 75  # EX_TEMPFAIL of sysexits.h: try again


class StopWithCheckpoint(TrainerCallback):
    """At the end of the step in which a signal came, or the time is over, save a checkpoint and end the training.

    The same signal a second time acts as it would without this. `deadline` is a time of `time.time`. Every rank stops
    if one does.
    """

    def __init__(self, deadline: float | None = None) -> None:
        self.deadline = deadline
        self.exit_code: int | None = None
        self.stopped_at: int | None = None
        self._before: dict[int, Any] = {}

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:  # noqa: ARG002
        """Take the signals."""
        if threading.current_thread() is threading.main_thread():  # no other can
            self._before = {one: signal.signal(one, self._ask) for one in _SIGNALS}

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Save a checkpoint that can be resumed, and stop."""
        if self.deadline is not None and time.time() >= self.deadline and self.exit_code is None:
            self.exit_code = _TIME_IS_OVER
        asked = [self.exit_code] if args.world_size == 1 else gather_object([self.exit_code])
        self.exit_code = next((code for code in asked if code is not None), None)
        if self.exit_code is not None and state.global_step < state.max_steps:
            args.save_only_model = False
            control.should_save = control.should_training_stop = True
            self.stopped_at = state.global_step

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

    def _ask(self, number: int, _frame: object) -> None:
        self.exit_code = 128 + number
        signal.signal(number, self._before.pop(number) or signal.SIG_DFL)
        print(f"{signal.Signals(number).name}: saving a checkpoint after this step", file=sys.stderr, flush=True)
