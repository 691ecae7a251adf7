"""What a run says about its cost, and where an interrupted one goes on."""

import resource
import sys

import torch
from transformers import TrainingArguments
from transformers.trainer_utils import get_last_checkpoint

_BYTES_PER_UNIT = 1 if sys.platform == "darwin" else 1024  # getrusage counts bytes on macOS and KiB on Linux


def peak_memory_bytes() -> int:
    """Peak bytes on the accelerator if one was used, else the peak resident set of this process."""
    if torch.cuda.is_available() and torch.cuda.max_memory_allocated():
        return int(torch.cuda.max_memory_allocated())
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _BYTES_PER_UNIT


def last_checkpoint(training: TrainingArguments, resume: bool) -> str | None:
    """The newest checkpoint to go on from: None for a fresh run, or one that stopped before its first checkpoint."""
    return get_last_checkpoint(training.output_dir) if resume else None
