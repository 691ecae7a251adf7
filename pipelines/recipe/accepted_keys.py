"""Read the keys that a program accepts (names, types, choices) from the source of the argument classes.

Importing TRL's and transformers' classes imports torch, which takes ten seconds. Parsing their source takes 0.1.
"""

import ast
import importlib.util
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

# Help texts with the accepted values, such as "Options: 'inputs', 'loss'.", up to the end of the sentence.
_LIST_IN_HELP = re.compile(r"(?:Options:|Possible values are:?|Must be one of)(.*?)(?:\.\s|\.?$)", re.DOTALL)
_QUOTED = re.compile(r"[`'\[,]\s?[`'\"]*([\w-]+)[`'\"]")
_SAME_CHOICES = {"log_level_replica": "log_level"}  # as its help text says in prose


@dataclass(frozen=True)
class AcceptedKey:
    """One key: the types it accepts, as names (`int`, `float`, `bool`, `str`, `list`, `dict`, `None`), the type of its
    list's items, and the values it accepts (empty: any)."""

    name: str
    types: frozenset[str]
    item_type: str = "str"
    choices: tuple[str, ...] = ()


def accepted_keys(classes: Sequence[type | str]) -> dict[str, AcceptedKey]:
    """Return the keys of dataclasses, each a class or its import path, such as `trl.SFTConfig`.

    Raises `LookupError` if the source of a class is not found.
    """
    found: dict[str, AcceptedKey] = {}
    for one in classes:
        path = one if isinstance(one, str) else f"{one.__module__}.{one.__qualname__}"
        module, _, name = path.rpartition(".")
        found |= _keys_of_class(module, name)
    for key, other in _SAME_CHOICES.items():
        if key in found:
            found[key] = AcceptedKey(key, found[key].types, choices=found[other].choices)
    return found


@cache
def _keys_of_class(module: str, name: str) -> dict[str, AcceptedKey]:
    """The keys of one class and its bases; its own win."""
    module, definition = _definition(module, name)
    found: dict[str, AcceptedKey] = {}
    for base in reversed([one for one in definition.bases if isinstance(one, ast.Name)]):
        found |= _keys_of_class(module, base.id)
    for line in definition.body:
        if isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name):
            key = _accepted_key(module, line.target.id, line.annotation, _metadata(line.value))
            found[key.name] = key
    return found


def _accepted_key(module: str, name: str, annotation: ast.expr, metadata: dict[str, ast.expr]) -> AcceptedKey:
    types: set[str] = set()
    choices: list[str] = []
    item_type = "str"
    for part in _members(annotation):
        if isinstance(part, ast.Constant) and part.value is None:
            types.add("None")
        elif isinstance(part, ast.Subscript) and ast.unparse(part.value) == "Literal":
            values = [one.value for one in ast.walk(part.slice) if isinstance(one, ast.Constant)]
            types |= {type(value).__name__ for value in values}
            choices += [value for value in values if isinstance(value, str)]
        elif isinstance(part, ast.Subscript):
            types.add(ast.unparse(part.value))
            item_type = ast.unparse(part.slice)
        elif ast.unparse(part) in ("int", "float", "bool", "str", "list", "dict"):
            types.add(ast.unparse(part))
        else:
            types.add("str")
            choices += _enum_values(module, ast.unparse(part))
    if _literal(metadata.get("nargs")) == "?":  # `--key` without a value means true
        types.add("bool")
    listed = _literal(metadata.get("choices")) or choices or _listed_in(_literal(metadata.get("help")) or "")
    return AcceptedKey(name, frozenset(types), item_type, tuple(map(str, listed)))


def _listed_in(help_text: str) -> list[str]:
    """The accepted values that a help text lists."""
    sentence = _LIST_IN_HELP.search(help_text)
    return list(dict.fromkeys(_QUOTED.findall(sentence[1]))) if sentence else []


def _literal(value: ast.expr | None) -> Any:
    """The value of an expression of literals, None for another."""
    try:
        return ast.literal_eval(value) if value is not None else None
    except ValueError:
        return None


def _members(annotation: ast.expr) -> Iterator[ast.expr]:
    """The members of a union."""
    if isinstance(annotation, ast.BinOp):
        yield from _members(annotation.left)
        yield from _members(annotation.right)
    else:
        yield annotation


def _metadata(value: ast.expr | None) -> dict[str, ast.expr]:
    """The `metadata` of a `field(...)`."""
    for keyword in value.keywords if isinstance(value, ast.Call) else ():
        if keyword.arg == "metadata" and isinstance(keyword.value, ast.Dict):
            pairs = zip(keyword.value.keys, keyword.value.values, strict=True)
            return {str(_literal(key)): one for key, one in pairs}
    return {}


def _enum_values(module: str, name: str) -> list[str]:
    try:
        lines = _definition(module, name)[1].body
    except LookupError:  # a type of another package
        return []
    values = [one.value.value for one in lines if isinstance(one, ast.Assign) and isinstance(one.value, ast.Constant)]
    return [value for value in values if isinstance(value, str)]


def registered_names(module: str, variable: str) -> list[str]:
    """Return the keys of the dictionary that `module` assigns to `variable`, such as a library's registry."""
    for node in ast.walk(_source(module)[1]):
        if isinstance(node, ast.Assign) and variable in map(ast.unparse, node.targets):
            return [str(_literal(key)) for key in node.value.keys] if isinstance(node.value, ast.Dict) else []
    raise LookupError(f"{module} has no dictionary {variable}")


def _definition(module: str, name: str) -> tuple[str, ast.ClassDef]:
    """The module that defines the class `name` of `module`, and the definition."""
    is_package, tree = _source(module)
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef) and node.name == name:
            return module, node
    for node in ast.walk(tree):
        for alias in node.names if isinstance(node, ast.ImportFrom) else ():
            if name == (alias.asname or alias.name):
                assert isinstance(node, ast.ImportFrom)
                return _definition(_absolute(module, is_package, node), alias.name)
    raise LookupError(f"no class {name} in {module}")


def _absolute(module: str, is_package: bool, node: ast.ImportFrom) -> str:
    """The module that `from ... import` in `module` names."""
    if not node.level:
        return str(node.module)
    parts = module.split(".")
    parent = parts[: len(parts) - node.level + is_package]
    return ".".join([*parent, *([node.module] if node.module else [])])


@cache
def _source(module: str) -> tuple[bool, ast.Module]:
    """Whether `module` is a package, and its syntax tree. Nothing is imported."""
    top, *rest = module.split(".")
    spec = importlib.util.find_spec(top)
    if spec is None or not spec.submodule_search_locations:
        raise LookupError(f"no package {top}")
    for folder in spec.submodule_search_locations:
        for path in (Path(folder, *rest, "__init__.py"), Path(folder, *rest).with_suffix(".py")):
            if path.is_file():
                return path.name == "__init__.py", ast.parse(path.read_text(encoding="utf-8"))
    raise LookupError(f"no module {module}")
