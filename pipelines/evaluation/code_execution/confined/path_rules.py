"""The files that confined code may open (Landlock): its own folder, and the standard library to read. Nothing else."""

import errno
import os
import struct
from collections.abc import Iterable
from pathlib import Path

from .kernel import add_path_rule, create_ruleset, landlock_version, restrict_self

_WRITE_FILE, _READ_FILE, _READ_DIR = 1 << 1, 1 << 2, 1 << 3
_REMOVE_DIR, _REMOVE_FILE = 1 << 4, 1 << 5
_MAKE_DIR, _MAKE_REG = 1 << 7, 1 << 8
_TRUNCATE, _TRUNCATE_SINCE = 1 << 14, 3
# How many rights on files each version of the interface knows; every one of them is taken away at first.
_N_RIGHTS = {1: 13, 2: 14, 3: 15, 4: 15}
_N_RIGHTS_NOW = 16
_NETWORK_SINCE, _BIND_AND_CONNECT_TCP = 4, 0b11
_SCOPES_SINCE, _ABSTRACT_SOCKETS_AND_SIGNALS = 6, 0b11

_DEVICES = ("/dev/null", "/dev/zero", "/dev/urandom")


def forbid_paths(folder: str, libraries: Iterable[str]) -> None:
    """Leave this process `folder` to read, write, make and delete in, and `libraries` to read.

    Raises `OSError` where the kernel has no Landlock.
    """
    version = landlock_version()
    if version < 1:
        raise OSError(errno.ENOSYS, "no Landlock")
    handled = (1 << _N_RIGHTS.get(version, _N_RIGHTS_NOW)) - 1
    attributes = struct.pack("=Q", handled)
    if version >= _NETWORK_SINCE:
        attributes += struct.pack("=Q", _BIND_AND_CONNECT_TCP)
    if version >= _SCOPES_SINCE:
        attributes += struct.pack("=Q", _ABSTRACT_SOCKETS_AND_SIGNALS)
    ruleset = create_ruleset(attributes)
    own = _READ_FILE | _WRITE_FILE | _READ_DIR | _REMOVE_DIR | _REMOVE_FILE | _MAKE_DIR | _MAKE_REG
    _allow(ruleset, folder, own | (_TRUNCATE if version >= _TRUNCATE_SINCE else 0))
    for path in libraries:
        _allow(ruleset, path, _READ_FILE | (_READ_DIR if Path(path).is_dir() else 0))
    for path in _DEVICES:
        _allow(ruleset, path, _READ_FILE | (_WRITE_FILE if path == os.devnull else 0))
    restrict_self(ruleset)
    os.close(ruleset)


def _allow(ruleset: int, path: str, access: int) -> None:
    descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    add_path_rule(ruleset, access, descriptor)
    os.close(descriptor)
