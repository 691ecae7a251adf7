"""Read and hash files. Text and JSON that cannot be read raise a `UserError` that names the file and the line."""

import hashlib
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from pipelines.errors import UserError


def read_text(path: Path) -> str:
    """Return the file's text. Raises `UserError` if it is missing, is a folder, or is not UTF-8."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except (FileNotFoundError, IsADirectoryError, PermissionError) as error:
        raise UserError(f"cannot read {path}: {str(error.strerror).lower()}", "check the path") from error
    except UnicodeDecodeError as error:
        raise not_utf8(path, error) from error


def not_utf8(path: Path, error: UnicodeDecodeError) -> UserError:
    """Return the error for a file whose bytes are not UTF-8."""
    byte = f"byte 0x{error.object[error.start]:02x} at offset {error.start}"
    return UserError(f"{path} is not UTF-8 text: {byte}", "convert it, for example `iconv -f latin1 -t utf-8`")


def refuse_missing(**paths: Path | None) -> None:
    """Raise `UserError` for the first flag whose path does not exist (None: the flag is not set).

    Programs call this before their heavy imports.
    """
    for flag, path in paths.items():
        if path is not None and not path.exists():
            raise UserError(f"--{flag} {path} does not exist", "check the path")


def is_utf8(text: str) -> bool:
    """Whether `text` can be encoded as UTF-8. A lone surrogate, which JSON can write, cannot."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def read_json(path: Path) -> Any:
    """Return the file's JSON value. Raises `UserError` with the line of the first mistake."""
    return parse_json(read_text(path), path)


def read_jsonl(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the objects of a JSON-lines file, in order; blank lines are skipped."""
    for number, line in enumerate(read_text(path).split("\n"), start=1):
        if line.strip():
            value = parse_json(line, path, first_line=number)
            if not isinstance(value, dict):
                raise not_an_object(value, f"line {number} of {path}")
            yield value


def parse_json(text: str, path: Path, first_line: int = 1, **hooks: Any) -> Any:
    """Parse `text`, which starts on line `first_line` of `path`; `hooks` are those of `json.loads`."""
    try:
        return json.loads(text, **hooks)
    except json.JSONDecodeError as error:
        place = f"on line {first_line + error.lineno - 1}, column {error.colno}"
        raise UserError(f"{path} is not valid JSON: {error.msg.lower()} {place}", "fix that line") from error


def not_an_object(value: Any, place: str) -> UserError:
    """Return the error for a row that is not a JSON object."""
    return UserError(f"{place} is a {type(value).__name__}, expected an object", "write each row as {...}")


def sha256_of_text(text: str) -> str:
    """Return the hex SHA-256 of `text` in UTF-8."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def sha256_of_file(path: Path) -> str:
    """Return the hex SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_of_files(paths: Iterable[Path], root: Path) -> str:
    """Return the hex SHA-256 over the names (relative to `root`) and contents of `paths`, in sorted order."""
    lines = [f"{sha256_of_file(path)}  {path.relative_to(root).as_posix()}\n" for path in sorted(paths)]
    return sha256_of_text("".join(lines))
