"""The same steps straight, and killed and resumed; what differs between their last checkpoints."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open

from pipelines.errors import UserError
from pipelines.files import read_json
from pipelines.recipe import Stage
from pipelines.records.checkpoint import CHECKPOINT_NAME

_ROOT = Path(__file__).resolve().parents[2]
_STATE = "trainer_state.json"
_KEYS = {
    "push_to_hub": False, "report_to": "none", "doctor": "off", "save_strategy": "steps",
    "save_only_model": False, "load_best_model_at_end": False, "logging_steps": 1, "disable_tqdm": True,
}  # fmt: skip
_OTHER_PLACE = ("training_args.bin", "README.md")  # the output_dir is written into them
_COMPARED = ("loss", "grad_norm", "learning_rate", "eval_loss", "num_tokens")  # of the log; times differ
_SECONDS_BETWEEN_LOOKS = 0.005


@dataclass(frozen=True)
class Compared:
    """The files that are equal, and a line for each difference, the losses first."""

    n_equal: int
    differences: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """The content of resume.json."""
        return {"n_equal_files": self.n_equal, "differences": list(self.differences)}


def run_straight(stage: Stage, recipe: Sequence[str], n_steps: int, folder: Path) -> Path:
    """Run `n_steps`; return the last checkpoint. Raises `UserError` if the run does not finish."""
    _finish(_start(stage, recipe, n_steps, folder), stage)
    return folder / f"checkpoint-{n_steps}"


def run_killed_and_resumed(stage: Stage, recipe: Sequence[str], n_steps: int, folder: Path) -> Path:
    """The same, killed when the checkpoint of half the steps is whole, and resumed from it."""
    process = _start(stage, recipe, n_steps, folder)
    half = folder / f"checkpoint-{n_steps // 2}"
    while process.poll() is None and not (half / CHECKPOINT_NAME).is_file():
        time.sleep(_SECONDS_BETWEEN_LOOKS)
    if process.poll() is None:
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
    elif process.returncode != 0:
        _finish(process, stage)
    if (folder / f"checkpoint-{n_steps}" / CHECKPOINT_NAME).is_file():
        raise UserError(f"the run of {n_steps} steps ended before it could be killed", "raise --steps")
    _finish(_start(stage, recipe, n_steps, folder, "--resume"), stage)
    return folder / f"checkpoint-{n_steps}"


def compare_checkpoints(one: Path, other: Path) -> Compared:
    """What differs between two checkpoints of one step, to the bit."""
    pair = [read_json(folder / CHECKPOINT_NAME) for folder in (one, other)]
    files, again = ({name: facts["sha256"] for name, facts in seal["files"].items()} for seal in pair)
    names = sorted(name for name in files.keys() | again.keys() if name not in _OTHER_PLACE)
    found = list(_different_losses(one, other))
    counts = [seal["cost"].get("n_tokens") for seal in pair]
    if counts[0] != counts[1]:
        found.append(f"tokens counted: {counts[0]} straight, {counts[1]} resumed")
    unequal = [name for name in names if name != _STATE and files.get(name) != again.get(name)]
    found += [line for name in unequal if (line := _difference(one / name, other / name)) is not None]
    return Compared(len(names) - len(unequal), tuple(found))


def _start(
    stage: Stage, recipe: Sequence[str], n_steps: int, folder: Path, *more: str
) -> "subprocess.Popen[str]":  # fmt: skip
    own = {**_KEYS, "max_steps": n_steps, "save_steps": n_steps // 2, "output_dir": folder}
    flags = [word for key, value in own.items() for word in (f"--{key}", _written(value))]
    command = [sys.executable, str(_ROOT / "pipelines" / f"{stage}.py"), *recipe, *flags, *more]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def _written(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _finish(process: "subprocess.Popen[str]", stage: Stage) -> None:
    _, said = process.communicate()
    if process.returncode != 0:
        last = next((line for line in reversed(said.splitlines()) if line.strip()), "nothing")
        raise UserError(f"{stage}.py ended with exit code {process.returncode}: {last.removeprefix('error: ')}")


def _different_losses(one: Path, other: Path) -> Iterator[str]:
    logs = [_by_step(read_json(folder / _STATE)["log_history"]) for folder in (one, other)]
    for place in sorted(logs[0].keys() | logs[1].keys()):
        values = [log.get(place) for log in logs]
        if values[0] != values[1]:
            yield f"first at step {place[0]}: {place[1]} is {values[0]} straight, {values[1]} resumed"
            return


def _by_step(log: Sequence[Mapping[str, Any]]) -> dict[tuple[int, str], Any]:
    return {(entry["step"], key): entry[key] for entry in log for key in _COMPARED if key in entry}


def _difference(one: Path, other: Path) -> str | None:
    """A line about two unequal files; None if they hold equal values in other bytes."""
    if not (one.is_file() and other.is_file()):
        return f"{one.name} is only in the {'straight' if one.is_file() else 'resumed'} run"
    values = [dict(_tensors(path)) for path in (one, other)]
    unequal = [key for key in values[0].keys() | values[1].keys() if not _equal(values[0].get(key), values[1].get(key))]
    if values[0] and not unequal:
        return None
    return f"{one.name}" + (f": {len(unequal)} of {len(values[0])} values, such as {min(unequal)}" if unequal else "")


def _tensors(path: Path) -> Iterator[tuple[str, Any]]:
    """The values in a file by name; none for a file of another kind."""
    if path.suffix == ".safetensors":
        with safe_open(path, framework="pt") as file:
            yield from ((name, file.get_tensor(name)) for name in file.keys())  # noqa: SIM118
    elif path.suffix in (".pt", ".pth"):
        # whole pickles, for NumPy's random state: the runs above have just written them
        yield from _leaves(torch.load(path, weights_only=False), "")


def _leaves(value: Any, name: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _leaves(inner, f"{name}.{key}" if name else str(key))
    elif isinstance(value, list | tuple):
        for number, inner in enumerate(value):
            yield from _leaves(inner, f"{name}[{number}]")
    else:
        yield name, value


def _equal(one: Any, other: Any) -> bool:
    if isinstance(one, torch.Tensor) and isinstance(other, torch.Tensor):
        return torch.equal(one, other)
    equal = one == other
    return bool(equal.all()) if hasattr(equal, "all") else bool(equal)
