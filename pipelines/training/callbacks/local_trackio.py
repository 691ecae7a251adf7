"""Local trackio: a database in a folder, no network, no terminal output, one run per program."""

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
    """transformers' callback with four changes for local use.

    It prints nothing (instead of nine lines). trackio asks the Hub for the user's name, so the Hub is set offline
    meanwhile. The run ends with the program instead of `train`, because an evaluation after training would open a
    second run. A resumed run goes on under a name with its first step: trackio would keep both values of a step that is
    done again.
    """

    def setup(self, args: TrainingArguments, state: TrainerState, model: Any, **options: Any) -> None:
        """Open the run; if trackio fails, print one line and train without it."""
        name = args.run_name
        if name and state.global_step:
            args.run_name = f"{name}, from step {state.global_step}"
        try:
            with _quietly(), _without_hub():
                super().setup(args, state, model, **options)
        except (OSError, ValueError) as error:
            self._initialized = True  # otherwise every log would try again
            self._trackio = None  # type: ignore[assignment]
            print(f"trackio: off, because {' '.join(str(error).split())}", file=sys.stderr)
        else:
            if state.is_world_process_zero:
                atexit.register(self._finish)  # before trackio's own, which would print
        finally:
            args.run_name = name

    def on_log(  # type: ignore[override]  # model and logs come by name
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **options: Any
    ) -> None:
        """Log scalars as transformers does."""
        if not self._initialized:
            self.setup(args, state, options.get("model"))
        if self._trackio is not None:
            super().on_log(args, state, control, **options)

    def on_train_end(self, *_: Any, **__: Any) -> None:
        """Keep the run open for logs after training."""

    def _finish(self) -> None:
        if self._trackio is not None:
            with _quietly():
                self._trackio.finish()


def keep_trackio_quiet(trainer: Trainer) -> None:
    """Replace transformers' callback by `LocalTrackio`, unless metrics go to a Space or a server."""
    is_remote = getattr(trainer.args, "trackio_space_id", None) or any(
        os.environ.get(name) for name in ("TRACKIO_SPACE_ID", "TRACKIO_SERVER_URL")
    )
    if not is_remote and any(type(callback) is TrackioCallback for callback in trainer.callback_handler.callbacks):
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
