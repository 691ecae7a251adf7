"""Run a locked recipe again: the same program with the same number of processes and threads."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from pipelines.errors import UserError
from pipelines.records import Parallelism
from pipelines.reproduction.locked_recipe import LockedRecipe

_ROOT = Path(__file__).resolve().parents[2]


def run_again(again: LockedRecipe, lock: Mapping[str, Any], accelerate_config: Path | None = None) -> None:
    """Run the program with the recipe, with as many processes and threads as in the lock; its output is shown.

    Raises `UserError` if the machine has fewer accelerators than processes, or if the run does not finish.
    """
    command = [str(_ROOT / "pipelines" / f"{again.program}.py"), "--config", str(again.path), *again.flags]
    if lock["n_processes"] > 1:
        command = [*_launcher(lock, accelerate_config, on_cpu=again.recipe.arguments[1].use_cpu), *command]
    environment = dict(os.environ)
    if n_threads := lock["machine"].get("n_threads"):
        environment["OMP_NUM_THREADS"] = str(n_threads)  # sums are split among threads, which changes their last bits
    done = subprocess.run([sys.executable, *command], env=environment, check=False)
    if done.returncode != 0:
        raise UserError(f"{again.program}.py ended with exit code {done.returncode}", "see its output above")


def _launcher(lock: Mapping[str, Any], accelerate_config: Path | None, *, on_cpu: bool) -> list[str]:
    n_processes, kind = lock["n_processes"], lock["parallelism"]
    n_accelerators = 0 if on_cpu else torch.accelerator.device_count()
    if not on_cpu and n_accelerators < n_processes:
        problem = (
            f"the locked run had {n_processes} processes with an accelerator each, this machine has {n_accelerators}"
        )
        raise UserError(problem, "use such a machine, or try --use_cpu true")
    if accelerate_config is None and kind == Parallelism.DEEPSPEED:
        problem = "the locked run used DeepSpeed, and a lock does not contain its configuration"
        raise UserError(problem, "give the file with --accelerate_config FILE")
    named = "fsdp2" if kind == Parallelism.FSDP else "cpu_ddp" if on_cpu else "multi_gpu"
    config = accelerate_config or _ROOT / "accelerate_configs" / f"{named}.yaml"
    return ["-m", "accelerate.commands.launch", "--config_file", str(config), "--num_processes", str(n_processes)]
