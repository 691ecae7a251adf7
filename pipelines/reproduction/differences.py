"""Differences between a lock and this machine: inputs of the run, or circumstances (versions, code, machine)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from pipelines.records import fingerprints
from pipelines.reproduction.locked_recipe import is_push_key

_N_HASH_CHARACTERS = 19  # "sha256:" and twelve digits

# Paths, revisions and trackers do not change what is trained; the fingerprints compare the contents.
_NOT_COMPARED = (
    "output_dir", "model_name_or_path", "model_revision", "adapter_name_or_path", "dataset_name", "dataset_revision",
    "datasets", "tokenizer_name_or_path", "chat_template_path", "general_text", "resume", "resume_from_checkpoint",
    "project", "report_to", "env",
)  # fmt: skip
_OF_THE_PLACE = ("use_cpu", "dataloader_num_workers", "dataset_num_proc")


class Kind(StrEnum):
    """INPUT: it gives another model. CIRCUMSTANCE: it should give the same model up to rounding."""

    INPUT = "input"
    CIRCUMSTANCE = "circumstance"


@dataclass(frozen=True)
class Difference:
    """One difference."""

    what: str
    locked: Any
    here: Any
    kind: Kind

    def line(self) -> str:
        """Return the difference in one line."""
        label = f"{self.what} fingerprint" if self.kind is Kind.INPUT and _is_hash(self.locked) else self.what
        return f"{label}: {_text(self.locked)} in the lock, {_text(self.here)} here"

    def to_json(self) -> dict[str, Any]:
        """Return the entry of reproduction.json."""
        return {"what": self.what, "locked": self.locked, "here": self.here, "kind": self.kind.value}


def differences(lock: Mapping[str, Any], here: Mapping[str, Any]) -> list[Difference]:
    """Return inputs first, then recipe keys, code, versions and machine."""
    pair = (lock, here)
    found = _unequal("", [fingerprints(one) for one in pair], Kind.INPUT)
    found += _unequal("recipe key ", [_of_the_training(one["recipe"]) for one in pair], Kind.INPUT)
    found += _changed_on_resuming(lock)
    found += _unequal("recipe key ", [_of_the_place(one["recipe"]) for one in pair], Kind.CIRCUMSTANCE)
    found += _unequal("", [_precision(one) for one in pair], Kind.CIRCUMSTANCE) if lock.get("precision") else []
    found += _unequal("", [{"code": _code(one["git"])} for one in pair], Kind.CIRCUMSTANCE)
    found += _unequal("version of ", [one["versions"] for one in pair], Kind.CIRCUMSTANCE)
    return found + _unequal("machine: ", [one["machine"] for one in pair], Kind.CIRCUMSTANCE)


def inputs_among(found: Sequence[Difference]) -> list[Difference]:
    """Return the differences that make it another run."""
    return [one for one in found if one.kind is Kind.INPUT]


def _unequal(prefix: str, pair: Sequence[Mapping[str, Any]], kind: Kind) -> list[Difference]:
    locked, here = pair
    return [
        Difference(f"{prefix}{name}", locked.get(name), here.get(name), kind)
        for name in dict.fromkeys([*locked, *here])
        if locked.get(name) != here.get(name)
    ]


def _changed_on_resuming(lock: Mapping[str, Any]) -> list[Difference]:
    """Keys that were changed by a resume: no recipe can reproduce such a run."""
    before = _of_the_training(lock.get("before_resume", {}))
    last = {**lock["recipe"], "precision": (lock.get("precision") or {}).get("choice")}
    return [
        Difference(f"recipe key {key} until the run was resumed", was, last.get(key), Kind.INPUT)
        for key, was in before.items()
    ]


def _of_the_training(recipe: Mapping[str, Any]) -> dict[str, Any]:
    left_out = (*_NOT_COMPARED, *_OF_THE_PLACE)
    return {key: value for key, value in recipe.items() if key not in left_out and not is_push_key(key)}


def _of_the_place(recipe: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in recipe.items() if key in _OF_THE_PLACE}


def _precision(lock: Mapping[str, Any]) -> dict[str, Any]:
    """The precision; older locks have none."""
    return {"computed in": (lock.get("precision") or {}).get("choice")}


def _code(git: Mapping[str, Any]) -> str | None:
    """The commit, and the hash of the changes on top of it."""
    if git["commit"] is None:
        return None
    changes = f" with changes {git['diff_sha256'][:12]}" if git["diff_sha256"] else ""
    return f"commit {git['commit'][:12]}{changes}"


def _is_hash(value: Any) -> bool:
    return isinstance(value, str) and (value.startswith(("sha256:", "hub:", "files:")) or len(value) == 64)


def _text(value: Any) -> str:
    if value is None or value == []:
        return "none"
    return f"{value[:_N_HASH_CHARACTERS]}…" if _is_hash(value) and not value.startswith("hub:") else str(value)
