"""Read the records of a comparison and a run. A missing or broken required record is a one-line `UserError`."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from pipelines.errors import UserError
from pipelines.files import read_json, read_jsonl
from pipelines.hub.local_paths import without_local_paths
from pipelines.records import read_record
from pipelines.records.checkpoint import record_path, run_of_checkpoint, step_of
from pipelines.report.comparison_record import Comparison, comparison_of

T = TypeVar("T")


_COMPARISON_FILES = ("comparison.json", "responses.jsonl", "perplexity.json", "benchmark.json")
_RUN_FILES = ("run.json", "lock.json", "trainer_state.json", "ledger.json", "samples.jsonl", "served.json")
_OF_THE_END = (  # of a run: not true of its checkpoints
    "metrics", "after_run", "row_losses", "n_tokens", "tokens_per_second", "seconds_wall", "peak_memory_bytes",
    "result",
)  # fmt: skip


@dataclass(frozen=True)
class Records:
    """The input of the report; a missing optional record is None or empty."""

    comparison: Comparison
    responses: tuple[Mapping[str, Any], ...]
    perplexity: Mapping[str, Any] | None = None
    benchmark: Mapping[str, Any] | None = None
    run: Mapping[str, Any] | None = None
    lock: Mapping[str, Any] | None = None
    log_history: tuple[Mapping[str, Any], ...] = ()
    ledger: Mapping[str, Any] | None = None
    served: Mapping[str, Any] | None = None
    training_samples: tuple[Mapping[str, Any], ...] = ()
    paths: tuple[Path, ...] = ()


def read_records(comparison_folder: Path, run_folder: Path | None) -> Records:
    """Read what the two folders hold; of a checkpoint as `run_folder`, its own records and those of its run, without
    what its run measured later.

    Raises `UserError` for a missing or broken comparison.json or responses.jsonl, and for a broken optional record.
    """
    if run_folder is not None and not run_folder.is_dir():
        raise UserError(f"there is no run folder {run_folder}", "give the output_dir of the training run")
    wanted = {name: comparison_folder / name for name in _COMPARISON_FILES}
    if run_folder is not None:
        wanted |= {name: record_path(run_folder, name) for name in _RUN_FILES}
    comparison = read_json(wanted["comparison.json"])
    responses = tuple(read_jsonl(wanted["responses.jsonl"]))
    trainer_state = optional_record(wanted.get("trainer_state.json")) or {}
    samples_file = wanted.get("samples.jsonl")
    samples = tuple(read_jsonl(samples_file)) if samples_file and samples_file.is_file() else ()
    run, lock = (optional_record(wanted.get(name)) for name in ("run.json", "lock.json"))
    if run_folder is not None and run_of_checkpoint(run_folder) is not None:
        samples = tuple(one for one in samples if one["step"] <= step_of(run_folder))
        run, lock = (one and {key: one[key] for key in one if key not in _OF_THE_END} for one in (run, lock))
    return Records(
        comparison=parsed(wanted["comparison.json"], comparison_of, comparison),
        responses=parsed(wanted["responses.jsonl"], _responses, responses),
        perplexity=optional_record(wanted.get("perplexity.json")),
        benchmark=optional_record(wanted.get("benchmark.json")),
        run=run,
        lock=lock,
        log_history=tuple(trainer_state.get("log_history") or ()),
        ledger=optional_record(wanted.get("ledger.json")),
        served=optional_record(wanted.get("served.json")),
        training_samples=samples,
        paths=tuple(path for path in wanted.values() if path.is_file()),
    )


# keys of comparison.json with texts of rows and models
_QUOTED = ("categories", "longest_overlaps", "examples")


def without_paths(records: Records) -> Records:
    """`records` with each absolute path shortened to its last part."""
    reduced = {name: without_local_paths(getattr(records, name)) for name in ("perplexity", "benchmark", "run", "lock")}
    comparison = comparison_of(without_local_paths(records.comparison.record, but=_QUOTED))
    return replace(records, comparison=comparison, **reduced)


def parsed(path: Path, reader: Callable[[Any], T], value: Any) -> T:
    """`reader(value)`; a missing key or a wrong type becomes a `UserError` that names the file."""
    try:
        return reader(value)
    except KeyError as error:
        problem = f"no key {error.args[0]!r}"
    except (TypeError, ValueError, AttributeError, IndexError) as error:
        problem = str(error)
    raise UserError(f"{path} is broken: {problem}", "write it again with the program that made it")


def _responses(rows: tuple[dict[str, Any], ...]) -> tuple[dict[str, Any], ...]:
    for row in rows:
        row["id"], row["instruction"]
        for answers in row["answers"].values():
            for answer in [answers["greedy"], *answers["samples"]]:
                answer["text"], answer["n_tokens"], answer["stopped"], answer["checks"]
    return rows


def optional_record(path: Path | None) -> dict[str, Any] | None:
    """The JSON object at `path`, None where there is none. Raises `UserError` for a file that holds something else."""
    return read_record(path) if path is not None and path.is_file() else None
