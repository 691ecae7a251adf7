"""Walking a source tree in a fixed order, and reading its files as UTF-8 text."""

import os
from collections.abc import Sequence
from pathlib import Path

from data_prep.dataset_folder import RejectedRow

_SKIPPED_FOLDERS = {
    "test": "test_folder",
    "tests": "test_folder",
    "site-packages": "installed_packages_folder",
    "dist-packages": "installed_packages_folder",
    "__pycache__": "cache_folder",
}


def files_of_tree(root: Path, suffixes: Sequence[str], source: str) -> tuple[list[Path], list[RejectedRow]]:
    """Files below `root` with one of `suffixes`, sorted by path; skipped folders and test files with their reasons.

    A skipped folder is one rejected line, whatever it holds. Links to folders are not followed.
    """
    found: list[Path] = []
    rejected: list[RejectedRow] = []
    for folder, subfolders, names in os.walk(root):
        here = Path(folder)
        for name in sorted(subfolders):
            reason = "hidden_folder" if name.startswith(".") else _SKIPPED_FOLDERS.get(name)
            if reason is not None:
                subfolders.remove(name)
                rejected.append(RejectedRow(source, (here / name).relative_to(root).as_posix() + "/", reason))
        for name in names:
            path = here / name
            if path.suffix.lower() not in suffixes or not path.is_file():
                continue
            if is_test_file(name):
                rejected.append(RejectedRow(source, path.relative_to(root).as_posix(), "test_file"))
            else:
                found.append(path)
    return sorted(found), sorted(rejected, key=lambda row: row.source_row)


def is_test_file(name: str) -> bool:
    """Whether pytest would collect a Python file of this name."""
    return name.endswith(".py") and (name.startswith("test_") or name.endswith("_test.py"))


def read_utf8(path: Path) -> str | None:
    """The file's text with `\\n` line ends, or None if it is not UTF-8."""
    try:
        return path.read_bytes().decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")
    except UnicodeDecodeError:
        return None


def module_path(relative: Path) -> str:
    """`json/decoder.py` as `json.decoder`, `pathlib/__init__.py` as `pathlib`."""
    parts = list(relative.with_suffix("").parts)
    if parts[-1] == "__init__" and len(parts) > 1:
        parts.pop()
    return ".".join(parts)
