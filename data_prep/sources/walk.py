"""Walk a source tree in a fixed order, read its files as UTF-8 text, and list the packages it holds."""

import importlib.metadata
import os
from collections.abc import Sequence
from importlib.metadata import PackageMetadata
from pathlib import Path
from typing import Any

from data_prep.dataset_folder import RejectedRow, row_suffix

_SKIPPED_FOLDERS = {
    "test": "test_folder",
    "tests": "test_folder",
    "site-packages": "installed_packages_folder",
    "dist-packages": "installed_packages_folder",
    "__pycache__": "cache_folder",
}


def files_of_tree(root: Path, suffixes: Sequence[str], source: str) -> tuple[list[Path], list[RejectedRow]]:
    """Return the files below `root` with one of `suffixes`, compressed or not, sorted by path, and what was skipped
    with its reason.

    A skipped folder is one rejected line. Test files of Python are skipped; links to folders are not followed.
    """
    found: list[Path] = []
    rejected: list[RejectedRow] = []
    for folder, subfolders, names in os.walk(root):
        here = Path(folder)
        for name in sorted(subfolders):
            reason = _folder_reason(name)
            if reason is not None:
                subfolders.remove(name)
                rejected.append(RejectedRow(source, (here / name).relative_to(root).as_posix() + "/", reason))
        for path in (here / name for name in names):
            if row_suffix(path) not in suffixes or not path.is_file():
                continue
            if _is_test_file(path):
                rejected.append(RejectedRow(source, path.relative_to(root).as_posix(), "test_file"))
            else:
                found.append(path)
    return sorted(found), sorted(rejected, key=lambda row: row.source_row)


def skip_reason(relative: Path) -> str | None:
    """Return why `files_of_tree` skips a file with this path below the root, None if it does not."""
    reasons = [_folder_reason(name) for name in relative.parts[:-1]]
    return next(filter(None, reasons), "test_file" if _is_test_file(relative) else None)


def _folder_reason(name: str) -> str | None:
    return "hidden_folder" if name.startswith(".") else _SKIPPED_FOLDERS.get(name)


def _is_test_file(path: Path) -> bool:
    return path.suffix == ".py" and (path.stem.startswith("test_") or path.stem.endswith("_test"))


def read_utf8(path: Path) -> str | None:
    """Return the file's text with `\\n` line ends, or None if it is not UTF-8."""
    try:
        return path.read_bytes().decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")
    except UnicodeDecodeError:
        return None


def description_of_tree(root: Path) -> dict[str, Any]:
    """Return what the manifest says of a source tree: the packages it holds, if any."""
    distributions = distributions_of(root)
    return {"distributions": distributions} if distributions else {}


def distributions_of(root: Path) -> list[dict[str, str]]:
    """Return name, version and license of each `*.dist-info` directly in `root` (a `pip install --target` tree)."""
    if not any(root.glob("*.dist-info/METADATA")):
        return []
    found = [
        {"name": d.metadata["Name"], "version": d.version, "license": _license(d.metadata)}
        for d in importlib.metadata.distributions(path=[str(root)])
    ]
    return sorted(found, key=lambda entry: entry["name"].lower())


def _license(metadata: PackageMetadata) -> str:
    for key in ("License-Expression", "License"):
        stated = metadata[key].strip() if key in metadata else ""
        # some packages put the whole license text into the field: then the classifier has the name
        if stated and stated != "UNKNOWN" and "\n" not in stated:
            return stated
    classifiers = [c for c in metadata.get_all("Classifier") or [] if c.startswith("License ::")]
    return "; ".join(c.rsplit(" :: ", 1)[-1] for c in classifiers) or "not stated"
