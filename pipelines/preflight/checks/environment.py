"""Checks of the environment: Hub, disk, memory, packages."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from packaging.version import InvalidVersion, Version
from transformers.trainer_utils import SaveStrategy

from pipelines.hub.access import HubAccess, TokenState, hub_access, invalid_name_reason, repository_name
from pipelines.modeling.step_memory.forecast import GIB, memory_forecast
from pipelines.modeling.step_memory.training_load import Method
from pipelines.preflight.check_context import CheckContext
from pipelines.preflight.checks.evidence import Check
from pipelines.preflight.forecast.forecasting import Forecast, forecast_of, is_cut_by_length, micro_batch_load
from pipelines.preflight.trained_weights import dtype_of_weights, lora_plan, n_parameters
from pipelines.recipe.launch import sharding
from pipelines.records.finding import MAX_EVIDENCE, Evidence, Finding, Severity

_GB = 1e9
_TIGHT_DISK = 0.8  # of the free bytes: other runs write too
# The forecast is within a tenth of measurements on an H200, so a fifth above the memory does not fit.
_TOO_LARGE, _TIGHT_MEMORY = 1.2, 0.95
_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}

# Package: the oldest version that pyproject.toml allows, and the one of constraints.txt, which the tests run with.
VERSIONS = {
    "accelerate": ("1.15", "1.15.0"),
    "datasets": ("4.4", "5.2.0"),
    "peft": ("0.21", "0.21.2"),
    "torch": ("2.11", "2.13.0"),
    "transformers": ("5.17", "5.23.0"),
    "trl": ("1.16", "1.16.0"),
}


def hub_push(context: CheckContext) -> Iterator[Finding]:
    """HUB_NAME_INVALID, HUB_TOKEN_MISSING, HUB_NO_RIGHT: a push that will fail."""
    if not context.training.push_to_hub:
        return
    repo_id = repository_name(context.training)
    if fault := invalid_name_reason(repo_id):
        yield Finding(
            "HUB_NAME_INVALID",
            Severity.ERROR,
            summary=f"push_to_hub: true, but {repo_id!r} is not a valid repository name",
            why="the push fails after the training",
            remedy="set hub_model_id to a name of letters, digits, -, _ and ., such as me/my-instruct",
            evidence=(Evidence(fault),),
        )
        return
    namespace, _, name = repo_id.rpartition("/")
    access = hub_access(context.training.hub_token)
    if access.state in (TokenState.NO_TOKEN, TokenState.INVALID):
        yield Finding(
            "HUB_TOKEN_MISSING",
            Severity.ERROR,
            summary="push_to_hub: true without a token"
            if access.state is TokenState.NO_TOKEN
            else "push_to_hub: true with a token that the Hub does not accept",
            why="the run stops when it opens the repository",
            remedy="run `hf auth login` or set HF_TOKEN, with a token that has write access",
            evidence=(Evidence(access.reason),) if access.reason else (),
        )
    elif access.state is not TokenState.KNOWN or access.why_not_writable(namespace or None):
        yield _no_right(access, namespace or None, name)


def disk_too_small(context: CheckContext) -> Iterator[Finding]:
    """DISK_TOO_SMALL: checkpoints and model do not fit on the disk of output_dir."""
    if getattr(context.data, "resume", False):
        return  # some of them are there already
    saved, checkpoint = _bytes_of_a_save(context)
    n_checkpoints = _n_checkpoints(context)
    needed = saved + n_checkpoints * checkpoint
    free = context.machine.free_disk_bytes
    if needed <= _TIGHT_DISK * free:
        return
    remedy = _smaller_saves(context, saved, checkpoint, n_checkpoints)
    plural = "" if n_checkpoints == 1 else "s"
    yield Finding(
        "DISK_TOO_SMALL",
        Severity.ERROR if needed > free else Severity.WARNING,
        summary=f"{n_checkpoints} checkpoint{plural} of {checkpoint / _GB:,.2f} GB and the model of "
        f"{saved / _GB:,.2f} GB need {needed / _GB:,.1f} GB, but {free / _GB:,.1f} GB are free at output_dir",
        why="the run stops at the checkpoint that it cannot save, after hours of training",
        remedy=remedy,
        evidence=(Evidence(f"{context.n_update_steps:,} steps; a checkpoint has weights and optimizer moments"),),
    )


def memory_too_small(context: CheckContext) -> Iterator[Finding]:
    """MEMORY_TOO_SMALL: a step does not fit into the GPU, or weights, gradients and optimizer into a CPU's memory."""
    device_bytes = context.machine.device_bytes
    if device_bytes is None or _is_sharded(context):
        return
    forecast = forecast_of(context)
    if forecast is None:
        return
    memory = forecast.memory
    on_gpu = context.machine.accelerator is not None
    needed = memory.total if on_gpu else memory.weights + memory.gradients + memory.optimizer
    if needed <= _TIGHT_MEMORY * device_bytes:
        return
    remedy, fix = _smaller_step(forecast, context, device_bytes) if on_gpu else ("use a machine with a GPU", {})
    yield Finding(
        "MEMORY_TOO_SMALL",
        Severity.ERROR if on_gpu and needed > _TOO_LARGE * device_bytes else Severity.WARNING,
        summary=f"a step needs about {needed / GIB:,.1f} GiB"
        + ("" if on_gpu else " for weights, gradients and optimizer alone")
        + f", {context.machine.accelerator or 'this machine'} has {device_bytes / GIB:,.1f} GiB",
        why="the run runs out of memory, or swaps, at the first long batch",
        remedy=remedy,
        evidence=(Evidence(_largest_parts(forecast)),),
        fix=fix,
    )


def version_older_than_tested(context: CheckContext) -> Iterator[Finding]:
    """VERSION_OLDER_THAN_TESTED: packages older than pyproject.toml allows, or (a note) than the tested ones."""
    too_old, older = [], []
    for package, (lowest, tested) in VERSIONS.items():
        found = _version(context.machine.versions.get(package))
        if found is None:
            continue
        if found < Version(lowest):
            too_old.append(f"{package} {found} (needs {lowest})")
        elif found.release < Version(tested).release[:2]:
            older.append(f"{package} {found} (tested with {tested})")
    if too_old or older:
        yield Finding(
            "VERSION_OLDER_THAN_TESTED",
            Severity.WARNING if too_old else Severity.NOTE,
            summary=f"{', '.join(too_old or older)}",
            why="recipe keys and defaults change between versions without a warning",
            remedy="pip install -c constraints.txt -e .",
        )


def _no_right(access: HubAccess, namespace: str | None, name: str) -> Finding:
    where = "/".join([namespace or access.user or "your account", name])
    severity, problem = Severity.ERROR, str(access.why_not_writable(namespace))
    remedy = "set hub_model_id to your own repository, or log in with a token that has write access there"
    if access.state is TokenState.OFFLINE:
        problem, remedy = "HF_HUB_OFFLINE is set", "unset HF_HUB_OFFLINE, or set push_to_hub: false"
    elif access.state is TokenState.UNREACHABLE:
        severity, problem = Severity.WARNING, f"the access could not be checked: {access.reason}"
        remedy = "try again, or check the network before the run ends"
    return Finding(
        "HUB_NO_RIGHT",
        severity,
        summary=f"push_to_hub: true to {where}, but {problem}",
        why="the push fails, and the run with it",
        remedy=remedy,
    )


def _bytes_of_a_save(context: CheckContext) -> tuple[float, float]:
    """Bytes of the model or adapter as it is saved, and of a checkpoint with the optimizer's state."""
    plan = lora_plan(context)
    moments = _moment_share(context)
    if context.base.adapter is not None:
        forecast = forecast_of(context)
        weights = n_trained = forecast.memory.gradients if forecast else 0.0
    elif plan is not None:
        n_trained = plan.n_trained * 4
        weights = n_trained + (plan.table_bytes if plan.is_tied and plan.saved_tables else 0)  # saved under two names
    else:
        weights = n_trained = n_parameters(context) * _BYTES.get(dtype_of_weights(context), 4)
    state = 0 if context.training.save_only_model else moments * n_trained
    return float(weights), float(weights + state)


def _moment_share(context: CheckContext) -> float:
    """Moments for each weight: two for AdamW, half the bytes in 8 bits, one for Muon; 0 for others."""
    optimizer = str(getattr(context.training.optim, "value", context.training.optim))
    if getattr(context.data, "muon_learning_rate", None) is not None:
        return 1.0
    if not optimizer.startswith(("adamw", "paged_adamw")):
        return 0.0
    return 0.5 if "8bit" in optimizer else 2.0


def _n_checkpoints(context: CheckContext) -> int:
    """Checkpoints on the disk at the same time; the oldest is removed after the new one is written."""
    training, n_steps = context.training, context.n_update_steps
    if training.save_strategy == SaveStrategy.NO:
        return 0
    if training.save_strategy == SaveStrategy.BEST:
        n_saves = 1
    elif training.save_strategy == SaveStrategy.EPOCH:
        n_saves = math.ceil(training.num_train_epochs) if training.max_steps <= 0 else 1
    else:
        every = training.save_steps if training.save_steps >= 1 else max(1, math.ceil(training.save_steps * n_steps))
        n_saves = math.ceil(n_steps / every)
    limit = training.save_total_limit
    return int(n_saves if limit is None else min(n_saves, limit + 1))


def _smaller_saves(context: CheckContext, saved: float, checkpoint: float, n_checkpoints: int) -> str:
    """The key that makes the checkpoints fit, or helps most."""
    fits = _TIGHT_DISK * context.machine.free_disk_bytes
    if n_checkpoints > 3 and saved + 3 * checkpoint <= fits:
        return "set save_total_limit: 2"
    if not context.training.save_only_model and saved + n_checkpoints * saved <= fits:
        return "set save_only_model: true (the run cannot be resumed then)"
    if saved <= fits:
        return "set save_strategy: 'no', or free disk space at output_dir"
    return "set output_dir to a folder on a larger disk"


def _is_sharded(context: CheckContext) -> bool:
    """Whether weights are spread over devices, by the recipe or by `accelerate launch`."""
    training = context.training
    placed = (getattr(training, "model_init_kwargs", None) or {}).get("device_map")
    return bool(sharding({"fsdp": training.fsdp, "deepspeed": training.deepspeed}) or placed)


def _smaller_step(forecast: Forecast, context: CheckContext, device_bytes: float) -> tuple[str, Mapping[str, Any]]:
    """The smallest change of the recipe that makes a step fit, and a fix if it only costs time."""
    load, training = forecast.load, context.training
    n_before = training.per_device_train_batch_size
    changes: dict[str, Any] = {}
    if not load.activation_checkpointing:
        load, changes = replace(load, activation_checkpointing=True), {"activation_checkpointing": True}
    smaller = [(load, changes)]
    if is_cut_by_length(context):
        load = micro_batch_load(forecast.shape, load, context, "auto")
        smaller.append((load, {**changes, "max_tokens_per_micro_batch": "auto"}))
    elif n_before > 1:
        load = replace(load, n_tokens=load.n_tokens // n_before)
        accumulated = {"gradient_accumulation_steps": training.gradient_accumulation_steps * n_before}
        smaller.append((load, {**changes, "per_device_train_batch_size": 1, **accumulated}))
    for one, keys in smaller:
        if keys and memory_forecast(forecast.shape, one).total <= _TIGHT_MEMORY * device_bytes:
            return f"set {', '.join(f'{key}: {str(value).lower()}' for key, value in keys.items())}", keys
    for method, remedy in (
        (Method.LORA, "set use_peft: true, dtype: bfloat16"),
        (Method.QLORA, "set use_peft: true, load_in_4bit: true, dtype: bfloat16"),
    ):
        rank = load.lora_rank or context.model.lora_r
        lighter = replace(load, method=method, lora_rank=rank, weight_bytes=2)
        if lighter != load and memory_forecast(forecast.shape, lighter).total <= _TIGHT_MEMORY * device_bytes:
            whole = n_before > 1 and not is_cut_by_length(context)
            return remedy + (", per_device_train_batch_size: 1" if whole else ""), {}
    return "use a smaller base, a shorter max_length, or shard it over several GPUs", {}


def _largest_parts(forecast: Forecast) -> str:
    parts = {name: value for name, value in vars(forecast.memory).items() if name != "overhead"}
    largest = sorted(parts, key=lambda name: -parts[name])[:MAX_EVIDENCE]
    return ", ".join(f"{name} {parts[name] / GIB:,.1f} GiB" for name in largest)


def _version(text: str | None) -> Version | None:
    try:
        return Version(text) if text else None
    except InvalidVersion:
        return None


CHECKS: tuple[Check, ...] = (hub_push, disk_too_small, memory_too_small, version_older_than_tested)
