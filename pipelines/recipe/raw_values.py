"""Read a recipe and a command line: the raw values, before the type of their key is applied."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from pipelines.errors import UserError
from pipelines.files import read_text


@dataclass(frozen=True)
class RawValue:
    """One value as YAML reads it, and its source text.

    `text` is None for a list, a mapping, an empty value or a flag without a value. `items` has the text of each item of
    a list of scalars. The type of the key decides which one counts: `eval_strategy: no` is text, `packing: no` is not.
    """

    value: Any
    text: str | None = None
    items: tuple[str, ...] | None = None
    from_command_line: bool = False


def read_raw_values(arguments: Sequence[str]) -> tuple[Path | None, dict[str, RawValue], list[UserError]]:
    """Return the path of `--config`, the keys of the recipe updated by the command line, and errors for other words.

    Raises `UserError` for a file that cannot be read, for invalid YAML and for a repeated key.
    """
    pairs: dict[str, RawValue] = {}
    problems: list[UserError] = []
    words = list(arguments)
    while words:
        word = words.pop(0)
        if not word.startswith("--"):
            problems.append(UserError(f"{word!r} is not a --key", "write --key before each value"))
            continue
        key, equals, value = word[2:].partition("=")
        values = [value] if equals else []
        while not equals and words and not words[0].startswith("--"):
            values.append(words.pop(0))
        pairs[key.replace("-", "_")] = _from_command_line(values)
    config = pairs.pop("config", RawValue(None))
    path, *others = (config.text,) if config.text is not None else (config.items or (None,))
    if others or (config.from_command_line and path is None):
        found = f"{1 + len(others)} paths" if others else "no path"
        problems.append(UserError(f"--config has {found}, expected one", "name one recipe"))
    recipe = Path(path) if path is not None else None
    return recipe, {**(_read_recipe(recipe) if recipe else {}), **pairs}, problems


def _from_command_line(words: list[str]) -> RawValue:
    if not words:
        return RawValue(True, from_command_line=True)
    if words == [""]:  # not YAML's null: an unset shell variable
        return RawValue("", "", from_command_line=True)
    if len(words) > 1:
        return RawValue([_scalar(word) for word in words], items=tuple(words), from_command_line=True)
    value = read_yaml_value(words[0])
    return RawValue(value, None if value is None else words[0], from_command_line=True)


def read_yaml_value(text: str) -> Any:
    """Return `text` as YAML reads it, or `text` if it is not YAML or is prose that reads as YAML."""
    try:
        value = yaml.load(text, _RecipeLoader)
    except (yaml.YAMLError, UserError):
        return text
    if isinstance(value, dict | list) and not text.lstrip().startswith(("{", "[")):
        return text  # "Write: a poem", "- a poem"
    return text if value is None and text.startswith("#") else value


def _scalar(word: str) -> Any:
    value = read_yaml_value(word)
    return word if isinstance(value, dict | list) else value


class _RecipeLoader(yaml.SafeLoader):
    """YAML without the surprises of version 1.1: 1e-4 is a number, 012 and 12:30 and 2024-01-01 are text."""

    yaml_implicit_resolvers = {  # noqa: RUF012
        first: [(tag, pattern) for tag, pattern in resolvers if not tag.endswith((":int", ":float", ":timestamp"))]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


_RecipeLoader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(
        r"[-+]?(?:(?:\d[\d_]*\.[\d_]*|\.\d[\d_]*)(?:e[-+]?\d+)?|\d[\d_]*e[-+]?\d+|\.inf)$|\.nan$", re.IGNORECASE
    ),
    list("-+0123456789."),
)
_RecipeLoader.add_implicit_resolver(
    "tag:yaml.org,2002:int", re.compile(r"[-+]?(?:0|[1-9][\d_]*|0x[\da-fA-F_]+)$"), list("-+0123456789")
)


def _read_recipe(path: Path) -> dict[str, RawValue]:
    loader = _RecipeLoader(read_text(path))
    try:
        root = loader.get_single_node()
        if root is not None:
            _refuse_repeated_keys(root, path)
        value: Any = loader.construct_document(root) if root is not None else None
    except yaml.YAMLError as error:
        raise _not_yaml(error, path) from error
    except RecursionError as error:
        raise UserError(f"{path} is nested too deeply, expected `key: value` lines", "see recipes/") from error
    finally:
        loader.dispose()
    if not isinstance(root, yaml.MappingNode):
        kind = "empty" if value is None else f"a {type(value).__name__}"
        fix = "write a space after each colon" if ":" in str(value) else "see recipes/"
        raise UserError(f"{path} is {kind}, expected `key: value` lines", fix)
    found = {}
    for key, node in root.value:  # merged keys come first and are overridden
        found[str(key.value)] = _of_node(node, value.get(loader.construct_object(key)))
    return found


def _of_node(node: yaml.Node, value: Any) -> RawValue:
    if isinstance(node, yaml.ScalarNode):
        return RawValue(value, None if value is None else node.value)
    if isinstance(node, yaml.SequenceNode) and all(isinstance(one, yaml.ScalarNode) for one in node.value):
        return RawValue(value, items=tuple(one.value for one in node.value))
    return RawValue(value)


def _refuse_repeated_keys(root: yaml.Node, path: Path) -> None:
    """Raise `UserError` for a key that a mapping has twice, of which YAML would keep the last one."""
    for mapping in _mappings(root):
        lines: dict[str, int] = {}
        for key, _ in mapping.value:
            name, line = str(key.value), key.start_mark.line + 1
            if name in lines and key.tag != "tag:yaml.org,2002:merge":
                raise UserError(f"{path} has `{name}` on lines {lines[name]} and {line}", "remove one")
            lines[name] = line


def _mappings(root: yaml.Node) -> Iterator[yaml.MappingNode]:
    """Yield the mappings in `root`, each once: an anchor may be used several times."""
    open_nodes, seen = [root], set()
    while open_nodes:
        node = open_nodes.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, yaml.MappingNode):
            yield node
            open_nodes += [one for pair in node.value for one in pair]
        elif isinstance(node, yaml.SequenceNode):
            open_nodes += node.value


def _not_yaml(error: yaml.YAMLError, path: Path) -> UserError:
    mark = getattr(error, "problem_mark", None)
    problem = str(getattr(error, "problem", None) or getattr(error, "context", None) or error)
    fix = "fix that line; text with special characters needs quotes"
    if "'\\t'" in problem:
        fix = "indent with spaces"
    elif "another document" in problem:
        fix = "write one recipe in a file, without a `---` line between"
    elif "constructor for the tag" in problem:
        fix = "remove the tag: a recipe holds plain values"
    return UserError(f"{path} is not valid YAML: {problem}{f' on line {mark.line + 1}' if mark else ''}", fix)


def as_values(raw: Mapping[str, RawValue]) -> dict[str, Any]:
    """Return the plain values."""
    return {key: one.value for key, one in raw.items()}
