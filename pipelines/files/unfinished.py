"""Hidden folders and files of unfinished work, next to what they become. A killed process leaves them behind.

The process that fills a folder holds a lock on it, which the system releases when the process ends, however it ends.
"""

import os
import re
import shutil
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from pipelines.errors import UserError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

_SUFFIX = ".unfinished"
_SECONDS_TO_WAIT = 15.0
_held: dict[Path, int] = {}  # descriptors of locked folders, which the system closes
# A hidden name of ours, with what `mkstemp` adds.
_TEMPORARY = re.compile(r"\..+\.(json|jsonl|md|html)\.[a-z0-9_]{8}")


def locked_folder(path: Path) -> tuple[Path, int]:
    """Create a hidden folder next to `path`. Return it with its lock, a descriptor to close when the work ends."""
    while True:
        folder = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}.", suffix=_SUFFIX))
        descriptor = os.open(folder, os.O_RDONLY)
        with suppress(OSError):  # a file system without locks
            _lock(descriptor, wait=True)
        if folder.exists():  # else another process took it for an abandoned one before it was locked
            return folder, descriptor
        os.close(descriptor)


def remove_abandoned_folders(path: Path) -> None:
    """Remove the hidden folders next to `path` whose process has ended."""
    for folder in path.parent.iterdir():
        if not (folder.name.startswith(f".{path.name}.") and folder.name.endswith(_SUFFIX)) or folder.is_symlink():
            continue
        with suppress(OSError):  # locked by a process that lives, or not ours
            descriptor = os.open(folder, os.O_RDONLY)
            try:
                _lock(descriptor, wait=False)
                shutil.rmtree(folder)
            finally:
                os.close(descriptor)


def hold(folder: Path) -> None:
    """Lock `folder` for this process until it ends. Raises `UserError` if another one holds it, after a while: what a
    killed process started may live on for some seconds."""
    if folder.resolve() in _held:
        return
    descriptor, end = os.open(folder, os.O_RDONLY), time.monotonic() + _SECONDS_TO_WAIT
    while True:
        try:
            _lock(descriptor, wait=False)
        except BlockingIOError:
            if time.monotonic() > end:
                os.close(descriptor)
                raise UserError(
                    f"another process is writing to {folder}", "wait until it has ended, or choose another --output_dir"
                ) from None
            time.sleep(0.1)
            continue
        except OSError:  # a file system without locks
            os.close(descriptor)
            return
        _held[folder.resolve()] = descriptor
        return


def release(folder: Path) -> None:
    """Give back the lock on `folder`, if this process holds it."""
    if (descriptor := _held.pop(folder.resolve(), None)) is not None:
        os.close(descriptor)


def unfinished_files(folder: Path) -> list[Path]:
    """What processes that were killed in `write_text_atomically` left in `folder`; also the file of one that lives."""
    return [path for path in folder.glob(".*") if _TEMPORARY.fullmatch(path.name) and path.is_file()]


def _lock(descriptor: int, wait: bool) -> None:
    if fcntl is None:
        raise OSError("no locks on this system")
    fcntl.flock(descriptor, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
