"""Absolute paths in records, reduced to their last part: what a reader elsewhere can use, and no more."""

import re
from collections.abc import Sequence
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any


def without_local_paths(value: Any, but: Sequence[str] = ()) -> Any:
    """The JSON `value` with every text that is an absolute path reduced to its last part, and those under the home
    folder also where they stand within a text. What stands under the keys `but` is left as it is."""
    if isinstance(value, dict):
        return {_reduced(key): one if key in but else without_local_paths(one, but) for key, one in value.items()}
    if isinstance(value, list):
        return [without_local_paths(one, but) for one in value]
    return _reduced(value) if isinstance(value, str) else value


def _reduced(text: str) -> str:
    if "\n" not in text and is_absolute(text):
        return PureWindowsPath(text).name or text  # which takes both kinds of slashes
    return _under_home().sub(lambda found: PurePosixPath(found[0]).name, text)


def is_absolute(text: str) -> bool:
    """Whether `text` is an absolute path of some system, or one from a home folder on."""
    return text.startswith("~/") or PurePosixPath(text).is_absolute() or PureWindowsPath(text).is_absolute()


def _under_home() -> re.Pattern[str]:
    return re.compile(rf"{re.escape(str(Path.home()))}(?:/[^\s\"'`<>|:;,(){{}}\[\]]+)+")
