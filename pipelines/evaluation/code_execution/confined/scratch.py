"""The children's folder: how full it is, and emptying it, whatever was built in it."""

import os
from pathlib import Path

_BLOCK_BYTES = 512  # of st_blocks, whatever the file system's own


def too_full(folder: str, max_bytes: int, max_files: int) -> bool:
    """Whether what is in `folder` takes more than `max_bytes` on the disk, or is more than `max_files` entries."""
    n_bytes = n_files = 0
    left = [folder]
    while left:
        try:
            entries = list(os.scandir(left.pop()))
        except FileNotFoundError:  # removed since
            continue
        except OSError:  # nested deeper than a path can say, or made unreadable
            return True
        for entry in entries:
            n_files += 1
            try:
                if entry.is_dir(follow_symlinks=False):
                    left.append(entry.path)
                else:
                    n_bytes += _BLOCK_BYTES * entry.stat(follow_symlinks=False).st_blocks
            except FileNotFoundError:
                continue
            except OSError:  # its folder's path can be said, its own cannot
                return True
        if n_bytes > max_bytes or n_files > max_files:
            return True
    return False


def empty_folder(folder: Path) -> None:
    """Remove all that is in `folder`. Folders are lifted to the top first: no path gets long, nothing recurses."""
    folder.chmod(0o700)
    while entries := list(folder.iterdir()):
        for entry in entries:
            if entry.is_symlink() or not entry.is_dir():
                entry.unlink()
                continue
            entry.chmod(0o700)
            for inner in entry.iterdir():
                if inner.is_dir() and not inner.is_symlink():
                    inner.chmod(0o700)  # only who may write in a folder may move it
                inner.rename(folder / os.urandom(16).hex())
            entry.rmdir()
