"""lock.json: everything that reproduces the model, and the result."""

import math
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from pipelines.errors import UserError
from pipelines.files import read_json, write_json_atomically
from pipelines.records.environment import git_state
from pipelines.records.lock_shape import first_misfit, missing_keys
from pipelines.records.record_files import read_record
from pipelines.records.weights import weights_sha256

LOCK_NAME = "lock.json"
LOCK_VERSION = 1
_GIVE_A_LOCK = "give the lock.json of a run of sft.py, dpo.py or pretrain.py"


class Parallelism(StrEnum):
    """How the processes of a run share their work."""

    NONE = "none"
    DDP = "ddp"
    FSDP = "fsdp"
    DEEPSPEED = "deepspeed"


@dataclass(frozen=True)
class ModelIdentity:
    """A base or an adapter: as the recipe names it, the Hub's commit, what identifies the weights, the license."""

    name_or_path: str
    revision: str | None
    fingerprint: str
    license: str | None


@dataclass(frozen=True)
class License:
    """The license of one source of a dataset."""

    source: str
    license: str


@dataclass(frozen=True)
class DatasetIdentity:
    """The rows of one split as they were read; `n_rows` is None for a stream, `parts` are the entries of a mixture."""

    split: str
    path: str
    revision: str | None
    fingerprint: str
    n_rows: int | None
    licenses: tuple[License, ...] = ()
    parts: tuple[tuple[str, str | None], ...] = ()

    def to_json(self) -> dict[str, Any]:
        """As the lock has it: a mixture's parts with the commit of each, left out for a single source."""
        record = asdict(self) | {"licenses": [asdict(one) for one in self.licenses]}
        parts = [{"path": path, "revision": revision} for path, revision in self.parts]
        return {key: value for key, value in record.items() if key != "parts"} | ({"parts": parts} if parts else {})


@dataclass(frozen=True)
class Inputs:
    """What a run is made of. `base` is None from scratch; the first dataset is the one that is trained on."""

    base: ModelIdentity | None
    datasets: tuple[DatasetIdentity, ...]
    tokenizer_sha256: str
    template_sha256: str | None
    adapter: ModelIdentity | None = None

    def to_json(self) -> dict[str, Any]:
        """The lock's keys of the inputs."""
        adapter = self.adapter and {"name_or_path": self.adapter.name_or_path, "fingerprint": self.adapter.fingerprint}
        return {
            "base": self.base and asdict(self.base),
            "adapter": adapter,
            "datasets": [one.to_json() for one in self.datasets],
            "tokenizer_sha256": self.tokenizer_sha256,
            "template_sha256": self.template_sha256,
        }

    def run_facts(self) -> dict[str, Any]:
        """run.json's short form of the same values."""
        train = self.datasets[0]
        return {
            "base": _short(self.base),
            **({"adapter": _short(self.adapter)} if self.adapter else {}),
            "dataset": {"path": train.path, "fingerprint": train.fingerprint, "n_rows": train.n_rows},
            "template_sha256": self.template_sha256,
        }


def write_lock(folder: Path, run_record: Mapping[str, Any], inputs: Inputs) -> None:
    """Write lock.json from run.json and the `inputs`, before the weights load. Raises `UserError` if an earlier start
    of the run had other inputs: no recipe could reproduce it."""
    path, made_of = folder / LOCK_NAME, inputs.to_json()
    begun = read_lock(path) if path.is_file() else None
    if begun is not None:
        _refuse_other_inputs(begun, made_of)
    before = _before_resume(begun, run_record) if begun is not None else {}
    lock = {
        "kind": "lock",
        "version": LOCK_VERSION,
        "program": run_record["program"],
        "recipe": run_record["recipe"],
        "precision": run_record.get("precision"),
        **({"before_resume": before} if before else {}),
        **made_of,
        "versions": run_record["versions"],
        "git": git_state(),
        "seeds": run_record["seeds"],
        "n_processes": run_record["n_processes"],
        "parallelism": parallelism(run_record["n_processes"]).value,
        "machine": run_record["machine"],
        "result": None,
    }
    write_json_atomically(path, lock)


def complete_lock(folder: Path, metrics: Mapping[str, Any]) -> None:
    """Add the `result` to the lock in `folder`: the weights' hash, the loss at each logged step, the metrics."""
    path = folder / LOCK_NAME
    if path.is_file():
        result = {"weights_sha256": weights_sha256(folder), "loss_curve": loss_curve(folder), "metrics": dict(metrics)}
        write_json_atomically(path, read_json(path) | {"result": result})


def read_lock(path: Path) -> dict[str, Any]:
    """A lock, by its file or folder. Raises `UserError` if it is missing, has another version, or is broken."""
    if not path.exists():
        raise UserError(f"{path} does not exist, expected a lock.json or the folder of a run", "check the path")
    path = path / LOCK_NAME if path.is_dir() else path
    lock = read_record(path)
    if lock.get("kind") != "lock" or lock.get("version") != LOCK_VERSION:
        problem = (
            f"{path} is {lock.get('kind')}, version {lock.get('version')}, expected a lock of version {LOCK_VERSION}"
        )
        raise UserError(problem, _GIVE_A_LOCK)
    if missing := missing_keys(lock):
        raise UserError(f"{path} has no {', '.join(missing)}", _GIVE_A_LOCK)
    if misfit := first_misfit(lock):
        raise UserError(f"{path} was edited: {misfit} is not what a run writes", "give the lock as the run wrote it")
    return lock


def loss_curve(folder: Path) -> list[list[float]]:
    """[step, mean training loss since the previous step] for each logged finite loss in trainer_state.json."""
    state = folder / "trainer_state.json"
    history = read_json(state)["log_history"] if state.is_file() else []
    return [[entry["step"], entry["loss"]] for entry in history if math.isfinite(entry.get("loss", math.nan))]


def parallelism(n_processes: int) -> Parallelism:
    """How this run's processes share the work, from the environment of `accelerate launch`."""
    for name, kind in (("FSDP", Parallelism.FSDP), ("DEEPSPEED", Parallelism.DEEPSPEED)):
        if os.environ.get(f"ACCELERATE_USE_{name}", "false").lower() in ("1", "true"):
            return kind
    return Parallelism.DDP if n_processes > 1 else Parallelism.NONE


def _short(model: ModelIdentity | None) -> dict[str, str | None]:
    """Path and fingerprint; None for a model from scratch."""
    return {"path": model.name_or_path if model else None, "fingerprint": model.fingerprint if model else None}


def _refuse_other_inputs(begun: Mapping[str, Any], here: Mapping[str, Any]) -> None:
    changed = [name for name, value in fingerprints(begun).items() if fingerprints(here).get(name) != value]
    if changed:
        problem = f"the run began with another {', another '.join(changed)}"
        raise UserError(problem, "resume with the same inputs, or start again with another --output_dir")


def _before_resume(begun: Mapping[str, Any], run_record: Mapping[str, Any]) -> dict[str, Any]:
    """Earlier values of recipe keys and precision that were changed at a resume."""
    was, now = (
        {**one["recipe"], "precision": (one.get("precision") or {}).get("choice")} for one in (begun, run_record)
    )
    names = dict.fromkeys([*was, *now]).keys() - {"resume", "resume_from_checkpoint"}
    changed = {name: was.get(name) for name in names if was.get(name) != now.get(name)}
    if not begun.get("precision"):  # a lock from before it was recorded
        changed.pop("precision", None)
    return {**begun.get("before_resume", {}), **dict(sorted(changed.items()))}


def fingerprints(lock: Mapping[str, Any]) -> dict[str, str | None]:
    """The fingerprint of each input of a lock: base, adapter, train dataset, tokenizer, ... Datasets are named by split
    and order, because their path may have changed."""
    found = {key: lock[key]["fingerprint"] for key in ("base", "adapter") if lock[key]}
    for one in lock["datasets"]:
        name = f"{one['split']} dataset"
        n_before = sum(key.startswith(name) for key in found)
        found[f"{name} {n_before + 1}" if n_before else name] = one["fingerprint"]
    return found | {"tokenizer": lock["tokenizer_sha256"], "chat template": lock["template_sha256"]}
