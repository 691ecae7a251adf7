"""Content hashes: what a record names its inputs by."""

import hashlib
from collections.abc import Iterable
from pathlib import Path


def sha256_of_text(text: str) -> str:
    """Hex SHA-256 of `text` in UTF-8."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def sha256_of_file(path: Path) -> str:
    """Hex SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_of_files(paths: Iterable[Path], root: Path) -> str:
    """Hex SHA-256 over the names (relative to `root`) and contents of `paths`, in sorted order."""
    lines = [f"{sha256_of_file(path)}  {path.relative_to(root).as_posix()}\n" for path in sorted(paths)]
    return sha256_of_text("".join(lines))
