"""What a machine does to a run, in one line: a full disk, a worker or a process that was lost."""

import os
import platform
import re
import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import torch
from accelerate.utils import gather_object
from transformers import Trainer

from pipelines.errors import MachineFailure
from pipelines.files.disk import disk_fault, free_space, gigabytes
from pipelines.records.checkpoint import CHECKPOINT_NAME, bytes_of_sealed, checkpoints_of

_WORKER = re.compile(r"DataLoader worker \(pid\(?s?\)? ([\d, ]+)\) (?:is killed by signal: ([\w ]+)|exited)")
_CONNECTION = re.compile(r"gloo|NCCL|Connection (closed|reset) by peer|Broken pipe|Socket Timeout", re.IGNORECASE)
_SECONDS_TO_END = 5.0  # the launcher needs a moment to see that a rank has ended
_MAKE_ROOM = "make room there, as by removing older checkpoints, and set save_total_limit: 1"


def bytes_of_checkpoint(model: torch.nn.Module | None, folder: Path) -> int:
    """The size of the newest whole checkpoint in `folder`; before there is one, that of the trained weights and two
    moments of each."""
    for checkpoint in checkpoints_of(folder):
        if (size := bytes_of_sealed(checkpoint)) is not None:
            return size
    trained = (one for one in model.parameters() if one.requires_grad) if model is not None else ()
    return 3 * sum(one.numel() * one.element_size() for one in trained)


@contextmanager
def no_torn_checkpoint(checkpoint: Path, model: torch.nn.Module | None) -> Iterator[None]:
    """Raise a `MachineFailure` if the disk has no room for `checkpoint`. What is there of it is removed unless it is
    whole, so that run.json has room to say so."""
    try:
        yield
    except Exception as error:  # tokenizers raises a bare one
        fault = disk_fault(error)
        if fault is None:
            raise
        if not (checkpoint / CHECKPOINT_NAME).is_file():
            shutil.rmtree(checkpoint, ignore_errors=True)
        needed = gigabytes(bytes_of_checkpoint(model, checkpoint.parent))
        sizes = f"it needs about {needed}, {free_space(checkpoint.parent)}"
        raise MachineFailure(f"cannot write {checkpoint}: {fault} ({sizes})", _MAKE_ROOM) from error


@contextmanager
def no_half_model(folder: Path) -> Iterator[None]:
    """Raise a `MachineFailure` if the disk has no room for what the block writes into `folder`, and remove it again."""
    before = set(folder.iterdir()) if folder.is_dir() else set()
    try:
        yield
    except Exception as error:  # tokenizers raises a bare one
        fault = disk_fault(error)
        if fault is None:
            raise
        for path in set(folder.iterdir()) - before:
            path.unlink() if path.is_file() else shutil.rmtree(path, ignore_errors=True)
        problem = f"cannot write the trained model to {folder}: {fault} ({free_space(folder)})"
        raise MachineFailure(problem, "make room there, as by removing older checkpoints") from error


@contextmanager
def lost_processes_explained(trainer: Trainer) -> Iterator[None]:
    """Raise a `MachineFailure` if a worker of the data loader, or another rank, ends during the training."""
    several = trainer.accelerator.num_processes > 1
    ranks = gather_object([(platform.node(), os.getpid())]) if several else []
    try:
        yield
    except RuntimeError as error:
        step, said = f"in step {trainer.state.global_step + 1}", " ".join(str(error).split())
        if worker := _WORKER.search(said):
            by = "".join(f" by {one.name}" for one in signal.Signals if signal.strsignal(one) == worker[2])
            problem = f"a worker of the data loader (process {worker[1]}) was ended{by} {step}"
            fix = "if memory ran out (see the system's log), lower dataloader_num_workers, or set it to 0"
        elif several and _CONNECTION.search(said) and (ended := _ended(ranks)):
            problem = f"{ended} ended {step}, and the other ranks cannot go on without it"
            fix = "see its own message; if it has none, it was killed, as by the system when memory runs out"
        else:
            raise
        raise MachineFailure(problem, fix) from error


def _ended(ranks: list[tuple[str, int]]) -> str | None:
    """Which of `ranks` (machine, process id) has ended, as far as this machine can tell; None if all go on."""
    until = time.monotonic() + _SECONDS_TO_END
    own = [(rank, process) for rank, (machine, process) in enumerate(ranks) if machine == platform.node()]
    while time.monotonic() < until:
        for rank, process in own:
            if _has_ended(process):
                return f"rank {rank} (process {process})"
        time.sleep(0.1)
    return "a rank on another machine" if len(own) < len(ranks) else None


def _has_ended(process: int) -> bool:
    try:
        return psutil.Process(process).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
