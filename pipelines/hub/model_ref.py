"""A model's name, resolved once: the base, and the adapter on it if there is one. Everything here works without torch.

Programs resolve the names that a user gives before they import the stack, and pass the `ModelRef` on.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from pipelines.errors import UserError
from pipelines.files import read_json, sha256_of_files
from pipelines.hub.pulling import LocalCopy, local_copy, same_weights
from pipelines.hub.references import short_name
from pipelines.records.checkpoint import record_path, refuse_torn_checkpoint, run_of_checkpoint, step_of

_RECORDS_OF_TRAINING = ("adapter_config.json", "run.json", "lock.json", "merge.json")
_WEIGHT_FILES = ("*.safetensors", "config.json", "adapter_config.json", "tokenizer.json")


@dataclass(frozen=True)
class ModelRef:
    """A base and the adapter on it, each a folder, org/name or org/name@revision.

    `revision` is that of a base whose own name has none, such as a recipe's `model_revision`.
    """

    base: str
    adapter: str | None = None
    revision: str | None = None

    @property
    def path(self) -> str:
        """The adapter if there is one, else the base: the name in records."""
        return self.adapter or self.base

    @property
    def short_name(self) -> str:
        """The last part of the path, for tables."""
        return short_name(self.path)

    @property
    def base_folder(self) -> str:
        """The base's folder on this machine: equal for two spellings of one base."""
        return str(local_copy(self.base, self.revision).folder.resolve())

    @property
    def tokenizer_source(self) -> tuple[str, str | None]:
        """Name and revision of the tokenizer: the adapter's if it has one (its chat template was trained with it)."""
        if self.adapter is not None and local_copy(self.adapter).has("tokenizer_config.json"):
            return self.adapter, None
        return self.base, self.revision


def resolve_model(model: str, adapter: str | None = None, *, revision: str | None = None) -> ModelRef:
    """Resolve a model, an adapter (which names its base), or a model with an `adapter` on it.

    Raises `UserError` if one of them does not exist or is something else, or if the adapter belongs to another base.
    """
    if adapter is None:
        refuse_unusable_model(model)
        if not is_adapter(model):
            return ModelRef(model, None, revision)
        model, adapter = base_of_adapter(model), model
    else:
        refuse_unusable_model(model, as_base=True)
        refuse_unusable_adapter(adapter)
    refuse_other_base(adapter, model, revision)
    return ModelRef(model, adapter, revision)


def resolve_compared(base: str, others: Sequence[str]) -> list[ModelRef]:
    """Resolve `base` and the models compared with it; adapters among them are put on `base`. Raises as
    `resolve_model`."""
    refuse_unusable_model(base, as_base=True)
    for one in others:
        refuse_unusable_model(one)
    return [ModelRef(base), *(resolve_model(base, one) if is_adapter(one) else ModelRef(one) for one in others)]


def is_adapter(name: str) -> bool:
    """Whether a folder or Hub id holds a PEFT adapter."""
    return local_copy(name).has("adapter_config.json")


def adapter_keys(adapter: str) -> Mapping[str, Any]:
    """Read adapter_config.json. Raises `UserError` if there is none."""
    found = local_copy(adapter)
    keys = read_json(found.folder / "adapter_config.json") if found.has("adapter_config.json") else None
    if not isinstance(keys, dict):
        raise UserError(f"no PEFT adapter at {adapter}: adapter_config.json is missing or not a JSON object")
    return keys


def base_of_adapter(adapter: str) -> str:
    """The base that an adapter was trained on; a Hub id comes with the revision that PEFT or the run's lock recorded.

    A relative path counts from the folder where the run was started.
    """
    keys = adapter_keys(adapter)
    base, revision = keys.get("base_model_name_or_path"), keys.get("revision")
    if base is None:
        raise UserError(
            f"base_model_name_or_path is null in adapter_config.json of {adapter}",
            "name the base with --model_name_or_path and the adapter with --adapter",
        )
    locked = value_in_records(adapter, "base")
    if revision is None and locked.get("name_or_path") == base:
        revision = locked.get("revision")
    return str(base) if revision is None or Path(base).exists() else f"{base}@{revision}"


def value_in_records(adapter: str, key: str) -> Mapping[str, Any]:
    """`key` ("base" or "recipe") of the lock.json, or else the run.json, next to an adapter or above a checkpoint;
    empty without one."""
    folder = local_copy(adapter).folder
    records = (record_path(folder, name) for name in ("lock.json", "run.json"))
    record = next((path for path in records if path.is_file()), None)
    written = read_json(record) if record else None
    value = written.get(key) if isinstance(written, dict) else None
    return value if isinstance(value, dict) else {}


def model_fingerprint(name: str, revision: str | None = None) -> str:
    """`sha256:...` over a local folder's weights, config and tokenizer, or `hub:id@commit` for a Hub id."""
    found = local_copy(name, revision)
    if found.commit is not None:
        return f"hub:{found.pinned}"
    files = sorted({path for pattern in _WEIGHT_FILES for path in found.folder.glob(pattern)})
    state = tuple((one.st_ino, one.st_size, one.st_mtime_ns, one.st_ctime_ns) for one in map(Path.stat, files))
    return f"sha256:{_sha256_of_unchanged(tuple(files), found.folder, state)}"


@lru_cache(maxsize=64)  # hashing a large base takes seconds, and every adapter on it needs the hash
def _sha256_of_unchanged(files: tuple[Path, ...], folder: Path, state: tuple[tuple[int, ...], ...]) -> str:  # noqa: ARG001
    return sha256_of_files(files, folder)


def checkpoint_step(name: str) -> int | None:
    """The step of a checkpoint in a run folder; None for another model."""
    folder = Path(name)
    return step_of(folder) if run_of_checkpoint(folder) is not None else None


def refuse_unusable_model(name: str, *, as_base: bool = False) -> None:
    """Raise `UserError` if `name` is neither a model nor, unless `as_base`, an adapter, or if it is a torn
    checkpoint."""
    found = local_copy(name)
    refuse_torn_checkpoint(found.folder)
    if found.folder.is_file() or not (found.has("config.json") or found.has("adapter_config.json")):
        raise _no_model(name, found)
    if as_base and found.has("adapter_config.json"):
        base = adapter_keys(name).get("base_model_name_or_path")
        raise UserError(
            f"{name} is an adapter{f' of {base}' if base else ''}, expected a base model",
            "name the base here, and the adapter with the flag for adapters and instruct models",
        )


def refuse_untrained(name: str) -> None:
    """Raise `UserError` if no record says that a program of this project trained or merged the model `name`."""
    folder = local_copy(name).folder
    if not any(record_path(folder, record).is_file() for record in _RECORDS_OF_TRAINING):
        raise UserError(
            f"{name} is a base model: it has no adapter and no record of a training or merge",
            "name the run folder of sft.py or dpo.py, or the folder that merge.py wrote",
        )


def refuse_unusable_adapter(name: str) -> None:
    """Raise `UserError` if `name` is no adapter, or a torn checkpoint."""
    found = local_copy(name)
    refuse_torn_checkpoint(found.folder)
    if not found.has("adapter_config.json"):
        what = "is a full model" if found.has("config.json") else "has no adapter_config.json"
        raise UserError(f"{name} {what}, expected an adapter", "check the path")


def refuse_other_base(adapter: str, base: str, revision: str | None = None) -> None:
    """Raise `UserError` if `adapter` was trained on another base than `base`.

    The fingerprint in the adapter's lock.json or run.json decides if there is one, so a base that was moved is
    recognized and one that was trained further is not. Otherwise the base's path or Hub id in adapter_config.json
    decides, and the weights there if both are folders or commits of one repository.
    """
    named = base_of_adapter(adapter)
    how = "with other weights" if _same_place(named, base) or _same_id(named, base) else ""
    recorded = value_in_records(adapter, "base").get("fingerprint")
    if isinstance(recorded, str):
        found = model_fingerprint(base, revision)
        if found.partition(":")[0] == recorded.partition(":")[0]:  # a folder's hash cannot be compared with a commit
            if found != recorded and not _same_on_hub(recorded.removeprefix("hub:"), base, revision):
                raise _other_base(adapter, named, base, f"{how or 'another model'} ({found}, locked: {recorded})")
            return
    if not (_same_place(named, base) or _same_weights(named, base) or _same_on_hub(named, base, revision)):
        raise _other_base(adapter, named, base, how)


def _no_model(name: str, found: LocalCopy) -> UserError:
    folder = found.folder
    files = [folder] if folder.is_file() else sorted(folder.iterdir())
    if any(file.suffix == ".gguf" for file in files):
        return UserError(
            f"{name} is a GGUF file for llama.cpp, expected a model in safetensors files",
            "name the folder that it was converted from",
        )
    if folder.is_file():
        return UserError(
            f"{name} is a file, expected the folder of a model or an adapter",
            "name the folder with config.json and the weights",
        )
    if (folder / "manifest.json").is_file():
        return UserError(
            f"{name} is a dataset folder, expected a model or an adapter", "check which flag takes the model"
        )
    return UserError(f"{name} has no config.json, expected a model or an adapter", "check the path")


def _same_place(one: str, other: str) -> bool:
    return one == other or (Path(other).is_dir() and Path(one).resolve() == Path(other).resolve())


def _same_weights(one: str, other: str) -> bool:
    return Path(one).is_dir() and Path(other).is_dir() and model_fingerprint(one) == model_fingerprint(other)


def _same_id(one: str, other: str) -> bool:
    return not Path(other).exists() and one.partition("@")[0] == other.partition("@")[0]


def _same_on_hub(recorded: str, base: str, revision: str | None) -> bool:
    """Whether `base` is the repository of `recorded` (org/name, or org/name@revision) with the same weights."""
    if not _same_id(recorded, base):
        return False
    repo_id, _, of_adapter = recorded.partition("@")
    return not of_adapter or same_weights(repo_id, of_adapter, str(local_copy(base, revision).commit))


def _other_base(adapter: str, named: str, base: str, how: str) -> UserError:
    return UserError(
        f"the adapter {adapter} was trained on {named}, got the base {base}{f' {how}' if how else ''}",
        f"use {named} as the base, or an adapter that was trained on {base}; if both are the same model, change "
        "base_model_name_or_path in adapter_config.json",
    )
