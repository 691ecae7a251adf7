"""Why a run did not finish: recorded in its run.json, with the way to go on in the message."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipelines.errors import Diverged, MachineFailure, Stopped, UserError
from pipelines.files.disk import disk_fault, free_space
from pipelines.records.checkpoint import CHECKPOINT_NAME, checkpoints_of
from pipelines.records.run_folder import OPENED, Run, RunStatus

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
    whole = next((one for one in checkpoints_of(run.folder) if (one / CHECKPOINT_NAME).is_file()), None)
    if keeps_keys:
        place = f"continue from {whole.name}" if whole else "start again"
        return f"{place} with the same command and --resume"
    if whole is None:
        return "start again with another --output_dir"
    key = "adapter_name_or_path" if (whole / "adapter_config.json").is_file() else "model_name_or_path"
    return f"start again with another --output_dir, or from the last whole checkpoint: --{key} {whole}"


def _reason(error: BaseException) -> str:
    said = " ".join(str(error).split())
    if isinstance(error, UserError | Stopped):
        return said[:_MAX_REASON]
    if isinstance(error, SystemExit):
        return f"ended with exit code {error.code}"
    return f"{type(error).__name__}: {said}"[:_MAX_REASON] if said else type(error).__name__
