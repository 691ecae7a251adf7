"""Run the stages of a datatrove pipeline: in processes of this machine, on Ray, or as Slurm jobs."""

import importlib.util
import logging
import os
import secrets
import shlex
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.errors import UserError

if TYPE_CHECKING:
    from datatrove.executor.base import PipelineExecutor

_OBJECT_STORE_BYTES = 100_000_000  # stages exchange files, so Ray's shared memory holds executors only
_MEM_PER_CPU_GB = 2
_SECONDS_TO_END = 20


class Executor(StrEnum):
    """Where tasks run; the value is that of --executor."""

    LOCAL = "local"
    SLURM = "slurm"
    RAY = "ray"


@dataclass(frozen=True)
class Stage:
    """Blocks that `n_tasks` tasks run, each on its part of the data. All tasks end before the next stage begins."""

    name: str
    blocks: Sequence[Any]  # datatrove's PipelineStep, or a function of data, rank and number of tasks
    n_tasks: int


@dataclass(frozen=True)
class ExecutorOptions:
    """Where and how tasks run: `n_workers` of `n_tasks` at a time; on Slurm, all that the partition allows."""

    executor: Executor
    n_tasks: int
    n_workers: int
    slurm_partition: str | None = None
    slurm_time: str | None = None


def refuse_missing_executor(executor: Executor) -> None:
    """Raise `UserError` if the packages of `executor`, or Slurm's commands, are not installed. Imports none of them."""
    needed = ["datatrove", "spacy", *(["ray"] if executor is Executor.RAY else [])]
    missing = [name for name in needed if importlib.util.find_spec(name) is None]
    if missing:
        fix = "pip install -e '.[scale]'"
        raise UserError(f"--executor {executor} needs {' and '.join(missing)}, which is not installed", fix)
    if executor is Executor.SLURM and shutil.which("sbatch") is None:
        problem = "--executor slurm needs the command sbatch, which is not on PATH"
        raise UserError(problem, "run this on a login node of the cluster, or use --executor local")


def run_stages(stages: Sequence[Stage], options: ExecutorOptions, folder: Path) -> None:
    """Run `stages` in order on this machine or on Ray; datatrove's records are written below `folder`.

    Raises `UserError` if a task is killed or, on Ray, if it fails.
    """
    if options.executor is Executor.RAY:
        with _ray_settings() as settings:
            for stage in stages:
                _run_on_ray(stage, options.n_workers, folder, settings)
    else:
        for stage in stages:
            _run_locally(stage, options.n_workers, folder)


def _run_locally(stage: Stage, n_workers: int, folder: Path) -> None:
    from data_prep.scaling.local_tasks import LocalTasks

    LocalTasks(list(stage.blocks), stage.n_tasks, n_workers, str(folder / stage.name)).run()


@contextmanager
def _quiet() -> Iterator[None]:
    """Turn datatrove's messages off: it writes the pipeline and its statistics to stderr."""
    from loguru import logger

    logger.disable("datatrove")
    try:
        yield
    finally:
        logger.enable("datatrove")


@contextmanager
def _ray_settings() -> Iterator[dict[str, Any]]:
    """Yield the arguments of `ray.init` for a cluster on this machine; none if RAY_ADDRESS names another."""
    if "RAY_ADDRESS" in os.environ:
        yield {}
        return
    # as Ray does it, not in TMPDIR: the path of a Unix socket has at most 107 characters
    temporary = tempfile.mkdtemp(prefix="ray-", dir=os.environ.get("RAY_TMPDIR", "/tmp"))
    before = dict(os.environ)
    # a token of this run: Ray's default would leave one in the home directory
    os.environ.update(RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=secrets.token_hex(32))
    os.environ.update(RAY_USAGE_STATS_ENABLED="0", TMPDIR=temporary)
    try:
        yield {
            "include_dashboard": False, "object_store_memory": _OBJECT_STORE_BYTES,
            "_temp_dir": temporary, "_node_ip_address": "127.0.0.1",
        }  # fmt: skip
    finally:
        os.environ.clear()
        os.environ.update(before)
        shutil.rmtree(temporary, ignore_errors=True)


def _run_on_ray(stage: Stage, n_workers: int, folder: Path, settings: dict[str, Any]) -> None:
    """Run a stage in a Ray session of its own. datatrove forks a pool inside the Ray worker, which may never end though
    its task is complete: then the end of the session ends it."""
    import ray  # reads RAY_AUTH_MODE
    from datatrove.executor import RayPipelineExecutor

    logs = folder / stage.name
    arguments: dict[str, Any] = {**settings, "num_cpus": n_workers} if settings else {}
    with _quiet():
        one = RayPipelineExecutor(
            list(stage.blocks), tasks=stage.n_tasks, workers=n_workers, logging_dir=str(logs), mem_per_cpu_gb=0
        )
        ray.init(log_to_driver=False, logging_level=logging.ERROR, **arguments)
        try:
            running = threading.Thread(target=one.run, daemon=True)
            running.start()
            while running.is_alive() and one.get_incomplete_ranks():
                running.join(1)
            running.join(_SECONDS_TO_END)
        finally:
            ray.shutdown()
    # an error in a task is not raised, only logged
    if failed := one.get_incomplete_ranks():
        log = logs / "logs" / f"task_{failed[0]:05}.log"
        lines = log.read_text(encoding="utf-8", errors="replace").split("\n") if log.is_file() else []
        last = next((line for line in reversed(lines) if line.strip()), "no log was written")
        problem = f"{len(failed)} of {stage.n_tasks} tasks of the stage {stage.name} failed on Ray: {last}"
        raise UserError(problem, "run it with --executor local to see the whole error")


def submit_stages(stages: Sequence[Stage], options: ExecutorOptions, folder: Path) -> str:
    """Submit one job array for each stage, which begins when the one before has succeeded; return the last job's id."""
    from datatrove.executor import SlurmPipelineExecutor

    on_path = f"export PATH={shlex.quote(str(Path(sys.executable).parent))}:$PATH"  # of launch_pickled_pipeline
    last: PipelineExecutor | None = None
    for stage in stages:
        last = SlurmPipelineExecutor(
            list(stage.blocks), tasks=stage.n_tasks, time=options.slurm_time, depends=last,
            partition=options.slurm_partition,
            logging_dir=str(folder / stage.name), job_name=stage.name, qos=None, mem_per_cpu_gb=_MEM_PER_CPU_GB,
            env_command=on_path,
        )  # fmt: skip
    assert last is not None
    try:
        with _quiet():
            last.run()
    except subprocess.CalledProcessError as error:
        problem = f"sbatch refused the job (exit code {error.returncode})"
        raise UserError(problem, "correct what its message names, such as --slurm_partition") from error
    return str(last.job_id)
