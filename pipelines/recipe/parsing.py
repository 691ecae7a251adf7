"""Strict parsing: every mistake of a recipe and a command line is reported at once, before any weight is loaded."""

import dataclasses
import difflib
import math
import os
from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any, NoReturn

import yaml
from trl import TrlParser

from pipelines.errors import UserError, raise_together
from pipelines.files import read_text
from pipelines.recipe.hardware import keys_for_this_machine, keys_of_default_tracker
from pipelines.recipe.precision import Precision, precision_of_training
from pipelines.recipe.renamed_keys import RENAMED_KEYS, certain_replacement

# Numbers that YAML 1.1 reads as strings, such as 1e-4, are meant as numbers wherever the field is one.
_FLOAT_FIELDS = ("float", "float | None", "typing.Optional[float]")
_ABOVE_ZERO = (
    "per_device_train_batch_size", "per_device_eval_batch_size", "gradient_accumulation_steps", "lora_r", "lora_alpha",
    "max_length", "num_train_epochs",
)  # fmt: skip
_DTYPES = ("auto", "bfloat16", "float16", "float32")


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


def parse_recipe(dataclass_types: Sequence[type], arguments: Sequence[str]) -> Recipe:
    """Parse `--config RECIPE --key value ...` into `dataclass_types`.

    Raises one `UserError` that lists every unknown, renamed and ill-typed key of both the file and the command line.
    """
    fields = _fields_of(dataclass_types)
    path, keys, strays = _written(arguments)
    settled, faults = _settled(keys, fields)
    raise_together([*strays, *(fault.error for fault in faults)])
    return _recipe(path, settled, dataclass_types, fields, arguments)


def parse_leniently(dataclass_types: Sequence[type], arguments: Sequence[str]) -> tuple[Recipe, list[RecipeFault]]:
    """As `parse_recipe`, but renamed and unknown keys are returned as faults: the recipe is what remains when the
    certain replacements are made and the other ones are left out. Raises `UserError` for everything else."""
    fields = _fields_of(dataclass_types)
    path, keys, strays = _written(arguments)
    settled, faults = _settled(keys, fields)
    raise_together([*strays, *(fault.error for fault in faults if fault.kind is FaultKind.ILL_TYPED)])
    return _recipe(path, settled, dataclass_types, fields, arguments), faults


def written_keys(arguments: Sequence[str]) -> dict[str, Any]:
    """The keys of the recipe with the command line's over them, as they are written and whatever they are."""
    return _written(arguments)[1]


def _fields_of(dataclass_types: Sequence[type]) -> dict[str, dataclasses.Field]:
    return {field.name: field for kind in dataclass_types for field in dataclasses.fields(kind) if field.init}


def _written(arguments: Sequence[str]) -> tuple[Path | None, dict[str, Any], list[UserError]]:
    """The recipe's path, its keys with the command line's over them, and what is no key of the command line."""
    path, overrides, strays = _split_command_line(arguments)
    return path, {**(_read_yaml(path) if path else {}), **overrides}, strays


def _settled(
    keys: Mapping[str, Any], fields: Mapping[str, dataclasses.Field]
) -> tuple[dict[str, Any], list[RecipeFault]]:
    """The keys that are known, their values typed, with what certainly replaces renamed ones; and all faults."""
    unknown = [key for key in keys if key not in fields and key != "env"]
    faults = [_unknown_key(key, keys, fields) for key in unknown]
    settled = {key: value for key, value in keys.items() if key not in unknown}
    settled |= {key: value for fault in faults for key, value in fault.fix.items() if value is not None}
    for key in [key for key in settled if key != "env"]:
        settled[key], problem = _typed(key, settled[key], fields[key])
        if problem:
            faults.append(RecipeFault(key, FaultKind.ILL_TYPED, problem))
    return settled, faults


def _recipe(
    path: Path | None,
    keys: dict[str, Any],
    dataclass_types: Sequence[type],
    fields: Mapping[str, dataclasses.Field],
    arguments: Sequence[str],
) -> Recipe:
    environment = keys.pop("env", {})
    os.environ.update({name: str(value) for name, value in environment.items()})
    if "use_cpu" in fields:
        keys = keys_for_this_machine(keys)
    if "logging_nan_inf_filter" in fields:
        keys.setdefault("logging_nan_inf_filter", False)  # transformers would log a loss of NaN as the mean before it
    if "report_to" in fields:
        keys = keys_of_default_tracker(keys)
    computed, precision = keys, None
    if "bf16" in fields:
        computed, precision = precision_of_training(keys, _split_command_line(arguments)[1])
    return Recipe(path, _build(dataclass_types, computed), keys, precision)


def _split_command_line(arguments: Sequence[str]) -> tuple[Path | None, dict[str, Any], list[UserError]]:
    """The recipe's path, the `--key value` pairs (a key without a value is true) and what is neither."""
    pairs: dict[str, Any] = {}
    problems = []
    position = 0
    while position < len(arguments):
        word = arguments[position]
        position += 1
        if not word.startswith("--"):
            problems.append(UserError(expected="--key value", got=repr(word), remedy="write --key before each value"))
            continue
        key, equals, value = word[2:].partition("=")
        if not equals and position < len(arguments) and not arguments[position].startswith("--"):
            value, equals = arguments[position], "="
            position += 1
        pairs[key.replace("-", "_")] = _yaml_value(value) if equals else True
    config = pairs.pop("config", None)
    return (Path(str(config)) if config is not None else None), pairs, problems


def _yaml_value(text: str) -> Any:
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        return text


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        value = yaml.safe_load(read_text(path))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        raise UserError(
            expected=f"valid YAML in {path}",
            got=f"{getattr(error, 'problem', error)}" + (f" on line {mark.line + 1}" if mark else ""),
            remedy="mend that line",
        ) from error
    if not isinstance(value, dict):
        raise UserError(
            expected=f"a recipe of `key: value` lines in {path}", got=f"a {type(value).__name__}", remedy="see recipes/"
        )
    return value


def _unknown_key(key: str, keys: Mapping[str, Any], fields: Mapping[str, dataclasses.Field]) -> RecipeFault:
    if key in RENAMED_KEYS:
        error = UserError(
            expected="keys of today's TRL", got=f"the renamed key `{key}`", remedy=f"`{key}` is now {RENAMED_KEYS[key]}"
        )
        return RecipeFault(key, FaultKind.RENAMED, error, _fix_of(key, keys, fields))
    close = difflib.get_close_matches(str(key), fields, n=1, cutoff=0.6)
    remedy = f"did you mean `{close[0]}`?" if close else "remove it, or see the README's list of keys"
    error = UserError(expected="a known key", got=f"the unknown key `{key}`", remedy=remedy)
    return RecipeFault(str(key), FaultKind.UNKNOWN, error)


def _fix_of(key: str, keys: Mapping[str, Any], fields: Mapping[str, dataclasses.Field]) -> dict[str, Any]:
    """The keys that certainly replace the renamed `key`, which goes. Nothing is certain where the recipe has the new
    key too with another value, or where the value does not fit it."""
    replacement = certain_replacement(key, keys[key])
    if replacement is None:
        return {}
    typed = {}
    for new, value in replacement.items():
        if new not in fields or value is None:
            return {}
        typed[new], problem = _typed(new, value, fields[new])
        if problem or (new in keys and _typed(new, keys[new], fields[new])[0] != typed[new]):
            return {}
    return {key: None, **typed}


def _typed(key: str, value: Any, field: dataclasses.Field) -> tuple[Any, UserError | None]:
    """`value` as the field's type where that is a plain number or boolean, and the problem if it cannot be."""
    kind = str(getattr(field.type, "__name__", field.type)) if isinstance(field.type, type) else str(field.type)
    if kind in _FLOAT_FIELDS and isinstance(value, str):
        try:
            return float(value), None
        except ValueError:
            return value, _ill_typed(key, value, "a number")
    if kind in ("int", "int | None") and (isinstance(value, bool) or not isinstance(value, int | None)):
        return value, _ill_typed(key, value, "a whole number")
    if key.endswith("_strategy") and value is False:
        return "no", None  # YAML 1.1 reads a bare `no` as false
    if key == "doctor" and value is False:
        return "off", None  # and a bare `off`
    if kind.startswith("list[str]") and isinstance(value, str):
        return [value], None  # else a word would become a list of its letters
    if kind.startswith("list[str]") and value is not None and not _is_list_of_words(value):
        return value, _ill_typed(key, value, "a list of words")
    if key in _ABOVE_ZERO and value is not None and not value > 0:
        return value, _ill_typed(key, value, "a number above 0")
    if key == "learning_rate" and isinstance(value, int | float) and not math.isfinite(value):
        return value, _ill_typed(key, value, "a finite number")
    if key == "dtype" and value is not None and value not in _DTYPES:
        return value, UserError(
            expected=f"dtype to be one of {', '.join(_DTYPES)}", got=str(value), remedy="change it in the recipe"
        )
    if kind == "bool" and not isinstance(value, bool):
        return value, _ill_typed(key, value, "true or false")
    return value, None


def _is_list_of_words(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(one, str) for one in value)


def _ill_typed(key: str, value: Any, expected: str) -> UserError:
    return UserError(expected=f"{expected} for `{key}`", got=repr(value), remedy=f"write `{key}` as {expected}")


class _OneLineParser(TrlParser):
    def error(self, message: str) -> NoReturn:
        raise UserError(expected="values that fit their keys", got=message, remedy="mend the recipe")


def _build(dataclass_types: Sequence[type], keys: dict[str, Any]) -> tuple[Any, ...]:
    parser = _OneLineParser(dataclass_types=list(dataclass_types))  # type: ignore[arg-type]
    parser.set_defaults_with_config(**keys)
    try:
        return tuple(parser.parse_args_into_dataclasses(args=[]))
    except (ValueError, TypeError, ImportError) as error:
        raise UserError(
            expected="values that TRL and transformers accept together",
            got=" ".join(str(error).split())[:300],
            remedy="change these keys in the recipe",
        ) from error
