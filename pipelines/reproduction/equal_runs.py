"""What differs between two run folders that should hold the same run: every file, to the bit; times are left out."""

import filecmp
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from transformers.trainer_pt_utils import safe_globals

from pipelines.files import read_json
from pipelines.records.checkpoint import CHECKPOINT_NAME, step_of

_OTHER_PLACE = ("training_args.bin", "README.md")  # the output_dir is written into them
# how long and where, and what follows from the folder's name
_TIME_OR_PLACE = re.compile(
    r"(^|\.)(\w*seconds?\w*|\w*_runtime|\w*_per_second|peak_memory\w*|mfu|n_legs|legs|recipe|machine|versions|git\w*"
    r"|precision|output_dir|worst_batch)(\.|\[|$)"
)
_HASHES = re.compile(r"^files\.")  # of checkpoint.json, which names the files compared one by one


@dataclass(frozen=True)
class Compared:
    """The number of equal files, and a line for each difference, the logged losses first."""

    n_equal: int
    differences: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """The content of resume.json."""
        return {"n_equal_files": self.n_equal, "differences": list(self.differences)}


def compare_runs(straight: Path, resumed: Path) -> Compared:
    """Compare the folders of two runs: records, logs, models, and the first checkpoint that differs."""
    names = sorted({name for folder in (straight, resumed) for name in _names(folder)}, key=_order)
    found: dict[str, str] = {}
    for name in names:
        line = _difference(straight / name, resumed / name)
        if line is not None:
            found[name] = f"{name}{line}"
    places = [str(Path(name).parent) for name in found]
    first = next((place for place in places if place != "."), None)
    told = [line for (name, line), place in zip(found.items(), places, strict=True) if place in (".", first)]
    return Compared(len(names) - len(found), tuple(told))


def _names(folder: Path) -> Iterator[str]:
    paths = (path for path in folder.rglob("*") if path.is_file())
    return (path.relative_to(folder).as_posix() for path in paths if path.name not in _OTHER_PLACE)


def _order(name: str) -> tuple[int, int, str]:
    """The run's log, then its checkpoints from the first step on, then what follows from them."""
    if name == "trainer_state.json":
        return 0, 0, name
    place = Path(name).parent
    return (1, step_of(place), name) if place != Path() else (2, 0, name)


def _difference(one: Path, other: Path) -> str | None:
    """What to say after the name of two unequal files; None if they hold equal values."""
    if not (one.is_file() and other.is_file()):
        return f" is only in the {'straight' if one.is_file() else 'resumed'} run"
    if filecmp.cmp(one, other, shallow=False):
        return None
    if one.suffix == ".jsonl":
        lines = zip_longest(*(path.read_text(encoding="utf-8").splitlines() for path in (one, other)))
        return next((f": line {place} differs" for place, (a, b) in enumerate(lines, start=1) if a != b), None)
    values = [dict(_values(path)) for path in (one, other)]
    keys = list(dict.fromkeys([*values[0], *values[1]]))
    unequal = [key for key in keys if not _equal(values[0].get(key), values[1].get(key))]
    if not unequal:
        return None if keys or one.suffix == ".json" else ""
    told = f": {len(unequal)} of {len(keys)} values, first {unequal[0]}"
    pair = [value.get(unequal[0]) for value in values]
    return told if any(isinstance(value, torch.Tensor) for value in pair) else f"{told} ({pair[0]}, resumed {pair[1]})"


def _values(path: Path) -> Iterator[tuple[str, Any]]:
    """The values in a file by name; none for a file of another kind."""
    if path.suffix == ".safetensors":
        with safe_open(path, framework="pt") as file:
            yield from ((name, file.get_tensor(name)) for name in file.keys())  # noqa: SIM118
    elif path.suffix in (".pt", ".pth"):
        with safe_globals():  # NumPy's random state
            content = torch.load(path, weights_only=True, map_location="cpu")
        yield from (pair for pair in _leaves(content, "") if not _TIME_OR_PLACE.search(pair[0]))
    elif path.suffix == ".json":
        folder = path.parent if step_of(path.parent) < 0 else path.parent.parent
        for key, value in _leaves(_by_step(read_json(path)), ""):
            if not _TIME_OR_PLACE.search(key) and not (path.name == CHECKPOINT_NAME and _HASHES.match(key)):
                yield key, value.replace(str(folder), ".") if isinstance(value, str) else value


def _by_step(content: dict[str, Any]) -> dict[str, Any]:
    """A trainer's state with its log in the order of steps, so that the first difference is the earliest."""
    if "log_history" not in content:
        return content
    log = [(f"step {entry['step']}", entry) for entry in content["log_history"]]
    numbered = {f"{step}, entry {place}": entry for place, (step, entry) in enumerate(log)}
    return {**numbered, **{key: value for key, value in content.items() if key != "log_history"}}


def _leaves(value: Any, name: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _leaves(inner, f"{name}.{key}" if name else str(key))
    elif isinstance(value, Sequence) and not isinstance(value, str):
        for number, inner in enumerate(value):
            yield from _leaves(inner, f"{name}[{number}]")
    else:
        yield name, value


def _equal(one: Any, other: Any) -> bool:
    if isinstance(one, torch.Tensor) and isinstance(other, torch.Tensor):
        return one.dtype == other.dtype and torch.equal(one, other)
    equal = one == other
    return bool(equal.all()) if hasattr(equal, "all") else bool(equal)
