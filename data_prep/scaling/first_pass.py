"""The first pass of a build as datatrove tasks: read and clean units, and find near duplicates by MinHash."""

import pickle
from collections.abc import Callable, Generator, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from data_prep.building.job import Job, UnitResult
from data_prep.building.progress import bytes_of
from data_prep.scaling.executors import ExecutorOptions, Stage, run_stages, submit_stages

if TYPE_CHECKING:
    from data_prep.building.reading import NumberedUnit

_LOGS = "datatrove"


def read_units_as_tasks(units: "Iterable[NumberedUnit]", job: Job, options: ExecutorOptions) -> Generator[UnitResult]:
    """Read all units on this machine or on Ray, and yield the result of each unit in order."""
    _write_tasks(units, job.folder, options.n_tasks)
    run_stages(_stages(job, options.n_tasks), options, job.folder / _LOGS)
    yield from results_of_tasks(job, options.n_tasks)


def submit_tasks(
    units: "Iterable[NumberedUnit]", job: Job, options: ExecutorOptions, logs: Path, finish: Callable[[], None]
) -> str:
    """Submit Slurm jobs that read all units, and a last one that calls `finish`; return the id of the last."""
    _write_tasks(units, job.folder, options.n_tasks)
    stages = [*_stages(job, options.n_tasks), Stage("dataset_folder", [_Finish(finish)], 1)]
    return submit_stages(stages, options, logs)


def results_of_tasks(job: Job, n_tasks: int) -> Generator[UnitResult]:
    """Yield what the tasks have read, in source order. `clusters.npy` then has the cluster of each row."""
    from data_prep.scaling.blocks import results_path

    tasks = [pickle.loads(results_path(job.folder, rank).read_bytes()) for rank in range(n_tasks)]
    if job.step("near_duplicates"):
        n_rows = [sum(shard.n_rows for result in results for shard in result.shards) for results in tasks]
        _write_clusters(job.folder, n_rows)
    for results in tasks:
        yield from results


class _Finish:
    def __init__(self, finish: Callable[[], None]) -> None:
        self._finish = finish

    def __call__(self, _data: object, _rank: int, _world_size: int) -> tuple[()]:
        self._finish()
        return ()


def _write_tasks(units: "Iterable[NumberedUnit]", folder: Path, n_tasks: int) -> None:
    """Write which units each task reads: neighbors of about equal size, so that the tasks' rows in turn are all rows
    in source order, whatever the number of tasks."""
    from data_prep.scaling.blocks import units_path

    numbered = list(units)
    sizes = [max(1, bytes_of(unit)) for _, _, unit in numbered]
    tasks: list[list[NumberedUnit]] = [[] for _ in range(n_tasks)]
    before = 0
    for unit, size in zip(numbered, sizes, strict=True):
        tasks[before * n_tasks // sum(sizes)].append(unit)
        before += size
    for rank, task in enumerate(tasks):
        units_path(folder, rank).write_bytes(pickle.dumps(task))


def _stages(job: Job, n_tasks: int) -> list[Stage]:
    from datatrove.pipeline.dedup import MinhashDedupBuckets, MinhashDedupCluster
    from datatrove.pipeline.dedup.minhash import MinhashConfig
    from datatrove.utils.hashing import HashConfig

    from data_prep.scaling.blocks import BoundedSignature, CleanedDocuments

    if not job.step("near_duplicates"):
        return [Stage("documents", [CleanedDocuments(job)], n_tasks)]
    config = MinhashConfig(hash_config=HashConfig(hash_fc="sha1"))  # xxhash 4 refuses text
    signatures, pairs, clusters = (str(job.folder / name) for name in ("signatures", "pairs", "clusters"))
    return [
        Stage("documents", [CleanedDocuments(job), BoundedSignature(signatures, config)], n_tasks),
        Stage("pairs", [MinhashDedupBuckets(signatures, pairs, config=config)], config.num_buckets),
        Stage("clusters", [MinhashDedupCluster(pairs, clusters, config, save_cluster_id=True)], 1),
    ]


def _write_clusters(folder: Path, n_rows_of_tasks: list[int]) -> None:
    """Write the cluster of each row, or -1. datatrove's own choice in a cluster depends on the number of tasks."""
    import numpy as np

    clusters = np.full(sum(n_rows_of_tasks), -1, np.int64)
    start = 0
    for rank, n_rows in enumerate(n_rows_of_tasks):
        path = folder / "clusters" / f"{rank:06}.clusters"
        if path.is_file():
            places = np.fromfile(path, "<u4").reshape(-1, 2)
            clusters[start + places[:, 0].astype(np.int64)] = places[:, 1]
        start += n_rows
    np.save(folder / "clusters.npy", clusters)
