"""Shutting a process in, from the inside and for good, before it sees a line of generated code."""

import os
import resource
import signal
from pathlib import Path
from typing import Any

from . import kernel
from .call_filter import forbid_calls
from .path_rules import forbid_paths

_N_OPEN_FILES = 32  # see `RunLimits.folder_bytes`
_SYSTEM_LIBRARIES = ("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/etc/ld.so.cache", "/usr/share/zoneinfo")


def confine(folder: str, libraries: list[str], limits: dict[str, Any], user: int | None) -> None:
    """Shut this process in: `folder` is its only place to write, `libraries` all it can read beside it.

    `limits` are those of a request, `user` the number to run under, None to stay who it is. Raises `OSError` where a
    protection cannot be had.
    """
    os.chdir(folder)
    _limit_resources(limits, user)
    kernel.forbid_new_privileges()
    forbid_paths(folder, [path for path in (*libraries, *_SYSTEM_LIBRARIES) if Path(path).exists()])
    if user is not None:
        change_user(user)
    kernel.die_with_parent(signal.SIGKILL)
    kernel.drop_capabilities()
    forbid_calls()


def change_user(user: int) -> None:
    """Become `user`, without groups, for good. Raises `OSError` where this process may not."""
    os.setgroups([])
    os.setresgid(user, user, user)
    os.setresuid(user, user, user)


def _limit_resources(limits: dict[str, Any], user: int | None) -> None:
    seconds = int(limits["seconds"]) + 1  # the clock on the wall strikes first, unless the watcher is held up
    bounds = {
        resource.RLIMIT_CPU: seconds,
        resource.RLIMIT_AS: limits["memory_bytes"],
        resource.RLIMIT_FSIZE: limits["file_bytes"],
        resource.RLIMIT_NOFILE: _N_OPEN_FILES,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_MSGQUEUE: 0,
        resource.RLIMIT_MEMLOCK: 0,
    }
    if user is not None:  # counted by user: the one who started us may have thousands
        bounds[resource.RLIMIT_NPROC] = limits["n_threads"]
    for kind, bound in bounds.items():
        hard = resource.getrlimit(kind)[1]
        bound = bound if hard == resource.RLIM_INFINITY else min(bound, hard)
        resource.setrlimit(kind, (bound, bound))
