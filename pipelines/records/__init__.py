"""Records: the JSON of every result, the run folder and its lock."""

from pipelines.records.environment import describe_machine, git_commit, git_state, versions
from pipelines.records.failure import failures_noted
from pipelines.records.licenses import Card, card_of
from pipelines.records.lock import (
    LOCK_NAME,
    DatasetIdentity,
    Inputs,
    License,
    ModelIdentity,
    Parallelism,
    fingerprints,
    read_lock,
)
from pipelines.records.record_files import plain, read_record
from pipelines.records.run_folder import (
    RECORD_NAME,
    Run,
    RunStatus,
    open_run,
    open_training_run,
    read_finished_run,
    taken_output,
)
