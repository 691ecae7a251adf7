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
    if "\n" not in text and " + " in text:  # how records join the entries of a mixture
        return " + ".join(map(_reduced, text.split(" + ")))
    if "\n" not in text and is_absolute(text):
        return PureWindowsPath(text).name or text  # which takes both kinds of slashes
    home = home_folder()
    return _under(home).sub(lambda found: PurePosixPath(found[0]).name, text) if home else text


def is_absolute(text: str) -> bool:
    """Whether `text` is an absolute path of some system, or one from a home folder on."""
    return text.startswith("~/") or PurePosixPath(text).is_absolute() or PureWindowsPath(text).is_absolute()


def home_folder() -> str | None:
    """The home folder; None for a user that has none, as in a container, where HOME is then the root of the disk."""
    home = Path.home()
    return None if home == Path(home.anchor) else str(home)


def _under(home: str) -> re.Pattern[str]:
    return re.compile(rf"{re.escape(home)}(?:/[^\s\"'`<>|:;,(){{}}\[\]]+)+")
