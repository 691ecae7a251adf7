"""Atomic writes: temporary file, fsync, rename. A file is whole or absent."""

import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from pipelines.errors import UserError
from pipelines.files.unfinished import locked_folder, remove_abandoned_folders


def give_umask_mode(path: Path, mode: int | None = None) -> None:
    """Give the file or folder at `path`, made as readable for its owner only, the mode of any other new one, or `mode`:
    a server or a colleague may be another user."""
    if mode is None:
        umask = os.umask(0o077)  # the only way to read it is to set it
        os.umask(umask)
        mode = (0o777 if path.is_dir() else 0o666) & ~umask
    os.chmod(path, mode)


def write_text_atomically(path: Path, text: str, mode: int | None = None) -> None:
    """Write `text` as UTF-8, in a file with the umask's mode or `mode`. A reader sees the old file or the whole new
    one, even after a crash."""
    with _place_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", errors="surrogatepass", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        give_umask_mode(Path(temporary), mode)
        with _place_errors(path):
            os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def write_json_atomically(path: Path, value: Any) -> None:
    """Write `value` as indented JSON. Raises `ValueError` for NaN and infinity, which only Python's reader accepts."""
    write_text_atomically(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def write_jsonl_atomically(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write one JSON object on each line."""
    write_text_atomically(path, "".join(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n" for row in rows))


def refuse_existing(path: Path, fix: str = "choose another --output") -> None:
    """Raise `UserError` if `path` exists and is not an empty folder: nothing is overwritten by default."""
    if path.is_file():
        raise UserError(f"{path} exists", fix)
    if path.is_dir() and any(path.iterdir()):
        raise UserError(f"the folder {path} is not empty", fix)


def refuse_unwritable(path: Path) -> None:
    """Raise `UserError` if no file can be created in a folder at `path`. Folders made for the test are removed."""
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
    """Turn errors of the file system into a `UserError` that names `path` as the user wrote it."""
    try:
        yield
    except OSError as error:
        reason = str(error.strerror or error).lower()
        if isinstance(error, FileExistsError | NotADirectoryError):
            reason = "a part of it is a file"
        raise UserError(f"cannot write {path}: {reason}", "choose another path") from error


@contextmanager
def fresh_folder(path: Path, overwrite: bool = False) -> Iterator[Path]:
    """Yield a hidden sibling folder to fill; it is renamed to `path` if the block succeeds and removed if it fails.

    Removes such folders that killed processes left. Raises `UserError` if `path` holds files and `overwrite` is false,
    or if `path` cannot be replaced.
    """
    if not overwrite:
        refuse_existing(path, "choose another --output or add --overwrite")
    if path.is_symlink() or path.is_mount() or path.absolute() == Path.cwd():
        problem = f"{path} cannot be replaced: it is a link, a mount point or the current folder"
        raise UserError(problem, "name a new folder inside it")
    with _place_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        remove_abandoned_folders(path)
        temporary, lock = locked_folder(path)
    try:
        yield temporary
        give_umask_mode(temporary)
        _replace_folder(path, temporary)
    finally:
        if temporary.exists():
            shutil.rmtree(temporary)
        os.close(lock)


def _replace_folder(path: Path, new: Path) -> None:
    """Rename `new` to `path`. An old folder there is whole until it is renamed too, and deleted last."""
    if not path.exists():
        os.replace(new, path)
        return
    old, lock = locked_folder(path)
    try:
        os.replace(path, old / path.name)
        os.replace(new, path)
    finally:
        shutil.rmtree(old)
        os.close(lock)
