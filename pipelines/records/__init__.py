"""Records: the JSON beside every result, and the run folder that says whether a run finished, and from what."""

from pipelines.records.environment import describe_machine, git_commit, versions
from pipelines.records.reading import read_record
from pipelines.records.run_folder import Run, RunStatus, open_run, open_training_run, refuse_taken_run

__all__ = [
    "Run",
    "RunStatus",
    "describe_machine",
    "git_commit",
    "open_run",
    "open_training_run",
    "read_record",
    "refuse_taken_run",
    "versions",
]
