"""Run the tasks of one datatrove stage in processes of this machine."""

import contextlib
import io
from typing import Any

import dill
from datatrove.executor.base import DistributedEnvVars, PipelineExecutor
from loguru import logger

from data_prep.building.process_pool import process_pool


class LocalTasks(PipelineExecutor):
    """An executor that notices when a worker is killed; datatrove's `LocalPipelineExecutor` waits for it forever."""

    def __init__(self, pipeline: list[Any], tasks: int, workers: int, logging_dir: str) -> None:
        super().__init__(pipeline, logging_dir)
        self.tasks, self.workers = tasks, workers

    @property
    def world_size(self) -> int:
        """The number of tasks."""
        return self.tasks

    def get_distributed_env(self, node_rank: int = -1) -> DistributedEnvVars:  # noqa: ARG002
        """Return what datatrove puts into the environment of a task: one node, no limits."""
        return DistributedEnvVars(
            datatrove_node_ips="localhost", datatrove_cpus_per_task="-1", datatrove_mem_per_cpu="-1",
            datatrove_gpus_on_node="-1", datatrove_executor="LOCAL",
        )  # fmt: skip

    def run(self) -> None:
        """Run all tasks. Raises the first error of a task, and `UserError` if a worker is killed."""
        pickled = dill.dumps(self)
        with process_pool(min(self.workers, self.tasks), _start) as pool:
            for done in [pool.submit(_run_task, pickled, rank) for rank in range(self.tasks)]:
                done.result()


def _start() -> None:
    logger.disable("datatrove")  # messages about each task's pipeline and statistics on stderr


def _run_task(pickled: bytes, rank: int) -> None:
    with contextlib.redirect_stderr(io.StringIO()):  # of progress bars
        dill.loads(pickled)._run_for_rank(rank)
