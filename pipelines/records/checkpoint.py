"""checkpoint.json: written last into a checkpoint, with the size and hash of every file and the cost of the run so far.

A checkpoint without it was not written to its end. One whose files differ from it has changed since.
"""

import os
import re
import shutil
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path, PurePath
from typing import Any

from pipelines.errors import UserError
from pipelines.files import read_json, sha256_of_file, write_json_atomically

CHECKPOINT_NAME = "checkpoint.json"
NOT_SEALED = f"no {CHECKPOINT_NAME}, which is written last"


def seal_checkpoint(folder: Path, cost: Mapping[str, Any], *, can_be_resumed: bool = True) -> None:
    """Flush every file of the checkpoint in `folder` to the disk, then write checkpoint.json. `cost` is that of the run
    up to this step; a model alone (save_only_model) cannot be resumed."""
    files = {}
    for path in _files(folder):
        with path.open("rb") as file:
            os.fsync(file.fileno())
        files[path.relative_to(folder).as_posix()] = {"bytes": path.stat().st_size, "sha256": sha256_of_file(path)}
    about = {"kind": "checkpoint", "can_be_resumed": can_be_resumed, "cost": dict(cost), "files": files}
    write_json_atomically(folder / CHECKPOINT_NAME, about)


def remove_checkpoint(folder: Path) -> None:
    """Remove the checkpoint, if there is one; a removal that is interrupted leaves no whole one."""
    (folder / CHECKPOINT_NAME).unlink(missing_ok=True)
    if folder.exists():
        shutil.rmtree(folder)


def checkpoint_fault(folder: Path) -> str | None:
    """Why the checkpoint in `folder` is not as it was written, None if it is. Sizes are compared before hashes."""
    if not (folder / CHECKPOINT_NAME).is_file():
        return NOT_SEALED
    sealed = _seal_of(folder).get("files")
    if sealed is None:
        return f"{CHECKPOINT_NAME} is unreadable"
    for name, facts in sealed.items():
        path = folder / name
        if not path.is_file():
            return f"no {name}"
        if (size := path.stat().st_size) != facts["bytes"]:
            return f"{name} has {size} of {facts['bytes']} bytes"
    changed = (name for name, facts in sealed.items() if sha256_of_file(folder / name) != facts["sha256"])
    return next((f"{name} has changed" for name in changed), None)


def can_be_resumed(folder: Path) -> bool:
    """Whether the whole checkpoint in `folder` has more than the model."""
    seal = _seal_of(folder)
    has_optimizer = any(name.startswith(("optimizer", "global_step")) for name in seal.get("files", ()))
    return "files" in seal and bool(seal.get("can_be_resumed", has_optimizer))  # older seals do not say


def bytes_of_sealed(folder: Path) -> int | None:
    """The size of the checkpoint in `folder`, None if it is not whole."""
    files = _seal_of(folder).get("files")
    return None if files is None else sum(facts["bytes"] for facts in files.values())


def cost_of_checkpoint(folder: Path) -> dict[str, Any]:
    """The cost of the run up to this checkpoint."""
    return dict(_seal_of(folder).get("cost") or {})


def checkpoints_of(folder: Path) -> list[Path]:
    """The checkpoints in a run folder, the newest first."""
    return sorted((path for path in folder.glob("checkpoint-*") if step_of(path) >= 0), key=step_of, reverse=True)


def step_of(checkpoint: PurePath) -> int:
    """The step in a checkpoint's name; -1 for another folder."""
    found = re.fullmatch(r"checkpoint-([0-9]+)", checkpoint.name)
    return int(found[1]) if found else -1


def run_of_checkpoint(folder: Path) -> Path | None:
    """The run folder that the checkpoint `folder` is in; None for a folder that is no checkpoint of a run."""
    run = folder.absolute().parent
    return run if step_of(folder) >= 0 and (run / "run.json").is_file() else None


def record_path(folder: Path, name: str) -> Path:
    """The record `name` of the model in `folder`; of a checkpoint without its own, the one of its run."""
    run = run_of_checkpoint(folder)
    return folder / name if run is None or (folder / name).is_file() else run / name


def refuse_torn_checkpoint(folder: Path) -> None:
    """Raise `UserError` if `folder` is a checkpoint of a run and not as it was written."""
    run = run_of_checkpoint(folder)
    files = tuple(folder.rglob("*")) if run is not None else ()
    state = tuple((str(one), one.stat().st_size, one.stat().st_mtime_ns) for one in files)
    fault = _fault_of_unchanged(folder, state) if run is not None else None
    if run is not None and fault is not None:
        others = [one.name for one in checkpoints_of(run) if one.name != folder.name]
        fix = f"name another one ({', '.join(others)})" if others else "name a finished run"
        raise UserError(f"{folder} is not whole: {fault}", fix)


@lru_cache(maxsize=64)  # programs resolve a model several times, and hashing a large one takes seconds
def _fault_of_unchanged(folder: Path, state: tuple[tuple[str, int, int], ...]) -> str | None:  # noqa: ARG001
    return checkpoint_fault(folder)


def remove_older_checkpoints(newest: Path, limit: int | None, best: str | None) -> None:
    """Keep `newest`, the `best` one, the newest that can be resumed, and others up to `limit`; None or 0: all. Those
    that were interrupted are removed first.

    transformers goes by the time of change, by which a torn checkpoint of an interrupted run can count as the newest,
    and keeps no other of a run with `save_only_model`.
    """
    if not limit:
        return
    older = [path for path in checkpoints_of(newest.parent) if 0 <= step_of(path) < step_of(newest)]
    whole = [path for path in older if "files" in _seal_of(path)]
    to_resume = next((path for path in (newest, *whole) if can_be_resumed(path)), newest)
    kept = {newest.resolve(), to_resume.resolve(), *([Path(best).resolve()] if best else [])}
    others = [path for path in whole if path.resolve() not in kept]
    torn = [path for path in older if path not in whole and path.resolve() not in kept]
    for path in [*torn, *others[max(0, limit - len(kept)) :]]:
        remove_checkpoint(path)


def _seal_of(folder: Path) -> dict[str, Any]:
    """The content of checkpoint.json, empty if there is none that can be read."""
    try:
        seal = read_json(folder / CHECKPOINT_NAME)
    except UserError:
        return {}
    return seal if isinstance(seal, dict) else {}


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != CHECKPOINT_NAME)
