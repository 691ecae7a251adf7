"""Strict parsing: all problems of a recipe and a command line are reported at once, before torch is imported."""

import dataclasses
import difflib
import importlib
import os
import unicodedata
from collections.abc import Collection, Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any

from pipelines.errors import UserError, raise_together
from pipelines.recipe.accepted_keys import AcceptedKey, accepted_keys
from pipelines.recipe.checks import PATH_KEYS, Check
from pipelines.recipe.defaults import keys_for_this_machine, keys_of_default_tracker
from pipelines.recipe.keep_best import replaced_by_keep_best, with_keep_best
from pipelines.recipe.precision import Precision, precision_of_training, say
from pipelines.recipe.raw_values import RawValue, as_values, read_raw_values
from pipelines.recipe.renamed_keys import (
    RENAMED_KEYS,
    certain_replacement,
    is_of_another_trainer,
    same_meaning,
    what_to_write,
)
from pipelines.recipe.stages import ARGUMENTS
from pipelines.recipe.values import typed

Required = Sequence[tuple[str, ...]]


@dataclasses.dataclass(frozen=True)
class Recipe:
    """A parsed recipe: the file, the argument objects in the order of their classes, and the keys that were set."""

    path: Path | None
    arguments: tuple[Any, ...]
    keys: dict[str, Any]
    precision: Precision | None = None  # of training on this machine


class FaultKind(StrEnum):
    """The key has a new name, is unknown, or its value has a wrong type, choice or range."""

    RENAMED = "renamed"
    UNKNOWN = "unknown"
    ILL_TYPED = "ill-typed"


@dataclasses.dataclass(frozen=True)
class RecipeFault:
    """A key that stops a run. `fix` has the keys to write instead (None: remove), if that is certain."""

    key: str
    kind: FaultKind
    error: UserError
    fix: Mapping[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class _Reading:
    """A recipe and a command line: known keys with typed values (renamed keys replaced where that is certain), the keys
    of the command line, the faults, and errors of words that are not keys."""

    path: Path | None
    keys: dict[str, Any]
    on_command_line: frozenset[str]
    faults: list[RecipeFault]
    strays: list[UserError]

    def refuse(self, kinds: Collection[FaultKind], checks: Sequence[Check], required: Required) -> None:
        """Raise one `UserError` for the faults of `kinds`, the strays, the errors of `checks`, and missing keys."""
        faults = [fault.error for fault in self.faults if fault.kind in kinds]
        found = [error for check in checks for error in check(self.keys)]
        problems = [*self.strays, *faults, *found]
        if not problems and not self.faults:  # a misspelt key is missing by its right name too
            problems = [_missing(names) for names in required if not any(self.keys.get(name) for name in names)]
        raise_together(problems, str(self.path or "the command line"))


def parse_recipe(
    classes: Sequence[type | str], arguments: Sequence[str], checks: Sequence[Check] = (), required: Required = ()
) -> Recipe:
    """Parse `--config RECIPE --key value ...` into dataclasses, each given as a class or as its import path.

    `checks` look at the keys before the classes, and with them torch, are imported; `required` has tuples of keys of
    which one must be set. Raises one `UserError` that lists every unknown, renamed and ill-typed key of the file and
    the command line, and the errors of the checks.
    """
    reading = _read(classes, arguments)
    reading.refuse(list(FaultKind), checks, required)
    return _recipe(reading, classes)


def parse_leniently(
    classes: Sequence[type | str], arguments: Sequence[str], checks: Sequence[Check] = (), required: Required = ()
) -> tuple[Recipe, list[RecipeFault]]:
    """Like `parse_recipe`, but return renamed and unknown keys as faults. The recipe has the certain replacements and
    lacks the other faulty keys. Raises `UserError` for everything else."""
    reading = _read(classes, arguments)
    reading.refuse([FaultKind.ILL_TYPED], checks, required)
    import torch

    torch.compiler.set_default_backend("eager")  # nothing is compiled, and bitsandbytes would import the compiler
    return _recipe(reading, classes), reading.faults


def written_keys(arguments: Sequence[str]) -> dict[str, Any]:
    """Return the keys of the recipe updated by the command line, unchecked."""
    return as_values(read_raw_values(arguments)[1])


def _read(classes: Sequence[type | str], arguments: Sequence[str]) -> _Reading:
    accepted = accepted_keys(classes)
    path, keys, strays = read_raw_values(arguments)
    settled: dict[str, Any] = {}
    faults = []
    for key, raw in keys.items():
        if key == "env":
            settled[key] = _environment(raw)
        elif key not in accepted:
            faults.append(_unknown_key(key, keys, accepted))
        else:
            try:
                settled[key] = typed(accepted[key], raw)
            except UserError as error:
                faults.append(RecipeFault(key, FaultKind.ILL_TYPED, error))
    settled |= {key: value for fault in faults for key, value in fault.fix.items() if value is not None}
    for key in PATH_KEYS:
        if str(settled.get(key)).startswith("~/"):
            settled[key] = str(Path(settled[key]).expanduser())
    on_command_line = frozenset(key for key, raw in keys.items() if raw.from_command_line)
    kept = with_keep_best(settled)
    if replaced := replaced_by_keep_best(settled, kept):
        say(f"keep_best saves at each evaluation: {replaced}")
    return _Reading(path, kept, on_command_line, faults, strays)


def _missing(names: Sequence[str]) -> UserError:
    return UserError(f"{' or '.join(names)} is missing", f"write it into the recipe, or pass --{names[0]}")


def _environment(raw: RawValue) -> dict[str, str]:
    if not isinstance(raw.value, dict) or any(isinstance(one, dict | list) for one in raw.value.values()):
        raise UserError(f"`env` is {raw.value!r}, expected a mapping of variables", "write NAME: value")
    pairs = raw.value.items()
    return {str(name): str(value).lower() if isinstance(value, bool) else str(value) for name, value in pairs}


def _recipe(reading: _Reading, classes: Sequence[type | str]) -> Recipe:
    keys = {key: value for key, value in reading.keys.items() if key != "env"}
    os.environ.update(reading.keys.get("env", {}))
    accepted = accepted_keys(classes)
    if "use_cpu" in accepted:
        keys = keys_for_this_machine(keys)
    if "logging_nan_inf_filter" in accepted:
        keys.setdefault("logging_nan_inf_filter", False)  # transformers would replace a NaN loss by the mean
    if "report_to" in accepted:
        keys = keys_of_default_tracker(keys)
    computed, precision = keys, None
    if "bf16" in accepted:
        computed, precision = precision_of_training(keys, reading.on_command_line)
    return Recipe(reading.path, tuple(_build(one, computed) for one in classes), keys, precision)


def _unknown_key(key: str, keys: Mapping[str, RawValue], accepted: Mapping[str, AcceptedKey]) -> RecipeFault:
    if key in RENAMED_KEYS:
        error = UserError(f"the key `{key}` was renamed", f"`{key}` is now {RENAMED_KEYS[key]}")
        return RecipeFault(key, FaultKind.RENAMED, error, _fix_of(key, keys, accepted))
    if is_of_another_trainer(key):
        error = UserError(f"`{key}` is a key of another trainer", what_to_write(key, keys[key].value))
        return RecipeFault(key, FaultKind.RENAMED, error, _fix_of(key, keys, accepted))
    plain = unicodedata.normalize("NFKC", key).strip().replace("-", "_")
    close = difflib.get_close_matches(plain, accepted, n=1, cutoff=0.6)
    fix = f"did you mean `{close[0]}`?" if close else "remove it, or see recipes/README.md"
    others = [stage.value for stage, classes in ARGUMENTS.items() if key in accepted_keys(classes)]
    if others:
        fix = f"remove it: it is a key of {' and '.join(f'{one}.py' for one in others)}"
    if key.startswith("no_") and key[3:] in accepted:
        fix = f"write `{key[3:]}: false`"
    elif isinstance(keys[key].value, dict) and accepted.keys() & keys[key].value.keys():
        fix = "keys are not nested: move its keys to the top level"
    return RecipeFault(key, FaultKind.UNKNOWN, UserError(f"unknown key `{key}`", fix))


def _fix_of(key: str, keys: Mapping[str, RawValue], accepted: Mapping[str, AcceptedKey]) -> dict[str, Any]:
    """The keys that replace the renamed `key`. Empty if that is not certain: the recipe has the new key with another
    value too, or the value does not fit it."""
    meaning = certain_replacement if key in RENAMED_KEYS else same_meaning
    replacement = meaning(key, keys[key].value)
    if replacement is None:
        return {}
    fix = {}
    for new, value in replacement.items():
        if new not in accepted or value is None:
            return {}
        try:
            fix[new] = typed(accepted[new], keys[key] if value is keys[key].value else RawValue(value, str(value)))
            if new in keys and typed(accepted[new], keys[new]) != fix[new]:
                return {}
        except UserError:
            return {}
    return {key: None, **fix}


def _build(argument_class: type | str, keys: Mapping[str, Any]) -> Any:
    """Make an object of `argument_class` from those of `keys` that it has."""
    kind: Any = argument_class
    if isinstance(argument_class, str):
        module, _, name = argument_class.rpartition(".")
        kind = getattr(importlib.import_module(module), name)
    names = [field.name for field in dataclasses.fields(kind) if field.init]
    try:
        return kind(**{name: keys[name] for name in names if name in keys})
    except (ValueError, TypeError, ImportError) as error:
        reason = " ".join(str(error).split())[:300]
        raise UserError(f"TRL and transformers reject these values: {reason}", "change them in the recipe") from error
