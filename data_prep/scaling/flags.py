"""The flags that choose where a corpus is built."""

import argparse

from data_prep.building.flags import all_cores
from data_prep.scaling.executors import Executor, ExecutorOptions, refuse_missing_executor
from pipelines.command_line import positive_number
from pipelines.errors import UserError

_DEFAULT_TIME = "24:00:00"


def add_executor_flags(parser: argparse.ArgumentParser) -> None:
    """Add `--executor`, `--num_tasks` and the flags of Slurm."""
    parser.add_argument(
        "--executor", choices=[one.value for one in Executor], help="build with datatrove's tasks (off)"
    )
    parser.add_argument("--num_tasks", type=positive_number, help="parts of the sources for --executor (--num_proc)")
    parser.add_argument("--slurm_partition", help="partition of the jobs of --executor slurm")
    parser.add_argument("--slurm_time", help=f"time limit of each of its tasks ({_DEFAULT_TIME})")


def executor_options(options: argparse.Namespace) -> ExecutorOptions | None:
    """Return what the flags say, None without `--executor`. Raises `UserError` if flags or packages are missing."""
    n_tasks = getattr(options, "num_tasks", None)
    if getattr(options, "executor", None) is None:
        if n_tasks is not None:
            raise UserError(f"--num_tasks {n_tasks} is of no use without --executor", "add --executor local")
        return None
    executor = Executor(options.executor)
    if executor is Executor.SLURM and not options.slurm_partition:
        raise UserError("--executor slurm lacks --slurm_partition", "name a partition that sinfo lists")
    refuse_missing_executor(executor)
    n_workers, time = options.num_proc or all_cores(), options.slurm_time or _DEFAULT_TIME
    return ExecutorOptions(executor, n_tasks or n_workers, n_workers, options.slurm_partition, time)
