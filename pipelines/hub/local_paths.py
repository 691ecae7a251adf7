"""Shorten absolute paths in records to their last part, for readers on other machines."""

import re
from collections.abc import Sequence
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from pipelines.records.checkpoint import step_of


def without_local_paths(value: Any, but: Sequence[str] = ()) -> Any:
    """The JSON `value` with each absolute path shortened to its last part, paths under the home folder also inside
    longer texts. Values of the keys `but` stay as they are."""
    if isinstance(value, dict):
        return {_shortened(key): one if key in but else without_local_paths(one, but) for key, one in value.items()}
    if isinstance(value, list):
        return [without_local_paths(one, but) for one in value]
    return _shortened(value) if isinstance(value, str) else value


def _shortened(text: str) -> str:
    if "\n" not in text and " + " in text:  # how records join the entries of a mixture
        return " + ".join(map(_shortened, text.split(" + ")))
    if "\n" not in text and is_absolute(text):
        return last_part(text) or text
    home = home_folder()
    return _under(home).sub(lambda found: PurePosixPath(found[0]).name, text) if home else text


def last_part(path: str) -> str:
    """The last part of a path of any operating system; a checkpoint keeps the name of its run."""
    whole = PureWindowsPath(path)  # which takes both kinds of slashes
    parts = 2 if step_of(whole) >= 0 and whole.parent.name else 1
    return "/".join(whole.parts[-parts:]) if whole.name else ""


def is_absolute(text: str) -> bool:
    """Whether `text` is an absolute path of any operating system, or one that begins with ~/."""
    return text.startswith("~/") or PurePosixPath(text).is_absolute() or PureWindowsPath(text).is_absolute()


def home_folder() -> str | None:
    """The home folder; None where it is the root of the disk, as for some users in containers."""
    home = Path.home()
    return None if home == Path(home.anchor) else str(home)


def _under(home: str) -> re.Pattern[str]:
    return re.compile(rf"{re.escape(home)}(?:/[^\s\"'`<>|:;,(){{}}\[\]]+)+")
