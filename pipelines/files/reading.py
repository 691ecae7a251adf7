"""Reading text, JSON and JSONL: what cannot be read is a one-line `UserError` that names the file and the line."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pipelines.errors import UserError


def read_text(path: Path) -> str:
    """The file's text. Raises `UserError` if it is missing, is a folder, or is not UTF-8."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except (FileNotFoundError, IsADirectoryError, PermissionError) as error:
        raise UserError(
            expected=f"a readable file at {path}", got=str(error.strerror).lower(), remedy="check the path"
        ) from error
    except UnicodeDecodeError as error:
        raise UserError(
            expected=f"UTF-8 text in {path}",
            got=f"byte 0x{error.object[error.start]:02x} at offset {error.start}",
            remedy="convert it first, for example `iconv -f latin1 -t utf-8`",
        ) from error


def refuse_missing(**paths: Path | None) -> None:
    """Raise `UserError` for the first of a program's flags whose path does not exist; None is a flag that is not set.

    For before the heavy imports: reading them says more.
    """
    for flag, path in paths.items():
        if path is not None and not path.exists():
            raise UserError(expected=f"an existing path for --{flag}", got=f"{path}", remedy="check the path")


def is_utf8(text: str) -> bool:
    """Whether UTF-8 can hold `text`: not with half of a surrogate pair in it, which JSON can write."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def read_json(path: Path) -> Any:
    """The file's JSON value. Raises `UserError` with the line of the first mistake."""
    return _parse(read_text(path), path, first_line=1)


def read_jsonl(path: Path) -> Iterator[dict[str, Any]]:
    """The objects of a JSON-lines file, in order; blank lines are passed over."""
    for number, line in enumerate(read_text(path).split("\n"), start=1):
        if line.strip():
            value = _parse(line, path, first_line=number)
            if not isinstance(value, dict):
                raise UserError(
                    expected=f"one JSON object on each line of {path}",
                    got=f"a {type(value).__name__} on line {number}",
                    remedy="write each row as {...} on a line of its own",
                )
            yield value


def _parse(text: str, path: Path, first_line: int) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise UserError(
            expected=f"valid JSON in {path}",
            got=f"{error.msg.lower()} on line {first_line + error.lineno - 1}, column {error.colno}",
            remedy="mend that line",
        ) from error
