"""Walk a source tree in a fixed order, read its files as text, and list the packages it holds."""

import importlib.metadata
import os
import sys
from collections.abc import Iterator, Sequence
from importlib.metadata import PackageMetadata
from pathlib import Path
from typing import Any

from data_prep.dataset_folder import RejectedRow, row_suffix
from data_prep.dataset_folder.file_readers.bad_rows import UnreadableFile, row_over_limit
from data_prep.dataset_folder.file_readers.byte_blocks import byte_blocks
from data_prep.dataset_folder.file_readers.text_encodings import UTF8, TextEncoding, utf8_blocks

MAX_DOCUMENT_BYTES = 64 << 20
_SKIPPED_FOLDERS = {
    "site-packages": "installed_packages_folder",
    "dist-packages": "installed_packages_folder",
    "__pycache__": "cache_folder",
}
_TEST_FOLDERS = {"test": "test_folder", "tests": "test_folder"}
OUTSIDE = "outside_the_folder"
_SNAPSHOTS = "snapshots"  # of the Hub's cache: their files are links to ../../blobs


def files_of_tree(
    root: Path, suffixes: Sequence[str], source: str, *, with_tests: bool = False
) -> tuple[list[Path], list[RejectedRow]]:
    """Return the files below `root` with one of `suffixes`, compressed or not, sorted by path, and what was skipped
    with its reason.

    A skipped folder is one rejected line. Links to folders are not followed, nor are links to files outside `root`.
    Folders of tests and test files of Python are skipped unless `with_tests`.
    """
    found: list[Path] = []
    rejected: list[RejectedRow] = []

    def reject(path: Path, reason: str, is_folder: bool = False) -> None:
        rejected.append(RejectedRow(source, path.relative_to(root).as_posix() + "/" * is_folder, reason))

    unreadable: list[Path] = []
    for folder, subfolders, names in os.walk(root, onerror=lambda error: unreadable.append(Path(error.filename))):
        here = Path(folder)
        for name in sorted(subfolders):
            reason = _folder_reason(name, with_tests)
            if reason is not None:
                subfolders.remove(name)
                reject(here / name, reason, is_folder=True)
            elif (here / name).is_symlink():
                reject(here / name, "link_to_folder" if is_inside(here / name, root) else OUTSIDE, is_folder=True)
        for path in (here / name for name in names if row_suffix(Path(name)) in suffixes):
            if reason := "test_file" if _is_test_file(path) and not with_tests else _unusable(path, root):
                reject(path, reason)
            else:
                found.append(path)
    for path in unreadable:
        reject(path, "cannot_be_opened", is_folder=True)
    return sorted(found), sorted(rejected, key=lambda row: row.source_row)


def skip_reason(relative: Path) -> str | None:
    """Return why `files_of_tree` skips a file with this path below the root, None if it does not."""
    reasons = [_folder_reason(name) for name in relative.parts[:-1]]
    return next(filter(None, reasons), "test_file" if _is_test_file(relative) else None)


def _folder_reason(name: str, with_tests: bool = False) -> str | None:
    if name.startswith("."):
        return "hidden_folder"
    return _SKIPPED_FOLDERS.get(name) or (None if with_tests else _TEST_FOLDERS.get(name))


def _is_test_file(path: Path) -> bool:
    return path.suffix == ".py" and (path.stem.startswith("test_") or path.stem.endswith("_test"))


def is_inside(path: Path, root: Path) -> bool:
    """Whether `path`, links followed, is below `root`."""
    top = root.resolve()
    return path.resolve().is_relative_to(top.parent.parent if top.parent.name == _SNAPSHOTS else top)


def _unusable(path: Path, root: Path) -> str | None:
    if path.is_symlink() and not is_inside(path, root):
        return OUTSIDE
    return None if path.is_file() else "not_a_file"  # a broken link, a pipe


def read_utf8(path: Path) -> str | None:
    """Return the text of a file, which may be compressed, with `\n` line ends; None if its encoding is not sure.

    Raises `UnreadableFile` for a file that cannot be opened or is longer than `MAX_DOCUMENT_BYTES`.
    """
    encoding = TextEncoding()
    blocks = utf8_blocks(byte_blocks(path, MAX_DOCUMENT_BYTES), path, encoding)
    try:
        text = b"".join(_within_limit(blocks, path)).decode()
    except UnicodeDecodeError:
        return None
    if encoding.name not in (None, UTF8):
        print(f"{path}: read as {encoding.name}", file=sys.stderr, flush=True)
    return text.replace("\r\n", "\n").replace("\r", "\n")


def read_document_bytes(path: Path) -> bytes:
    """Return the bytes of a file, which may be compressed. Raises `UnreadableFile` as `read_utf8` does."""
    return b"".join(_within_limit(byte_blocks(path, MAX_DOCUMENT_BYTES), path))


def _within_limit(blocks: Iterator[bytes], path: Path) -> Iterator[bytes]:
    n_bytes = 0
    for block in blocks:
        n_bytes += len(block)
        if n_bytes > MAX_DOCUMENT_BYTES:
            over = row_over_limit(str(path), MAX_DOCUMENT_BYTES)
            raise UnreadableFile(
                over.problem, "split it, or read its lines with --format text_lines", reason=over.reason
            )
        yield block


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
