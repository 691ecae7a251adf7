"""What `accelerate launch` and the recipe ask of this machine: processes, devices and sharding."""

import importlib.util
import os
from collections.abc import Mapping
from typing import Any

from pipelines.errors import UserError

_SHARDING = {  # the variable that `accelerate launch` sets, and the recipe's key
    "FSDP": ("ACCELERATE_USE_FSDP", "fsdp"),
    "DeepSpeed": ("ACCELERATE_USE_DEEPSPEED", "deepspeed"),
}


def sharding(keys: Mapping[str, Any]) -> str | None:
    """FSDP or DeepSpeed, if the launch or a recipe with `keys` asks for it."""
    for name, (variable, key) in _SHARDING.items():
        if os.environ.get(variable, "").lower() in ("1", "true") or keys.get(key):
            return name
    return None


def n_processes_here() -> int:
    """Processes of the run on this machine."""
    return int(os.environ.get("LOCAL_WORLD_SIZE") or os.environ.get("WORLD_SIZE") or 1)


def refuse_impossible_launch(keys: Mapping[str, Any], n_accelerators: int) -> None:
    """Raise `UserError` if this machine, with `n_accelerators` for the run, cannot do what is asked for.

    Without an accelerator, accelerate replaces FSDP and DeepSpeed by data parallelism and does not say so.
    """
    asked, n_processes = sharding(keys), n_processes_here()
    if asked == "DeepSpeed" and importlib.util.find_spec("deepspeed") is None:
        raise UserError(
            "the run needs DeepSpeed, which is not installed",
            "pip install -e '.[deepspeed]', or use accelerate_configs/fsdp2.yaml",
        )
    if asked and not n_accelerators:
        raise UserError(
            f"{asked} needs an accelerator: on a processor accelerate would not shard the weights",
            "launch with accelerate_configs/cpu.yaml or cpu_ddp.yaml",
        )
    n_places = n_accelerators or os.cpu_count() or 1
    if n_processes > max(n_places, 1 if n_accelerators else 2):
        places = f"{n_places} accelerator{'s' * (n_places > 1)}" if n_accelerators else f"{n_places} cores and no GPU"
        raise UserError(
            f"{n_processes} processes were started on a machine with {places}",
            f"launch with --num_processes {n_places}" if n_accelerators else "launch with accelerate_configs/cpu.yaml",
        )
