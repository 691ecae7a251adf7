"""Read YAML files strictly into dataclasses: unknown keys and wrong types are errors that name the nearest key."""

import difflib
import types
import typing
from collections.abc import Iterable, Mapping
from dataclasses import fields
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pipelines.errors import UserError

if TYPE_CHECKING:
    import yaml

T = TypeVar("T")
_WORDS = {
    int: "a whole number", float: "a number", bool: "true or false", str: "a text", tuple: "a list of texts",
    Mapping: "a mapping of texts", type(None): "null",
}  # fmt: skip


def read_yaml_list(path: Path, flag: str) -> list[Any]:
    """Return the list that a YAML file holds. Raises `UserError` if it is missing, not YAML, or not a list."""
    import yaml

    try:
        entries = yaml.load(path.read_text(encoding="utf-8"), _strict_loader())  # a SafeLoader
    except (FileNotFoundError, IsADirectoryError) as error:
        raise UserError(f"{flag} {path} is not a file", "check the path") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not YAML: {' '.join(str(error).split())}", "correct the file") from error
    if not isinstance(entries, list) or not entries:
        problem = f"{path} is an empty list" if entries == [] else f"{path} is not a list"
        raise UserError(problem, "write at least one entry, beginning with `- `")
    return entries


def _strict_loader() -> "type[yaml.SafeLoader]":
    """Return a loader that refuses a key that a mapping has twice, of which YAML would keep the last one."""
    import yaml

    class StrictLoader(yaml.SafeLoader):
        def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
            names = [str(key.value) for key, _ in node.value]
            repeated = next((name for number, name in enumerate(names) if name in names[:number]), None)
            if repeated is not None:
                raise yaml.constructor.ConstructorError(None, None, f"{repeated!r} is there twice", node.start_mark)
            return super().construct_mapping(node, deep)

    return StrictLoader


def dataclass_of(kind: type[T], values: Any, place: str) -> T:
    """Return the dataclass `kind` with `values`, a mapping or null. Raises `UserError` that begins with `place`."""
    if values is not None and not isinstance(values, Mapping):
        raise UserError(f"{place} is {values!r}, expected options", "write them as {name: value}")
    hints = typing.get_type_hints(kind)
    names = [field.name for field in fields(kind)]  # type: ignore[arg-type]
    given = {}
    for key, value in (values or {}).items():
        if key not in names:
            raise UserError(
                f"{place} has no option {key!r}, only {', '.join(names) or 'none'}", did_you_mean(key, names)
            )
        given[key] = _converted(value, hints[key], f"{key} of {place}")
    missing = [name for name in names if name not in given and _is_required(kind, name)]
    if missing:
        raise UserError(f"{place} lacks {', '.join(missing)}", f"write {missing[0]}: ...")
    return kind(**given)


def did_you_mean(word: Any, known: Iterable[str]) -> str:
    """Return advice with the nearest known word."""
    near = difflib.get_close_matches(str(word), list(known), n=1)
    return f"did you mean {near[0]}?" if near else "remove it, or correct its name"


def _is_required(kind: type, name: str) -> bool:
    from dataclasses import MISSING

    [field] = [one for one in fields(kind) if one.name == name]
    return field.default is MISSING and field.default_factory is MISSING


def _is_of_pairs(hint: Any) -> bool:
    return typing.get_origin(typing.get_args(hint)[0]) is tuple if typing.get_origin(hint) is tuple else False


def _converted(value: Any, hint: Any, place: str) -> Any:
    options = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    for option in options:
        origin = typing.get_origin(option) or option
        if isinstance(origin, type) and issubclass(origin, StrEnum):
            if value in list(origin):
                return origin(value)
            raise UserError(f"{place} is {value!r}, expected {', '.join(origin)}", did_you_mean(value, list(origin)))
        if origin is float and isinstance(value, int | float) and not isinstance(value, bool):
            return float(value)
        if _is_of_pairs(option):
            if isinstance(value, list) and all(isinstance(one, list) and len(one) == 2 for one in value):
                kinds = typing.get_args(typing.get_args(option)[0])
                return tuple(tuple(map(_converted, pair, kinds, [place] * 2)) for pair in value)
            raise UserError(f"{place} is {value!r}, expected a list of pairs", "write it as [[2, 0.2], [3, 0.1]]")
        if origin is tuple and isinstance(value, list) and all(isinstance(one, str) for one in value):
            return tuple(value)
        if origin is tuple and isinstance(value, str):
            return (value,)
        if origin is Mapping and isinstance(value, dict) and all(isinstance(one, str) for one in value.values()):
            return value
        if origin in (int, str, bool, type(None)) and type(value) is origin:
            return value
    origins = [typing.get_origin(option) or option for option in options]
    expected = " or ".join(_WORDS.get(origin, str(origin)) for origin in origins)
    raise UserError(f"{place} is {value!r}, expected {expected}", "correct the value")
