"""Write rows, read what a run leaves in its folder, and run as on a processor with bfloat16."""

import json
from collections.abc import Iterable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from safetensors.torch import load_file

from pipelines.recipe import precision
from pipelines.recipe.precision import Arithmetic


def write_jsonl(path: Path, rows: Iterable[Any]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def read_jsonl(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def read_json(path: Path) -> Any:
    return json.loads(path.read_text())


def record_of(folder: Path) -> dict[str, Any]:
    return dict(read_json(folder / "run.json"))


def mark_started(folder: Path, **more: Any) -> None:
    """Make the record that of a run that was interrupted."""
    (folder / "run.json").write_text(json.dumps({**record_of(folder), "status": "started", **more}))


def logged(folder: Path, key: str) -> list[float]:
    """The values of `key` in the log of trainer_state.json."""
    return [entry[key] for entry in read_json(folder / "trainer_state.json")["log_history"] if key in entry]


def adapter_weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "adapter_model.safetensors")


def same_weights(one: Path, other: Path, name: str = "adapter_model.safetensors") -> bool:
    before, after = load_file(one / name), load_file(other / name)
    return before.keys() == after.keys() and all(torch.equal(before[key], after[key]) for key in before)


def with_bfloat16() -> AbstractContextManager[Any]:
    """This process finds fast bfloat16 arithmetic and none of float16, whatever its processor has."""
    found = {
        "bfloat16": Arithmetic("bfloat16", "this processor", in_hardware=True, times_float32=0.5),
        "float16": Arithmetic("float16", "this processor", in_hardware=False, times_float32=40.0),
    }
    return patch.multiple(precision, arithmetic=lambda dtype, **_: found[dtype], times_float32=lambda *_: 0.7)


def lock(**changes: Any) -> dict[str, Any]:
    """A finished lock of sft.py, with `changes` in place of its keys."""
    return read_json(Path(__file__).parent / "reproduction" / "lock.json") | changes
