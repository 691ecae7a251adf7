"""Strict parsing: every mistake of a recipe and a command line is reported at once, before torch is imported."""

import dataclasses
import difflib
import importlib
import os
import unicodedata
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any

from pipelines.errors import UserError, raise_together
from pipelines.recipe.accepted_keys import AcceptedKey, accepted_keys
from pipelines.recipe.hardware import keys_for_this_machine, keys_of_default_tracker
from pipelines.recipe.other_trainers import is_of_another_trainer, same_meaning, what_to_write
from pipelines.recipe.places import PATH_KEYS
from pipelines.recipe.precision import Precision, precision_of_training
from pipelines.recipe.renamed_keys import RENAMED_KEYS, certain_replacement
from pipelines.recipe.stages import ARGUMENTS
from pipelines.recipe.values import typed
from pipelines.recipe.written import Written, as_values, read_written

Check = Callable[[Mapping[str, Any]], Iterable[UserError]]


@dataclasses.dataclass(frozen=True)
class Recipe:
    """A parsed recipe: the file, the typed argument objects in the order asked for, and the keys that were set."""

    path: Path | None
    arguments: tuple[Any, ...]
    keys: dict[str, Any]
    precision: Precision | None = None  # what a training program computes in on this machine


class FaultKind(StrEnum):
    """What is wrong with a key: its name is an old one, is none at all, or its value is of another type."""

    RENAMED = "renamed"
    UNKNOWN = "unknown"
    ILL_TYPED = "ill-typed"


@dataclasses.dataclass(frozen=True)
class RecipeFault:
    """A key that stops a run. `fix` is given where it is certain: keys with their value, None for one that must go."""

    key: str
    kind: FaultKind
    error: UserError
    fix: Mapping[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class _Reading:
    """A recipe and a command line, read: the known keys with their values typed and with what certainly replaces
    renamed ones, the keys that the command line has, all faults, and what is no key of the command line."""

    path: Path | None
    keys: dict[str, Any]
    on_command_line: frozenset[str]
    faults: list[RecipeFault]
    strays: list[UserError]

    def refuse(self, kinds: Collection[FaultKind], checks: Sequence[Check]) -> None:
        """Raise one `UserError` for the faults of `kinds`, the strays and what the `checks` find in the keys."""
        faults = [fault.error for fault in self.faults if fault.kind in kinds]
        found = [error for check in checks for error in check(self.keys)]
        raise_together([*self.strays, *faults, *found], str(self.path or "the command line"))


def parse_recipe(classes: Sequence[type | str], arguments: Sequence[str], checks: Sequence[Check] = ()) -> Recipe:
    """Parse `--config RECIPE --key value ...` into dataclasses, each given as a class or as its import path.

    `checks` are asked about the keys before the classes, and with them torch, are imported. Raises one `UserError` that
    lists every unknown, renamed and ill-typed key of both the file and the command line, and what the checks found.
    """
    reading = _read(classes, arguments)
    reading.refuse(list(FaultKind), checks)
    return _recipe(reading, classes)


def parse_leniently(
    classes: Sequence[type | str], arguments: Sequence[str], checks: Sequence[Check] = ()
) -> tuple[Recipe, list[RecipeFault]]:
    """As `parse_recipe`, but renamed and unknown keys are returned as faults: the recipe is what remains when the
    certain replacements are made and the other ones are left out. Raises `UserError` for everything else."""
    reading = _read(classes, arguments)
    reading.refuse([FaultKind.ILL_TYPED], checks)
    return _recipe(reading, classes), reading.faults


def written_keys(arguments: Sequence[str]) -> dict[str, Any]:
    """The keys of the recipe with the command line's over them, as they are written and whatever they are."""
    return as_values(read_written(arguments)[1])


def _read(classes: Sequence[type | str], arguments: Sequence[str]) -> _Reading:
    accepted = accepted_keys(classes)
    path, keys, strays = read_written(arguments)
    settled: dict[str, Any] = {}
    faults = []
    for key, written in keys.items():
        if key == "env":
            settled[key] = _environment(written)
        elif key not in accepted:
            faults.append(_unknown_key(key, keys, accepted))
        else:
            try:
                settled[key] = typed(accepted[key], written)
            except UserError as error:
                faults.append(RecipeFault(key, FaultKind.ILL_TYPED, error))
    settled |= {key: value for fault in faults for key, value in fault.fix.items() if value is not None}
    for key in PATH_KEYS:
        if str(settled.get(key)).startswith("~/"):
            settled[key] = str(Path(settled[key]).expanduser())
    on_command_line = frozenset(key for key, written in keys.items() if written.from_command_line)
    return _Reading(path, settled, on_command_line, faults, strays)


def _environment(written: Written) -> dict[str, str]:
    if not isinstance(written.value, dict) or any(isinstance(one, dict | list) for one in written.value.values()):
        raise UserError(
            expected="a mapping of variables for `env`", got=repr(written.value), remedy="write NAME: value"
        )
    pairs = written.value.items()
    return {str(name): str(value).lower() if isinstance(value, bool) else str(value) for name, value in pairs}


def _recipe(reading: _Reading, classes: Sequence[type | str]) -> Recipe:
    keys = {key: value for key, value in reading.keys.items() if key != "env"}
    os.environ.update(reading.keys.get("env", {}))
    accepted = accepted_keys(classes)
    if "use_cpu" in accepted:
        keys = keys_for_this_machine(keys)
    if "logging_nan_inf_filter" in accepted:
        keys.setdefault("logging_nan_inf_filter", False)  # transformers would log a loss of NaN as the mean before it
    if "report_to" in accepted:
        keys = keys_of_default_tracker(keys)
    computed, precision = keys, None
    if "bf16" in accepted:
        computed, precision = precision_of_training(keys, reading.on_command_line)
    return Recipe(reading.path, tuple(_build(one, computed) for one in classes), keys, precision)


def _unknown_key(key: str, keys: Mapping[str, Written], accepted: Mapping[str, AcceptedKey]) -> RecipeFault:
    if key in RENAMED_KEYS:
        error = UserError(
            expected="keys of today's TRL", got=f"the renamed key `{key}`", remedy=f"`{key}` is now {RENAMED_KEYS[key]}"
        )
        return RecipeFault(key, FaultKind.RENAMED, error, _fix_of(key, keys, accepted))
    if is_of_another_trainer(key):
        got, remedy = f"`{key}`, a key of another trainer", what_to_write(key, keys[key].value)
        error = UserError(expected="keys of TRL", got=got, remedy=f"`{key}`: {remedy}", message=f"{got}: {remedy}")
        return RecipeFault(key, FaultKind.RENAMED, error, _fix_of(key, keys, accepted))
    plain = unicodedata.normalize("NFKC", key).strip().replace("-", "_")
    close = difflib.get_close_matches(plain, accepted, n=1, cutoff=0.6)
    remedy = f"did you mean `{close[0]}`?" if close else "remove it, or see recipes/README.md"
    others = [stage.value for stage, classes in ARGUMENTS.items() if key in accepted_keys(classes)]
    if others:
        remedy = f"remove it: it is a key of {' and '.join(f'{one}.py' for one in others)}"
    if key.startswith("no_") and key[3:] in accepted:
        remedy = f"write `{key[3:]}: false`"
    elif isinstance(keys[key].value, dict) and accepted.keys() & keys[key].value.keys():
        remedy = "keys are not nested: move its keys to the top level"
    error = UserError(expected="a known key", got=f"the unknown key `{key}`", remedy=remedy)
    return RecipeFault(key, FaultKind.UNKNOWN, error)


def _fix_of(key: str, keys: Mapping[str, Written], accepted: Mapping[str, AcceptedKey]) -> dict[str, Any]:
    """The keys that certainly replace the renamed `key`, which goes. Nothing is certain where the recipe has the new
    key too with another value, or where the value does not fit it."""
    meaning = certain_replacement if key in RENAMED_KEYS else same_meaning
    replacement = meaning(key, keys[key].value)
    if replacement is None:
        return {}
    fix = {}
    for new, value in replacement.items():
        if new not in accepted or value is None:
            return {}
        try:
            fix[new] = typed(accepted[new], keys[key] if value is keys[key].value else Written(value, str(value)))
            if new in keys and typed(accepted[new], keys[new]) != fix[new]:
                return {}
        except UserError:
            return {}
    return {key: None, **fix}


def _build(argument_class: type | str, keys: Mapping[str, Any]) -> Any:
    """An object of `argument_class` with those of `keys` that it has."""
    kind: Any = argument_class
    if isinstance(argument_class, str):
        module, _, name = argument_class.rpartition(".")
        kind = getattr(importlib.import_module(module), name)
    names = [field.name for field in dataclasses.fields(kind) if field.init]
    try:
        return kind(**{name: keys[name] for name in names if name in keys})
    except (ValueError, TypeError, ImportError) as error:
        raise UserError(
            expected="values that TRL and transformers accept together",
            got=" ".join(str(error).split())[:300],
            remedy="change these keys in the recipe",
        ) from error
