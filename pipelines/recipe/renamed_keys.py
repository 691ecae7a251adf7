"""Renamed keys: those that TRL 1.x and transformers 5 no longer accept, and those of other trainers (axolotl,
LLaMA-Factory, unsloth, ms-swift, torchtune), with the key to write instead.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

_TABLES: dict[str, Any] = yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text(encoding="utf-8"))
RENAMED_KEYS: dict[str, str] = _TABLES["renamed"]
_SUCCESSORS: dict[str, str] = _TABLES["same_value"]
_SWITCHES: dict[str, list[str]] = _TABLES["switches"]
_REMOVED: dict[str, list[Any]] = _TABLES["removed"]
_SAME_VALUE: dict[str, str] = {theirs: ours for ours, keys in _TABLES["other_same_value"].items() for theirs in keys}
_BY_VALUE: dict[str, dict[Any, dict[str, Any]]] = _TABLES["other_by_value"]
_IN_WORDS: dict[str, str] = {key: line["write"] for line in _TABLES["other_in_words"] for key in line["keys"]}
_NOT_NEEDED: dict[str, str] = {key: line["why"] for line in _TABLES["other_not_needed"] for key in line["keys"]}


def certain_replacement(key: str, value: Any) -> Mapping[str, Any] | None:
    """Return the keys that replace the old `key: value` (empty: it can be removed), None if that is not certain.

    A `warmup_ratio` of 1 or more has no replacement: as `warmup_steps` it would count steps.
    """
    if key == "warmup_ratio" and not _is_share(value):
        return None
    if key in _SUCCESSORS:
        return {_SUCCESSORS[key]: value}
    if key in _SWITCHES and isinstance(value, bool):
        return {_SWITCHES[key][0]: _SWITCHES[key][1]} if value else {}
    return {} if isinstance(value, bool) and value in _REMOVED.get(key, ()) else None


def successor_of(key: str) -> str | None:
    """Return the new name of `key`, None if it is removed without a replacement or has no single one."""
    return _SUCCESSORS.get(key) or _SWITCHES.get(key, (None,))[0]


def _is_share(value: Any) -> bool:
    try:
        return not isinstance(value, bool) and 0 <= float(value) < 1
    except (TypeError, ValueError):
        return False


def is_of_another_trainer(key: str) -> bool:
    """Whether `key` is a known key of another trainer."""
    return key in _SAME_VALUE or key in _BY_VALUE or key in _IN_WORDS or key in _NOT_NEEDED


def what_to_write(key: str, value: Any) -> str:
    """Return what to write for another trainer's `key: value`, in words."""
    if value is None:
        return "remove it, it is empty"
    if key in _IN_WORDS:
        return f"write {_IN_WORDS[key]}"
    if key in _NOT_NEEDED:
        return f"remove it, {_NOT_NEEDED[key]}"
    keys = same_meaning(key, value)
    if keys == {}:
        return "remove it, it is the default"
    if key in _SAME_VALUE:
        return f"write `{_SAME_VALUE[key]}`"
    if keys:
        return "write " + " and ".join(f"`{new}: {_as_yaml(one)}`" for new, one in keys.items())
    return f"its known values are {', '.join(map(_as_yaml, _BY_VALUE[key]))}"


def same_meaning(key: str, value: Any) -> Mapping[str, Any] | None:
    """Return the keys that mean the same as another trainer's `key: value`, None if that is not certain."""
    if _SAME_VALUE.get(key) == "test_split_size" and value == 0:
        return {}
    if key in _SAME_VALUE:
        return {_SAME_VALUE[key]: value}
    if key in _NOT_NEEDED and not isinstance(value, dict | list):
        return {}
    if key == "lora_target" and isinstance(value, str | list) and value != "all":
        return {"lora_target_modules": value}
    try:
        return _BY_VALUE.get(key, {}).get(value)
    except TypeError:  # a list or a mapping
        return None


def _as_yaml(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
