"""The same steps of a recipe straight, and killed and resumed, in processes of their own."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from pipelines.errors import UserError
from pipelines.recipe import Stage
from pipelines.records.checkpoint import CHECKPOINT_NAME

_ROOT = Path(__file__).resolve().parents[2]
_KEYS = {
    "push_to_hub": False, "report_to": "none", "doctor": "off", "save_strategy": "steps",
    "save_only_model": False, "load_best_model_at_end": False, "keep_best": None, "patience": None,
    "logging_steps": 1, "disable_tqdm": True,
}  # fmt: skip
_SECONDS_BETWEEN_LOOKS = 0.005


def run_straight(stage: Stage, recipe: Sequence[str], n_steps: int, folder: Path) -> None:
    """Run `n_steps`. Raises `UserError` if the run does not finish."""
    _finish(*_start(stage, recipe, n_steps, folder), stage)


def run_killed_and_resumed(stage: Stage, recipe: Sequence[str], n_steps: int, folder: Path) -> None:
    """The same, killed when the checkpoint of half the steps is whole, and resumed from it."""
    process, said = _start(stage, recipe, n_steps, folder)
    half = folder / f"checkpoint-{n_steps // 2}"
    while process.poll() is None and not (half / CHECKPOINT_NAME).is_file():
        time.sleep(_SECONDS_BETWEEN_LOOKS)
    if process.poll() is None:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    elif process.returncode != 0:
        _finish(process, said, stage)
    if (folder / f"checkpoint-{n_steps}" / CHECKPOINT_NAME).is_file():
        raise UserError(f"the run of {n_steps} steps ended before it could be killed", "raise --steps")
    _finish(*_start(stage, recipe, n_steps, folder, "--resume"), stage)


def _start(
    stage: Stage, recipe: Sequence[str], n_steps: int, folder: Path, *more: str
) -> tuple["subprocess.Popen[str]", IO[str]]:
    """The process, and the file with what it says on stderr: a pipe that nobody reads would fill up and stop it."""
    own = {**_KEYS, "max_steps": n_steps, "save_steps": n_steps // 2, "output_dir": folder}
    flags = [word for key, value in own.items() for word in (f"--{key}", _written(value))]
    command = [sys.executable, str(_ROOT / "pipelines" / f"{stage}.py"), *recipe, *flags, *more]
    said = tempfile.TemporaryFile("w+")  # noqa: SIM115 (read and closed in _finish)
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=said, text=True), said


def _written(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _finish(process: "subprocess.Popen[str]", said: IO[str], stage: Stage) -> None:
    process.wait()
    with said:
        said.seek(0)
        last = next((line for line in reversed(said.readlines()) if line.strip()), "nothing").strip()
    if process.returncode != 0:
        raise UserError(f"{stage}.py ended with exit code {process.returncode}: {last.removeprefix('error: ')}")
