"""A small process that forks one confined child for each request, watches it, ends it and tidies up after it.

One request a line on the standard input, one reply a line on the standard output, both JSON:

    {"before", "answer", "setup", "tests": [...], "limits": {...}, "guarded": true}
    {"ran", "passed", "outcome", "reason", "seconds"}

It holds nothing secret and starts fast: it has no environment, no module but the standard library, and, as the
superuser, a network of its own. Generated code runs in its children only.
"""

import contextlib
import json
import os
import select
import signal
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

from .confinement import change_user, confine
from .guard import guard
from .kernel import landlock_version, leave_network
from .scratch import empty_folder, too_full
from .verdict import judge

_VERDICT = 3
_FIRST_LIBRARY = 10
_LONGEST_REPORT = 4096
_SECONDS_BETWEEN_LOOKS = 0.05
# A user whom nobody is: systemd reserves none of these, and a system's own accounts end far below.
_FIRST_USER, _N_USERS = 60_706, 400
_DENIED = 3


def main(folder: str) -> None:
    """Serve requests until the input ends; children work in `folder`, which has to be empty."""
    folder = os.path.realpath(folder)
    os.environ.clear()
    # Without a home, Python asks the system for one, by a socket; temporary files go where any file goes.
    os.environ.update(HOME=folder, TMPDIR=folder)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    user = _user_of_its_own(folder)
    libraries = _reach_libraries_by_descriptor()
    network_left = leave_network()
    print(json.dumps({"landlock": landlock_version(), "network": network_left, "user": user}), flush=True)
    for line in sys.stdin:
        print(json.dumps(_run(json.loads(line), folder, libraries, user)), flush=True)


def _user_of_its_own(folder: str) -> int | None:
    """A user for the children, now the owner of `folder`; None where this process may not change to another."""
    user = _FIRST_USER + os.getpid() % _N_USERS
    trial = os.fork()
    if trial == 0:
        try:
            change_user(user)
            os._exit(0)
        finally:
            os._exit(1)
    if os.waitpid(trial, 0)[1] != 0:
        return None
    try:
        os.chown(folder, user, user)
    except OSError:
        return None
    if os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        return user
    os.chown(folder, os.getuid(), os.getgid())  # a superuser without all rights could not tidy up a stranger's folder
    return None


def _reach_libraries_by_descriptor() -> list[str]:
    """Have the standard library imported through open descriptors, and return where it lies.

    A Python in a home folder is out of reach for the children's user; a descriptor opened before leads past that.
    """
    found = [path for path in sys.path if Path(path).is_dir()]
    sys.path[:] = []
    for number, path in enumerate(found, _FIRST_LIBRARY):
        opened = os.open(path, os.O_PATH)
        os.dup2(opened, number)
        os.close(opened)
        sys.path.append(f"/proc/self/fd/{number}")
    for module in list(sys.modules.values()):
        for place, path in enumerate(getattr(module, "__path__", [])):
            for number, library in enumerate(found, _FIRST_LIBRARY):
                if path.startswith(library + "/"):
                    module.__path__[place] = f"/proc/self/fd/{number}{path[len(library) :]}"
                    break
    sys.path_importer_cache.clear()
    return found


def _run(request: dict[str, Any], folder: str, libraries: list[str], user: int | None) -> dict[str, Any]:
    tokens = {name: os.urandom(16).hex().encode() for name in ("ran", "passed", "not confined")}
    reading, writing = os.pipe()
    began = time.monotonic()
    child = os.fork()
    if child == 0:
        _live(request, tokens, writing, folder, libraries, user)
    os.close(writing)
    report, stopped_for, status = _watch(child, reading, folder, request["limits"])
    os.close(reading)
    empty_folder(Path(folder))
    reply = _reply(tokens, report, stopped_for, status)
    return reply | {"seconds": round(time.monotonic() - began, 4)}


def _live(
    request: dict[str, Any],
    tokens: dict[str, bytes],
    writing: int,
    folder: str,
    libraries: list[str],
    user: int | None,
) -> None:
    """The child's whole life; it does not return."""
    write, end = os.write, os._exit
    try:
        os.setsid()
        nowhere = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(nowhere, stream)
        os.dup2(writing, _VERDICT)
        os.closerange(_VERDICT + 1, _FIRST_LIBRARY)
        os.closerange(_FIRST_LIBRARY + len(sys.path), os.sysconf("SC_OPEN_MAX"))
        try:
            confine(folder, libraries, request["limits"], user)
        except OSError as error:
            write(_VERDICT, tokens["not confined"] + str(error.strerror).encode())
            end(1)

        for name in [name for name in sys.modules if name.partition(".")[0] in ("confined", "ctypes", "_ctypes")]:
            del sys.modules[name]
        if request["guarded"]:
            guard(folder, _VERDICT, _DENIED)
        judge(request, tokens, partial(write, _VERDICT))
    finally:
        end(1)


def _watch(child: int, reading: int, folder: str, limits: dict[str, Any]) -> tuple[bytes, str | None, int]:
    """What the child reported, what it was stopped for, and how it ended; it is gone when this returns."""
    report, stopped_for = b"", None
    deadline = time.monotonic() + limits["seconds"]
    next_look = time.monotonic() + _SECONDS_BETWEEN_LOOKS
    ended = os.pidfd_open(child)
    waiting = select.poll()
    for descriptor in (reading, ended):
        waiting.register(descriptor, select.POLLIN)
    while stopped_for is None:
        ready = {descriptor for descriptor, _ in waiting.poll(1000 * _SECONDS_BETWEEN_LOOKS)}
        if reading in ready:
            piece = os.read(reading, _LONGEST_REPORT)
            report += piece
            if not piece:  # closed, but perhaps by code that goes on running
                waiting.unregister(reading)
        elif ended in ready:
            break
        if len(report) > _LONGEST_REPORT:
            stopped_for = "denied"
        elif time.monotonic() > deadline:
            stopped_for = "timeout"
        elif time.monotonic() > next_look:
            next_look = time.monotonic() + _SECONDS_BETWEEN_LOOKS
            stopped_for = "files" if too_full(folder, limits["folder_bytes"], limits["n_files"]) else None
    os.close(ended)
    for kill in (os.kill, os.killpg):  # not yet waited for, so the number is still its own
        with contextlib.suppress(ProcessLookupError):
            kill(child, signal.SIGKILL)
    return report, stopped_for, os.waitpid(child, 0)[1]


def _reply(tokens: dict[str, bytes], report: bytes, stopped_for: str | None, status: int) -> dict[str, Any]:
    ran, passed, not_confined = (tokens[name] in report for name in ("ran", "passed", "not confined"))
    for token in tokens.values():
        report = report.replace(token, b"")
    words = "".join(c if c.isprintable() else " " for c in report.decode(errors="replace"))[:300]
    found = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
    exit_status = os.waitstatus_to_exitcode(status)
    if stopped_for is not None:
        return {"ran": ran, "passed": False, "outcome": stopped_for, "reason": words}
    if found == signal.SIGXCPU:
        return {"ran": ran, "passed": False, "outcome": "timeout", "reason": "processor time"}
    if found == signal.SIGSYS or exit_status == _DENIED:
        return {"ran": False, "passed": False, "outcome": "denied", "reason": words or "a forbidden system call"}
    if not_confined:
        return {"ran": False, "passed": False, "outcome": "not confined", "reason": words}
    if found:
        return {"ran": ran, "passed": False, "outcome": "crashed", "reason": signal.strsignal(found) or ""}
    return {"ran": ran, "passed": passed and exit_status == 0, "outcome": "ended", "reason": words}
