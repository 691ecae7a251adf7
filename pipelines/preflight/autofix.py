"""Autofix: write the keys of findings into a recipe; comments, order and blank lines stay."""

import difflib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from enum import Enum
from pathlib import Path
from typing import Any

import yaml
from trl import ModelConfig

from pipelines.errors import UserError
from pipelines.files import read_text, write_text_atomically
from pipelines.recipe.arguments import PreferenceArguments, PretrainingArguments, RunArguments
from pipelines.recipe.renamed_keys import RENAMED_KEYS, successor_of
from pipelines.records.finding import Finding

# The sections of a recipe: a new key goes after the last key of its section.
_MODEL_KEYS = {field.name for field in fields(ModelConfig)}
_ADAPTER_PREFIXES = ("lora_", "use_", "load_in_", "bnb_")
_DATA_KEYS = {field.name for kind in (PreferenceArguments, PretrainingArguments) for field in fields(kind)} - {
    field.name for field in fields(RunArguments)
} | {"max_length", "packing", "packing_strategy", "eval_packing", "chat_template_path", "eos_token"}


# secrets in the lines around a change
_SECRET_LINE = re.compile(r"^([ \t]*(?:hub_|push_to_hub_|hf_)?token[ \t]*:[ \t]*)\S.*$", re.MULTILINE | re.IGNORECASE)


@dataclass(frozen=True)
class _Entry:
    """One `key: value` of the text, in characters: the key, the value (empty for nothing), and its whole lines."""

    key: str
    key_begin: int
    key_end: int
    value_begin: int
    value_end: int
    begin: int
    end: int


Edit = tuple[int, int, str]  # characters from, to, and the text that replaces them


def fixes_of(findings: Iterable[Finding]) -> dict[str, Any]:
    """The keys that `findings` set or remove. The first (worst) finding wins, and a check wins over the old value of a
    renamed key."""
    found = list(findings)
    fixes: dict[str, Any] = {key: value for one in found if one.id == "RENAMED_KEY" for key, value in one.fix.items()}
    for one in reversed([one for one in found if one.id != "RENAMED_KEY"]):
        fixes |= one.fix
    return fixes


def diff_of(path: Path, fixes: Mapping[str, Any]) -> str:
    """What `write_fixed` would change in the recipe at `path`, as a unified diff; empty for nothing."""
    before = _read(path)
    return unified_diff(path, _masked(before), _masked(fixed_recipe(before, fixes)))


def write_fixed(path: Path, fixes: Mapping[str, Any]) -> None:
    """Write `fixes` into the recipe at `path`; a reader sees the old file or the whole new one."""
    target = path.resolve()
    write_text_atomically(target, fixed_recipe(_read(path), fixes), mode=target.stat().st_mode & 0o777)


def unified_diff(path: Path, before: str, after: str) -> str:
    """The difference of two versions of the file at `path`, as `diff -u` and `patch` have it."""
    lines = difflib.unified_diff(_lines(before), _lines(after), str(path), str(path))
    return "".join(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines)


def fixed_recipe(text: str, fixes: Mapping[str, Any]) -> str:
    """`text` with the keys of `fixes` set to their values, and without those that are None.

    A key keeps its line and comment. The new name of a renamed key takes its place, and so does a key of the same
    section that follows a removed one in `fixes`. Other new keys go to the end of their section. Raises `UserError` if
    the result does not parse to exactly these keys.
    """
    before = _parsed(text)
    entries = _entries(text)
    intended = {key: value for key, value in before.items() if key not in fixes}
    intended |= {key: _plain(value) for key, value in fixes.items() if value is not None}
    after = _applied(text, _edits(text, entries, before, fixes))
    try:
        written = yaml.safe_load(after)
    except yaml.YAMLError:
        written = None
    if written != intended:
        raise _cannot_rewrite("it has anchors, nested or flow YAML around these keys", fixes)
    return after


def _edits(text: str, entries: list[_Entry], before: Mapping[str, Any], fixes: Mapping[str, Any]) -> list[Edit]:
    last = {entry.key: entry for entry in entries}  # of a key that is written twice the last one counts
    edits = [(one.begin, one.end, "") for one in entries if one.key in fixes and one is not last[one.key]]
    added = [key for key, value in fixes.items() if value is not None and key not in last]
    for key, value in fixes.items():
        if key not in last or (value is not None and _plain(value) == before[key]):
            continue
        successor = _successor(key, fixes) if value is None else None
        if value is not None:
            edits.append(_with_value(text, last[key], value))
        elif successor in added:
            added.remove(successor)
            edits.append((last[key].key_begin, last[key].key_end, successor))
            if _plain(fixes[successor]) != before[key]:
                edits.append(_with_value(text, last[key], fixes[successor]))
        else:
            edits.append((last[key].begin, last[key].end, ""))
    kept = [entry for entry in entries if fixes.get(entry.key, "") is not None] or entries
    return edits + [_addition(text, kept, key, fixes[key]) for key in added]


def _successor(key: str, fixes: Mapping[str, Any]) -> str | None:
    """The key that takes the place of the removed `key`."""
    if key in RENAMED_KEYS:
        return successor_of(key)
    following = next(iter(list(fixes)[list(fixes).index(key) + 1 :]), None)
    return following if following and _section(following) == _section(key) else None


def _with_value(text: str, entry: _Entry, value: Any) -> Edit:
    new = _as_yaml(entry.key, value)
    same_line = "\n" not in text[entry.key_end : entry.value_begin]
    if same_line and entry.value_begin < entry.value_end:
        return entry.value_begin, entry.value_end, new
    colon = text.index(":", entry.key_end) + 1
    return colon, max(colon, entry.value_end), f" {new}"


def _addition(text: str, entries: list[_Entry], key: str, value: Any) -> Edit:
    """A line after the last entry of the same section, else after the last of all."""
    of_section = [entry for entry in entries if _section(entry.key) == _section(key)]
    place = (of_section or entries)[-1]
    indent = " " * (entries[0].key_begin - entries[0].begin)
    line_end = "\r\n" if "\r\n" in text else "\n"
    opening = "" if text[: place.end].endswith("\n") else line_end
    closing = "" if opening else line_end
    return place.end, place.end, f"{opening}{indent}{key}: {_as_yaml(key, value)}{closing}"


def _section(key: str) -> str:
    key = successor_of(key) or key
    if key in _MODEL_KEYS:
        return "adapter" if key.startswith(_ADAPTER_PREFIXES) else "model"
    return "data" if key in _DATA_KEYS else "training"


def _applied(text: str, edits: list[Edit]) -> str:
    """Apply edits in the order of the text; those at one place keep their order."""
    parts, done = [], 0
    for begin, end, new in sorted(edits, key=lambda edit: edit[:2]):
        parts += [text[done:begin], new]
        done = max(done, end)
    return "".join([*parts, text[done:]])


def _entries(text: str) -> list[_Entry]:
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    if not isinstance(root, yaml.MappingNode) or root.flow_style or not root.value:
        raise _cannot_rewrite("it is not lines of `key: value`", {})
    return [_entry(text, key, value) for key, value in root.value]


def _entry(text: str, key: yaml.Node, value: yaml.Node) -> _Entry:
    key_begin, key_end = key.start_mark.index, key.end_mark.index
    value_begin, value_end = value.start_mark.index, _end_of(text, value)
    if value_begin < key_end:  # an alias: the node is at its anchor
        value_begin, value_end = text.index("*", key_end), len(text[: _line_end(text, key_end)].rstrip())
    line_end = _line_end(text, max(value_end, key_end))
    return _Entry(
        str(key.value), key_begin, key_end, value_begin, value_end, text.rfind("\n", 0, key_begin) + 1, line_end
    )


def _end_of(text: str, node: yaml.Node) -> int:
    """The end of the last character of `node`: YAML adds the blank lines and comments after a block."""
    if isinstance(node, yaml.CollectionNode) and not node.flow_style and node.value:
        last = node.value[-1]
        return _end_of(text, last[1] if isinstance(node, yaml.MappingNode) else last)
    end = node.end_mark.index
    if isinstance(node, yaml.ScalarNode) and node.style in ("|", ">"):
        return node.start_mark.index + len(text[node.start_mark.index : end].rstrip())
    return int(end)


def _line_end(text: str, index: int) -> int:
    """The place after the line break after `index`."""
    place = text.find("\n", index)
    return len(text) if place < 0 else place + 1


def _as_yaml(key: str, value: Any) -> str:
    """`value` on one line, as it can follow `key: `."""
    plain = _plain(value)
    if isinstance(plain, str) and "\n" in plain:
        return json.dumps(plain)
    line = yaml.safe_dump({key: plain}, default_flow_style=True, allow_unicode=True, width=float("inf"))
    return line.strip().removeprefix("{").removesuffix("}").removeprefix(f"{key}: ")


def _plain(value: Any) -> Any:
    if isinstance(value, Enum):
        return _plain(value.value)
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    return [_plain(one) for one in value] if isinstance(value, list | tuple) else value


def _parsed(text: str) -> dict[str, Any]:
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise _cannot_rewrite("it is not valid YAML", {}) from error
    if not isinstance(value, dict):
        raise _cannot_rewrite("it is not lines of `key: value`", {})
    return value


def _cannot_rewrite(reason: str, fixes: Mapping[str, Any]) -> UserError:
    lines = [f"remove {key}" if value is None else f"{key}: {_as_yaml(key, value)}" for key, value in fixes.items()]
    fix = f"change it by hand: {'; '.join(lines)}" if lines else "see recipes/"
    return UserError(f"the recipe cannot be rewritten: {reason}", fix)


def _masked(text: str) -> str:
    return _SECRET_LINE.sub(r"\1***", text)


def _read(path: Path) -> str:
    """The recipe with its own line ends, which `read_text` normalizes."""
    read_text(path)
    return path.read_bytes().decode("utf-8-sig")


def _lines(text: str) -> list[str]:
    return [line + "\n" for line in text.split("\n")[:-1]] + [line for line in text.split("\n")[-1:] if line]
