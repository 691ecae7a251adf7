"""Detect the local hardware."""

import os
import shutil
from pathlib import Path

import torch
from transformers import TrainingArguments

from pipelines.preflight.check_context import Machine
from pipelines.recipe import precision
from pipelines.records.environment import versions


def this_machine(training: TrainingArguments) -> Machine:
    """Accelerator or processor memory, free disk at `output_dir` (or its nearest parent), versions.

    bfloat16 counts as supported if the run would choose it (see `pipelines.recipe.precision`). The memory of an
    accelerator that is not a CUDA or ROCm device is unknown.
    """
    folder = Path(str(training.output_dir)).absolute()
    existing = next(parent for parent in (folder, *folder.parents) if parent.exists())
    free = shutil.disk_usage(existing).free
    native = precision.arithmetic("bfloat16", on_cpu=training.device.type == "cpu").is_fast
    if torch.cuda.is_available() and not training.use_cpu:
        properties = torch.cuda.get_device_properties(0)
        return Machine(properties.name, properties.total_memory, native, free, versions())
    if torch.accelerator.is_available() and not training.use_cpu:
        return Machine(str(torch.accelerator.current_accelerator()), None, native, free, versions())
    n_bytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if hasattr(os, "sysconf") else None
    return Machine(None, n_bytes, native, free, versions())
