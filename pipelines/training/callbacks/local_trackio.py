"""trackio on this machine alone: a database in a folder, no network, nothing on the terminal, one run for a program."""

import atexit
import contextlib
import io
import os
import sys
from collections.abc import Iterator
from typing import Any

from huggingface_hub import constants
from transformers import Trainer, TrainerControl, TrainerState, TrainingArguments
from transformers.integrations import TrackioCallback


class LocalTrackio(TrackioCallback):
    """transformers' callback with three changes for local use.

    Its nine lines on the terminal are left out. trackio asks the Hub for the name of whoever is logged in, to note it
    as the run's author; it is told that the Hub is out of reach. The run ends with the program and not with `train`:
    an evaluation after training would open a second run for its one point.
    """

    def setup(self, args: TrainingArguments, state: TrainerState, model: Any, **said: Any) -> None:
        """Open the run; where trackio refuses, one line says so and the training goes on without it."""
        try:
            with _quietly(), _without_hub():
                super().setup(args, state, model, **said)
        except (OSError, ValueError) as error:
            self._initialized = True  # else every log would try again
            self._trackio = None  # type: ignore[assignment]
            print(f"trackio: off, because {' '.join(str(error).split())}", file=sys.stderr)
        else:
            if state.is_world_process_zero:
                atexit.register(self._finish)  # before trackio's own, which would print

    def on_log(  # type: ignore[override]  # model and logs come by name
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **said: Any
    ) -> None:
        """Log scalars as transformers does."""
        if not self._initialized:
            self.setup(args, state, said.get("model"))
        if self._trackio is not None:
            super().on_log(args, state, control, **said)

    def on_train_end(self, *_: Any, **__: Any) -> None:
        """Keep the run open for what is logged after training."""

    def _finish(self) -> None:
        if self._trackio is not None:
            with _quietly():
                self._trackio.finish()


def keep_trackio_quiet(trainer: Trainer) -> None:
    """Put `LocalTrackio` in the place of transformers' callback, unless metrics are to go to a Space or a server."""
    goes_out = getattr(trainer.args, "trackio_space_id", None) or any(
        os.environ.get(name) for name in ("TRACKIO_SPACE_ID", "TRACKIO_SERVER_URL")
    )
    if not goes_out and any(type(callback) is TrackioCallback for callback in trainer.callback_handler.callbacks):
        trainer.remove_callback(TrackioCallback)
        trainer.add_callback(LocalTrackio())


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    with contextlib.redirect_stdout(io.StringIO()):
        yield


@contextlib.contextmanager
def _without_hub() -> Iterator[None]:
    before = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before
