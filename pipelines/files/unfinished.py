"""Hidden folders and files of unfinished work, next to what they become. A killed process leaves them behind.

The process that fills a folder holds a lock on it, which the system releases when the process ends, however it ends.
"""

import os
import re
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

_SUFFIX = ".unfinished"
_TEMPORARY = re.compile(r"\..+\.[a-z0-9_]{8}")  # a hidden name, with what `mkstemp` adds


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


def unfinished_files(folder: Path) -> list[Path]:
    """What processes that were killed in `write_text_atomically` left in `folder`; also the file of one that lives."""
    return [path for path in folder.glob(".*") if _TEMPORARY.fullmatch(path.name)]


def _lock(descriptor: int, wait: bool) -> None:
    if fcntl is None:
        raise OSError("no locks on this system")
    fcntl.flock(descriptor, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
