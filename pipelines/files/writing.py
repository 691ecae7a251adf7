"""Writing so that a file is whole or absent: temporary file, fsync, rename."""

import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from pipelines.errors import UserError


def write_text_atomically(path: Path, text: str, mode: int = 0o644) -> None:
    """Write `text` as UTF-8; a reader sees the old file or the whole new one, also after a crash."""
    with _place_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", errors="surrogatepass", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, mode)  # mkstemp's 0600 would keep a record from a colleague
        with _place_errors(path):
            os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def write_json_atomically(path: Path, value: Any) -> None:
    """Write `value` as indented JSON. NaN and infinity are refused: no JSON reader but Python's takes them."""
    write_text_atomically(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def write_jsonl_atomically(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write one JSON object on each line."""
    write_text_atomically(path, "".join(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n" for row in rows))


def refuse_existing(path: Path, remedy: str = "choose another --output") -> None:
    """Raise `UserError` if `path` exists and is not an empty folder: nothing is ever overwritten unasked."""
    if path.is_file():
        raise UserError(expected=f"no file at {path}", got="one that exists", remedy=remedy)
    if path.is_dir() and any(path.iterdir()):
        raise UserError(expected=f"{path} to be new or empty", got="existing files there", remedy=remedy)


def refuse_unwritable(path: Path) -> None:
    """Raise `UserError` if no file can be made in a folder at `path`. Folders made for the test are removed."""
    missing = [folder for folder in (path, *path.parents) if not folder.exists()]
    with _place_errors(path):
        try:
            path.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=path):
                pass
        finally:
            for folder in missing:
                with suppress(OSError):  # never made, or in use by another process already
                    folder.rmdir()


@contextmanager
def _place_errors(path: Path) -> Iterator[None]:
    """Errors of the file system as one-line `UserError`s that name `path`, as the user wrote it."""
    try:
        yield
    except OSError as error:
        reason = str(error.strerror or error).lower()
        if isinstance(error, FileExistsError | NotADirectoryError):
            reason = "a part of it is a file"
        raise UserError(
            expected=f"a place to write at {path}",
            got=reason,
            remedy="choose another place",
            message=f"cannot write {path}: {reason}; choose another place",
        ) from error


@contextmanager
def fresh_folder(path: Path, overwrite: bool = False) -> Iterator[Path]:
    """Yield a hidden sibling folder to fill; it becomes `path` when the block ends well and vanishes otherwise.

    Raises `UserError` if `path` holds files already and `overwrite` is false, and if nothing can take its place.
    """
    if not overwrite:
        refuse_existing(path, remedy="choose another --output or add --overwrite")
    if path.is_symlink() or path.is_mount() or path.absolute() == Path.cwd():
        raise UserError(
            expected=f"a folder at {path} that another can replace",
            got="a link, a mount point or the folder that this was started in",
            remedy="name a new folder inside it",
        )
    with _place_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}."))
    try:
        yield temporary
        os.chmod(temporary, 0o755)
        if path.exists():
            shutil.rmtree(path)
        os.replace(temporary, path)
    finally:
        if temporary.exists():
            shutil.rmtree(temporary)
