"""Keys that follow from the machine: `use_cpu` and the local tracker."""

import importlib.util
import os
import tempfile
from pathlib import Path
from typing import Any

from pipelines.recipe.launch import n_processes_here, refuse_impossible_launch
from pipelines.recipe.precision import say


def keys_for_this_machine(keys: dict[str, Any]) -> dict[str, Any]:
    """Add `use_cpu: true`, with a line on stderr, if the machine has no accelerator.

    transformers rejects `bf16: true` on such a machine without `use_cpu`, and recipes should run everywhere. Raises
    `UserError` if the machine lacks what the launch asks for.
    """
    import torch

    n_accelerators = 0 if keys.get("use_cpu") else torch.accelerator.device_count()
    refuse_impossible_launch(keys, n_accelerators)
    if "use_cpu" in keys or n_accelerators:
        return keys
    n = n_processes_here()
    say(f"no accelerator found: training on the CPU{f' in {n} processes' if n > 1 else ''} (use_cpu: true)")
    return {**keys, "use_cpu": True}


def keys_of_default_tracker(keys: dict[str, Any]) -> dict[str, Any]:
    """Add `report_to: trackio`, with a line on stderr, if neither recipe nor command line sets a tracker.

    trackio writes to a local folder (`TRACKIO_DIR`, else `trackio` in the Hugging Face cache) and sends nothing. The
    `project` is by default the name of `output_dir`. Without trackio, or a folder to write to, there is no tracker.
    """
    if "report_to" in keys or importlib.util.find_spec("trackio") is None:
        return keys
    from huggingface_hub.constants import HF_HOME

    folder = Path(os.environ.get("TRACKIO_DIR") or Path(HF_HOME, "trackio"))
    project = str(keys.get("project") or Path(str(keys.get("output_dir") or "trainer_output")).absolute().name)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        say(f"no tracker: trackio cannot write to {folder} ({error.strerror}); set TRACKIO_DIR or report_to")
        return {**keys, "report_to": "none"}
    say(f"metrics go to the local trackio (`trackio show --project {project}`); report_to chooses another tracker")
    return {**keys, "report_to": "trackio", "project": project}
