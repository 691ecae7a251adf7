"""The run folder: created before the first weight loads, finished last, never overwritten."""

import os
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from pipelines.errors import UserError
from pipelines.files import read_json, refuse_unwritable, write_json_atomically
from pipelines.files.unfinished import hold, release, unfinished_files
from pipelines.records.checkpoint import cost_of_checkpoint, step_of
from pipelines.records.environment import describe_machine, git_commit, versions
from pipelines.records.lock import Inputs, complete_lock, write_lock
from pipelines.records.record_files import plain, read_record

RECORD_NAME = "run.json"


OPENED: list["Run"] = []  # by this process, for `failures_noted`


class RunStatus(StrEnum):
    """How far a run came."""

    STARTED = "started"
    STOPPED = "stopped"  # from outside, with a checkpoint
    FAILED = "failed"
    FINISHED = "finished"


@dataclass
class Run:
    """One run of a training program. On ranks that do not write, no method has an effect.

    A resumed run has several legs: `legs` has the steps and the wall time of each, `before` is the cost up to the
    checkpoint that this one continues from.
    """

    folder: Path
    record: dict[str, Any]
    started_at: float
    writes: bool
    before: Mapping[str, Any] = field(default_factory=dict)
    seconds_before: float = 0.0
    legs: list[dict[str, Any]] = field(default_factory=lambda: [{"first_step": 0}])

    def note(self, **facts: Any) -> None:
        """Add `facts` to run.json now, so that they are there if the run dies."""
        self.record.update(facts)
        if self.writes:
            write_json_atomically(self.folder / RECORD_NAME, self.record)

    def lock(self, inputs: Inputs) -> None:
        """Write lock.json and the same inputs in run.json, before the first weight loads. Raises `UserError` if a
        resumed run began with other inputs."""
        if self.writes:
            write_lock(self.folder, self.record, inputs)
        self.note(**inputs.run_facts())

    def finish(self, **facts: Any) -> None:
        """Complete the lock, then mark the run as finished: the next stage relies on this status."""
        if self.writes:
            complete_lock(self.folder, facts.get("metrics") or {})
        self.note(**facts, **self._spent(), status=RunStatus.FINISHED.value, machine=describe_machine())
        release(self.folder)

    @property
    def is_unfinished(self) -> bool:
        """Whether it is under way."""
        return self.record.get("status") == RunStatus.STARTED.value

    def end(self, status: RunStatus, reason: str) -> None:
        """Record why the run did not finish. A full disk may leave no room for that: run.json stays as it was."""
        with suppress(OSError, UserError):
            self.note(**self._spent(), status=status.value, failure=reason)
        release(self.folder)

    def note_spent(self, step: int) -> None:
        """Record the wall time of the run so far, and the step that this leg has come to."""
        self.legs[-1]["last_step"] = step
        self.note(**self._spent())

    def go_on_from(self, checkpoint: Path | None) -> None:
        """Carry over the cost of earlier legs: all of their wall time, other costs up to `checkpoint` only, because the
        steps after it are done again. How many, and in what time, is recorded as far as the last leg noted it: a killed
        one has spent at most half a minute, or the time to the next log, more."""
        path = self.folder / RECORD_NAME
        earlier = read_json(path) if self.writes and path.is_file() else {}
        self.before = {} if checkpoint is None else cost_of_checkpoint(checkpoint)
        self.seconds_before, step = earlier.get("seconds_wall", 0.0), 0 if checkpoint is None else step_of(checkpoint)
        *done, last = earlier.get("legs") or [{"first_step": 0, "seconds_wall": self.seconds_before}]
        again = min(last["seconds_wall"], self.seconds_before - self.before.get("seconds_wall", 0.0))
        last |= {"n_steps_repeated": last.get("last_step", step) - step, "seconds_repeated": round(again, 3)}
        changed = _changed_versions(earlier)
        self.legs = [*done, last, {"first_step": step, **({"changed": changed} if changed else {})}]
        if changed:
            said = ", ".join(f"{name} {here} (before: {before})" for name, (before, here) in changed.items())
            print(f"warning: resumed with {said}: not the same run to the bit", file=sys.stderr, flush=True)

    def seconds_wall(self) -> float:
        """Wall time of all legs up to now."""
        return self.seconds_before + time.time() - self.started_at

    def _spent(self) -> dict[str, Any]:
        self.legs[-1]["seconds_wall"] = round(time.time() - self.started_at, 3)
        return {"seconds_wall": round(self.seconds_wall(), 3), "legs": self.legs}


def open_run(
    folder: Path,
    *,
    program: str,
    recipe: Mapping[str, Any],
    seeds: Mapping[str, int],
    resume: bool,
    writes: bool,
    checkpoint: Path | None = None,
) -> Run:
    """Write run.json as started into `folder`; a resumed run continues from `checkpoint`.

    `writes` is true on one rank; the others do not touch the folder. Raises `UserError` if it holds a finished run, an
    unfinished one without `resume`, or other files.
    """
    if writes:
        if folder.is_dir():
            hold(folder)
        _refuse_taken(folder, resume)
        folder.mkdir(parents=True, exist_ok=True)
        hold(folder)
        for path in unfinished_files(folder):
            path.unlink()
    run = Run(folder, {"kind": "run", "program": program}, time.time(), writes)
    if resume:
        run.go_on_from(checkpoint)
    run.note(
        **run._spent(),
        status=RunStatus.STARTED.value,
        recipe=plain(dict(recipe)),
        versions=versions(),
        machine=describe_machine(),
        git_commit=git_commit(),
        seeds=dict(seeds),
    )
    OPENED.append(run)
    return run


def open_training_run(
    program: str, recipe: Any, training: Any, *, resume: bool, checkpoint: Path | None = None
) -> Run:  # fmt: skip
    """`open_run` of a parsed `recipe` in the `output_dir` of transformers' arguments `training`, written by rank 0."""
    run = open_run(
        Path(str(training.output_dir)),
        program=program,
        recipe=recipe.keys,
        seeds={"seed": training.seed, "data_seed": training.data_seed or training.seed},
        resume=resume,
        checkpoint=checkpoint,
        writes=training.process_index == 0,
    )
    precision = {"precision": recipe.precision.to_json()} if recipe.precision else {}
    run.note(n_processes=training.world_size, **precision)
    return run


def read_finished_run(folder: Path) -> dict[str, Any]:
    """The run.json of `folder`. Raises `UserError` if there is none, or if its run did not finish."""
    record = read_record(folder / RECORD_NAME)
    if record.get("status") != RunStatus.FINISHED.value:
        problem = f"the run in {folder} has the status {record.get('status')}, expected a finished run"
        raise UserError(problem, "continue it with --resume first")
    return record


def taken_output(keys: Mapping[str, Any]) -> Iterator[UserError]:
    """The error, on rank 0, if a run cannot start in the `output_dir` of a recipe's `keys`. Checked before torch is
    imported; `open_training_run` checks again."""
    if os.environ.get("RANK", "0") == "0":
        folder = Path(keys.get("output_dir") or "trainer_output")
        try:
            named = str(keys.get("resume_from_checkpoint"))  # a checkpoint of this run, or else refused later
            resume = keys.get("resume") or named.lower() == "true" or Path(named).resolve().parent == folder.resolve()
            _refuse_taken(folder, bool(resume) and (named == "None" or folder.is_dir()))
            refuse_unwritable(folder)
        except UserError as error:
            yield error


def _changed_versions(earlier: Mapping[str, Any]) -> dict[str, list[Any]]:
    """The commit and the versions that the record of the earlier legs has, and those here, where they differ."""
    before = {"git_commit": earlier.get("git_commit"), **(earlier.get("versions") or {})}
    here = {"git_commit": git_commit(), **versions()}
    return {name: [before[name], here.get(name)] for name in before if before[name] not in (None, here.get(name))}


def _refuse_taken(folder: Path, resume: bool) -> None:
    record = folder / RECORD_NAME
    status = read_json(record).get("status") if record.is_file() else None
    fresh = "set another --output_dir"
    if status == RunStatus.FINISHED.value:
        raise UserError(f"{folder} holds a finished run", fresh)
    if status in (RunStatus.STARTED.value, RunStatus.STOPPED.value, RunStatus.FAILED.value) and not resume:
        raise UserError(f"{folder} holds an unfinished run", f"add --resume to continue it, or {fresh}")
    if status is None and folder.is_dir() and set(folder.iterdir()) - set(unfinished_files(folder)):
        held = "files and no run to resume" if resume else "unrelated files"
        raise UserError(f"{folder} holds {held}, expected a new or empty output_dir", fresh)
