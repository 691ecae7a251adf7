"""A disk that is soon full: a tmpfs of its own, or a limit on the size of each file."""

import resource
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def small_disk(n_bytes: int, place: Path) -> Iterator[Path]:
    """A tmpfs of `n_bytes`, mounted over the folder `place` in a namespace of its own, whose root anybody can enter."""
    place.mkdir()
    command = 'mount -t tmpfs -o size="$1" none "$2" && echo mounted && exec sleep 600'
    try:
        holder = subprocess.Popen(
            ["unshare", "--map-root-user", "--mount", "sh", "-c", command, "sh", str(n_bytes), str(place)],
            stdout=subprocess.PIPE,
            text=True,
        )
    except FileNotFoundError:
        pytest.skip("no unshare on this system")
    try:
        assert holder.stdout is not None
        if holder.stdout.readline() != "mounted\n":
            pytest.skip("this system lets no user mount a tmpfs in a namespace")
        yield Path(f"/proc/{holder.pid}/root{place}")
    finally:
        holder.kill()
        holder.communicate()


@contextmanager
def no_larger_files(n_bytes: int) -> Iterator[None]:
    """No file of this process can be larger: the system refuses the write, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # as Python begins; without it the process is ended
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
