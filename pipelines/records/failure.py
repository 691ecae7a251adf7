"""Why a run did not finish: recorded in its run.json, with the way to go on in the message."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipelines.errors import Diverged, MachineFailure, Stopped, UserError
from pipelines.files.disk import disk_fault, free_space
from pipelines.records.checkpoint import CHECKPOINT_NAME, can_be_resumed, checkpoints_of
from pipelines.records.run_folder import OPENED, Run, RunStatus

MODEL_ALONE = "no optimizer (save_only_model: true)"
_MAX_REASON = 500  # characters


@contextmanager
def failures_noted() -> Iterator[None]:
    """Record in run.json why a run that the block opens did not finish, whatever ended it, and say how to go on."""
    n_before = len(OPENED)
    try:
        yield
    except BaseException as raised:
        runs = [run for run in OPENED[n_before:] if run.is_unfinished]
        fault = disk_fault(raised) if runs and not isinstance(raised, UserError) else None
        error = raised if fault is None else _no_room(raised, runs[-1].folder, fault)
        for run in runs:
            run.end(RunStatus.STOPPED if isinstance(error, Stopped) else RunStatus.FAILED, _reason(error))
        if runs and isinstance(error, MachineFailure | Diverged):
            way = how_to_go_on(runs[-1], keeps_keys=isinstance(error, MachineFailure))
            fix = f"{error.fix}; {way}" if error.fix else way
            raise type(error)(error.problem, fix, finding=error.finding) from raised
        if runs and runs[-1].writes and not isinstance(error, UserError | Stopped):
            print(f"the run did not finish; {how_to_go_on(runs[-1])}", file=sys.stderr, flush=True)
        elif len(OPENED) == n_before and isinstance(error, KeyboardInterrupt | SystemExit):
            print("nothing is trained yet; start again with the same command", file=sys.stderr, flush=True)
        raise
    finally:
        del OPENED[n_before:]


def _no_room(error: BaseException, folder: Path, fault: str) -> MachineFailure:
    place = getattr(error, "filename", None) or folder
    return MachineFailure(f"cannot write {place}: {fault} ({free_space(folder)})", "make room there")


def how_to_go_on(run: Run, *, keeps_keys: bool = True) -> str:
    """What to do with what is saved of `run`: continue it, or start another one if keys or rows must change."""
    whole = [one for one in checkpoints_of(run.folder) if (one / CHECKPOINT_NAME).is_file()]
    if not keeps_keys:
        again = "start again with another --output_dir"
        return f"{again}, or from the last whole checkpoint: {_as_base(whole[0])}" if whole else again
    to_resume = next((one for one in whole if can_be_resumed(one)), None)
    if whole and to_resume is None:
        return f"{whole[0].name} has {MODEL_ALONE}: {other_run_from(whole[0])}"
    place = f"continue from {to_resume.name}" if to_resume else "start again"
    return f"{place} with the same command and --resume"


def other_run_from(checkpoint: Path) -> str:
    """What to do with a checkpoint that is a model alone."""
    return f"start another run from its weights, with {_as_base(checkpoint)} and another --output_dir"


def _as_base(checkpoint: Path) -> str:
    key = "adapter_name_or_path" if (checkpoint / "adapter_config.json").is_file() else "model_name_or_path"
    return f"--{key} {checkpoint}"


def _reason(error: BaseException) -> str:
    said = " ".join(str(error).split())
    if isinstance(error, UserError | Stopped):
        return said[:_MAX_REASON]
    if isinstance(error, SystemExit):
        return f"ended with exit code {error.code}"
    return f"{type(error).__name__}: {said}"[:_MAX_REASON] if said else type(error).__name__
