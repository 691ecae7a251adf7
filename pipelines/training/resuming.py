"""Resuming an interrupted run from its newest complete checkpoint, with the keys that it started with."""

import dataclasses
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR

from pipelines.errors import UserError
from pipelines.files import read_json
from pipelines.inference.processes import made_once
from pipelines.recipe import Recipe
from pipelines.records import RECORD_NAME, plain
from pipelines.records.checkpoint import NOT_SEALED, can_be_resumed, checkpoint_fault, checkpoints_of, step_of
from pipelines.records.failure import MODEL_ALONE, other_run_from

# Keys that may change because they do not affect training. The lock compares models and datasets by content.
_SILENT = ("resume", "resume_from_checkpoint", "output_dir", "template_date")
_LENGTH = ("max_steps", "num_train_epochs")
_FREE = re.compile(
    r"(resume|template_date|logging_|log_|save_|eval_|per_device_eval|hub_|push_|report_to|run_name|project|trackio|disable_tqdm"
    r"|output_dir|sample_|n_samples|general_text|doctor|max_dropped_share|max_answer_cut_share|row_losses|env$"
    r"|patience|run_code|use_cpu|activation_|gradient_checkpointing"
    r"|max_tokens_per_micro_batch|worst_batch|torch_compile|ddp_|dataloader_(?!drop_last)|dataset_num_proc|dataset_name|dataset_revision"
    r"|datasets$|model_name|model_revision|adapter_name|tokenizer_name)"
)


def checkpoint_to_resume(recipe: Recipe) -> Path | None:
    """Find the checkpoint in `output_dir` to resume from; None for a fresh run or one without a checkpoint yet.

    Sets the recipe's `resume`: true if `resume_from_checkpoint` names a checkpoint of this run, false if there is no
    run. Raises `UserError` for another one, for keys that cannot change in the middle of a run, and if no checkpoint is
    complete.
    """
    data, training, _ = recipe.arguments
    folder = Path(str(training.output_dir))
    named = _named_checkpoint(training.resume_from_checkpoint, folder)
    data.resume = data.resume or named is not None
    if not data.resume:
        return None
    path, tells = folder / RECORD_NAME, training.process_index == 0
    record = made_once(lambda: read_json(path) if path.is_file() else None)
    if record is None:  # killed before it began: a queue sends the same command again
        data.resume = False
        if tells:
            print(f"{folder} holds no run to resume: starting at step 0", file=sys.stderr, flush=True)
        return None
    if hasattr(data, "template_date") and data.template_date is None:
        data.template_date = (record.get("recipe") or {}).get("template_date")  # the day on which the run started
    found = [named] if isinstance(named, Path) else checkpoints_of(folder)

    def newest_that_fits() -> Path | None:
        _refuse_other_keys(recipe, record, training.world_size)
        if isinstance(named, Path) and (fault := checkpoint_fault(named)) is not None:
            raise UserError(f"{named} is not whole: {fault}", "--resume takes the newest one that is")
        return _newest_whole(found, folder)

    return made_once(newest_that_fits)


def _newest_whole(found: Sequence[Path], folder: Path) -> Path | None:
    """The first of the checkpoints that is whole; None if there is none at all."""
    faults: dict[Path, str] = {}
    whole = None
    for path in found:
        fault = _fault_of(path)
        if fault is None:
            whole = path
            break
        faults[path] = fault
    if whole is None and faults and list(faults.values()) != [NOT_SEALED]:
        raise _nothing_to_resume(faults, folder)
    skipped = "".join(f"{one.name} is not whole ({why}); " for one, why in faults.items())
    begins = "the run has no checkpoint yet: starting at step 0" if whole is None else f"resuming from {whole.name}"
    print(f"{skipped}{begins}", file=sys.stderr, flush=True)
    return whole


def _named_checkpoint(written: Any, folder: Path) -> Path | bool | None:
    """Read `resume_from_checkpoint`: a checkpoint of this run, True for the newest, None for none."""
    if written in (None, False, "false", "False"):
        return None
    if written in (True, "true", "True"):
        return True
    path = Path(str(written))
    if path.is_dir() and path.resolve().parent == folder.resolve() and step_of(path) >= 0:
        return path
    raise UserError(
        f"resume_from_checkpoint is {path}{'' if path.exists() else ', which does not exist'}, expected a "
        f"checkpoint in {folder}, such as {folder / PREFIX_CHECKPOINT_DIR}-100",
        "remove it; --resume continues from the newest checkpoint of an unfinished run in output_dir",
    )


def _fault_of(checkpoint: Path) -> str | None:
    """Why a checkpoint cannot be resumed from, None if it can."""
    fault = checkpoint_fault(checkpoint)
    return MODEL_ALONE if fault is None and not can_be_resumed(checkpoint) else fault


def _nothing_to_resume(faults: Mapping[Path, str], folder: Path) -> UserError:
    """The error for no complete checkpoint; weights without the optimizer's state can start another run."""
    newest, fault = next(iter(faults.items()))
    remedy = "start again with another --output_dir"
    if all(fault == MODEL_ALONE for fault in faults.values()):
        remedy = other_run_from(newest)
    return UserError(
        f"no checkpoint in {folder} is whole ({newest.name}: {fault}"
        + (f", and {len(faults) - 1} more)" if len(faults) > 1 else ")"),
        remedy,
    )


def _refuse_other_keys(recipe: Recipe, record: Mapping[str, Any], n_processes: int) -> None:
    """Compare the recipe with the one that the run started with. Optimizer and schedule come from the checkpoint, rows
    are counted in batches: a changed value would be recorded and not used, or repeat and skip rows."""
    begun, here = record.get("recipe") or {}, plain(recipe.keys)
    before = {key: _value(recipe, key, begun) for key in dict.fromkeys([*begun, *here])}
    changed = {key: (value, _value(recipe, key, here)) for key, value in before.items()}
    changed = {key: pair for key, pair in changed.items() if pair[0] != pair[1]}
    free_too = _LENGTH if here.get("lr_scheduler_type") == "constant" else ()  # other rates depend on the last step
    fixed = {key: pair for key, pair in changed.items() if not (_FREE.match(key) or key in free_too)}
    if record.get("n_processes", n_processes) != n_processes:
        fixed["n_processes"] = (record["n_processes"], n_processes)
    if fixed:
        raise UserError(
            f"the run began with {_listed(fixed, 0)}; the recipe now has {_listed(fixed, 1)}",
            "resume with the first values, or start again with another --output_dir",
        )
    free = {key: pair for key, pair in changed.items() if key not in _SILENT}
    if free:
        said = ", ".join(f"{key}: {here} (before: {before})" for key, (before, here) in free.items())
        print(f"changed from here on: {said}", file=sys.stderr, flush=True)


def _value(recipe: Recipe, key: str, keys: Mapping[str, Any]) -> Any:
    """The value of `key`, or its default."""
    if key in keys:
        return keys[key]
    for holder in recipe.arguments:
        for one in dataclasses.fields(holder):
            if one.name == key:
                default = one.default_factory() if callable(one.default_factory) else one.default
                return None if default is dataclasses.MISSING else plain(default)
    return None


def _listed(pairs: Mapping[str, tuple[Any, Any]], which: int) -> str:
    return ", ".join(f"{key}: {pair[which]}" for key, pair in pairs.items())
