"""Run a program in a sandbox: bubblewrap (`bwrap`) for files, network and processes, resource limits for the rest.

Inside are Python with its standard library, read-only, and an empty /tmp in memory: no home folder, no /proc, no
environment, no network, no other processes. Its contents are deleted when the program ends.
"""

import contextlib
import errno
import marshal
import os
import platform
import secrets
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from functools import cache
from pathlib import Path

from pipelines.errors import UserError

_RUNNER = Path(__file__).with_name("runner.py").read_text(encoding="utf-8")
_SYSTEM_LIBRARIES = ("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/etc/ld.so.cache", "/usr/share/zoneinfo")
_DEVICES = ("/dev/null", "/dev/zero", "/dev/urandom")
_DENIED_STATUS = 3  # as in runner.py
_FIX = "allow user namespaces here (containers often forbid them), or leave --run_code off"
_SECONDS_OF_GRACE = 5.0  # to start the sandbox, and for code that ignores its alarm
_MAX_REASON_CHARACTERS = 300
# Users without an account: systemd reserves none of these numbers. One for each worker, since the kernel counts
# threads by user.
_FIRST_USER, _N_USERS = 60_706, 400
# For each processor its number, that of clone (refused unless it starts a thread: memory is limited by process), and
# other calls that no answer needs: ptrace, process_vm_readv, process_vm_writev, pidfd_getfd, unshare, setns, mount,
# bpf, io_uring_setup, keyctl, userfaultfd, perf_event_open, and on x86_64 fork and vfork.
# Numbers: Linux, arch/x86/entry/syscalls/syscall_64.tbl and include/uapi/asm-generic/unistd.h.
_REFUSED_CALLS = {
    "x86_64": (0xC000003E, 56, (101, 310, 311, 438, 272, 308, 165, 321, 425, 250, 323, 298, 57, 58)),
    "aarch64": (0xC00000B7, 220, (117, 270, 271, 438, 97, 268, 40, 280, 425, 219, 282, 241)),
}
_CLONE3, _CLONE_THREAD = 435, 0x10000


@dataclass(frozen=True)
class RunLimits:
    """Limits for one answer and its tests together."""

    seconds: float = 5.0  # wall clock, and processor time rounded up to whole seconds plus one
    memory_bytes: int = 512 * 2**20  # address space; the interpreter itself takes 60 MB of it
    file_bytes: int = 16 * 2**20  # of one file
    folder_bytes: int = 64 * 2**20  # of all files in /tmp, which is in memory
    n_threads: int = 16


class Outcome(StrEnum):
    """How a run ended."""

    PASSED = "passed"
    RAN = "ran"  # there were no tests
    WRONG = "wrong"  # an assertion of a test failed
    ERROR = "error"
    NO_CODE = "no code"
    TIMEOUT = "timeout"
    MEMORY = "memory"
    FILES = "files"
    DENIED = "denied"
    CRASHED = "crashed"
    ENDED = "ended early"


@dataclass(frozen=True)
class RunResult:
    """The result of one answer. `runs`: its code raised nothing; `passes_tests`: None if there are no tests. `reason`
    is short and printable; part of it can be the generated code's own words."""

    runs: bool
    passes_tests: bool | None
    outcome: Outcome
    reason: str = ""
    seconds: float = 0.0


def run_sources(sources: Mapping[str, str], limits: RunLimits, worker: int = 0) -> RunResult:
    """Run `sources` one after the other in one namespace in a new sandbox: "answer", and tests named "test N". Workers
    that run at the same time have different numbers. Raises `UserError` if the sandbox does not start."""
    tokens = {name: secrets.token_hex(16) for name in ("ran", "passed")}
    user = _FIRST_USER + (os.getpid() + worker) % _N_USERS if os.geteuid() == 0 else None
    request = marshal.dumps({"sources": dict(sources), "tokens": tokens, "limits": asdict(limits), "user": user})
    began = time.monotonic()
    status, errors = None, b""
    with tempfile.TemporaryFile() as report_file, os.fdopen(os.memfd_create("filter"), "w+b") as call_filter:
        call_filter.write(_call_filter())
        call_filter.seek(0)
        command = _bwrap_command(limits, call_filter.fileno())
        with contextlib.suppress(subprocess.TimeoutExpired):  # then bwrap is killed, and the sandbox with it
            done = subprocess.run(
                command,
                input=request,
                stdout=report_file,
                stderr=subprocess.PIPE,
                pass_fds=[call_filter.fileno()],
                timeout=limits.seconds + _SECONDS_OF_GRACE,
                check=False,
            )
            status, errors = done.returncode, done.stderr
        report_file.seek(0)
        report = report_file.read()
    seconds = round(time.monotonic() - began, 4)
    if errors and not report.startswith(b"started\n"):  # generated code cannot write errors
        last_line = errors.decode(errors="replace").strip().splitlines()[-1]
        raise UserError(f"bwrap did not start the sandbox: {last_line}", _FIX)
    ran, passed = (f"{token}\n".encode() in report for token in tokens.values())
    has_tests = any(name.startswith("test") for name in sources)
    if passed and status == 0:
        return RunResult(True, has_tests or None, Outcome.PASSED if has_tests else Outcome.RAN, seconds=seconds)
    message = report.rpartition(b"\n")[2].decode(errors="replace")
    reason = "".join(c if c.isprintable() else " " for c in message)[:_MAX_REASON_CHARACTERS]
    return RunResult(ran, False if has_tests else None, *_ending(status, reason), seconds)


def _ending(status: int | None, reason: str) -> tuple[Outcome, str]:
    """Return the outcome and the reason of code that did not come to its end. bwrap's exit status for a signal is 128
    and the signal. The reason begins with the name of the exception."""
    ended_by = (status or 0) - 128
    if status is None or ended_by == signal.SIGALRM:
        return Outcome.TIMEOUT, reason
    if ended_by == signal.SIGXCPU:
        return Outcome.TIMEOUT, "processor time"
    if ended_by > 0:
        return Outcome.CRASHED, signal.strsignal(ended_by) or "" if ended_by < signal.NSIG else f"exit status {status}"
    name = reason.split(" ")[0]
    if status == _DENIED_STATUS or name == "PermissionError":
        return Outcome.DENIED, reason
    if name == "AssertionError" and (" in test " in reason or " in setup" in reason):
        return Outcome.WRONG, reason
    if name == "OSError" and reason.endswith((os.strerror(errno.EFBIG), os.strerror(errno.ENOSPC))):
        return Outcome.FILES, reason
    return {"MemoryError": Outcome.MEMORY, "": Outcome.ENDED, "ended": Outcome.ENDED}.get(name, Outcome.ERROR), reason


def _bwrap_command(limits: RunLimits, call_filter: int) -> list[str]:
    """Return the command; the filter of system calls is read from the descriptor `call_filter`."""
    executable = str(Path(getattr(sys, "_base_executable", sys.executable)).resolve())
    prefix = Path(sys.base_prefix).resolve()
    read_only = [*_SYSTEM_LIBRARIES, str(prefix / "lib"), str(prefix / "lib64"), executable]
    read_only = [path for path in dict.fromkeys(read_only) if Path(path).exists()]
    # Without --dir, bwrap makes them accessible to their owner only.
    parents = dict.fromkeys(str(one) for path in [*read_only, *_DEVICES] for one in [*Path(path).parents][-2::-1])
    binds = [part for parent in parents for part in ("--dir", parent)]
    binds += [part for path in read_only for part in ("--ro-bind", path, path)]
    binds += [part for path in _DEVICES for part in ("--dev-bind", path, path)]
    # Root keeps its user namespace and becomes another user inside: the kernel does not limit root's threads.
    rights = ["--unshare-user"]
    if os.geteuid() == 0:
        rights = ["--cap-drop", "ALL", "--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"]
    return [
        "bwrap", *rights, "--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts", "--unshare-cgroup-try",
        "--die-with-parent", "--new-session", "--hostname", "sandbox", "--seccomp", str(call_filter),
        *binds, "--perms", "1777", "--size", str(limits.folder_bytes), "--tmpfs", "/tmp",
        "--remount-ro", "/", "--chdir", "/tmp", "--clearenv", "--setenv", "HOME", "/tmp",
        # One arena keeps the C library from reserving address space for every thread.
        "--setenv", "MALLOC_ARENA_MAX", "1", executable, "-I", "-S", "-B", "-c", _RUNNER,
    ]  # fmt: skip


def _call_filter() -> bytes:
    """Return the filter of system calls: a classic BPF program over `struct seccomp_data`; refused is EPERM."""
    architecture, clone, refused = _REFUSED_CALLS[platform.machine()]
    load, is_equal, is_at_least, has_bit, give = 0x20, 0x15, 0x35, 0x45, 0x06
    allow, refuse, is_missing, kill = 0x7FFF0000, 0x00050001, 0x00050026, 0x80000000
    program = [(load, 0, 0, 4), (is_equal, 1, 0, architecture), (give, 0, 0, kill), (load, 0, 0, 0)]
    # On x86_64, numbers from 2**30 are the same calls in the x32 interface.
    program += [(is_at_least, 0, 1, 2**30), (give, 0, 0, kill)]
    # The flags of clone3 are in memory, which no filter sees; without it the C library uses clone.
    program += [(is_equal, 0, 1, _CLONE3), (give, 0, 0, is_missing)]
    program += [one for number in refused for one in ((is_equal, 0, 1, number), (give, 0, 0, refuse))]
    program += [(is_equal, 0, 3, clone), (load, 0, 0, 16), (has_bit, 1, 0, _CLONE_THREAD), (give, 0, 0, refuse)]
    return b"".join(struct.pack("=HBBI", *one) for one in [*program, (give, 0, 0, allow)])


_PROBE = """
import os, socket, threading, time
possible = []
def attempt(what, action):
    try:
        action()
    except (OSError, RuntimeError):
        return
    possible.append(what)
def start_threads():
    for _ in range({n_threads}):
        threading.Thread(target=time.sleep, args=(0.5,), daemon=True).start()
attempt("read files of this machine", lambda: open("/etc/passwd"))
attempt("write outside /tmp", lambda: open("/written", "w"))
attempt("see other processes", lambda: os.listdir("/proc"))
attempt("reach the network", lambda: socket.create_connection(("127.0.0.1", {port})))
attempt("start processes", os.fork)
attempt("start any number of threads", start_threads)
if set(os.environ) - {{"HOME", "MALLOC_ARENA_MAX", "PWD", "LC_CTYPE"}}:
    possible.append("read the environment")
"""


@cache
def refuse_unless_sandboxed() -> None:
    """Return if programs can be run in the sandbox on this machine; tried once in a process. Raises `UserError` if
    bwrap is not installed, is not allowed to create namespaces, or does not isolate."""
    if not sys.platform.startswith("linux") or platform.machine() not in _REFUSED_CALLS:
        system = f"{platform.system()} on {platform.machine()}"
        raise UserError(f"--run_code needs Linux on x86_64 or aarch64, this is {system}", "leave out --run_code")
    if shutil.which("bwrap") is None:
        install = "install it: apt install bubblewrap, dnf install bubblewrap or pacman -S bubblewrap"
        raise UserError("--run_code needs bubblewrap, and bwrap is not installed", install)
    limits = RunLimits()
    with socket.create_server(("127.0.0.1", 0)) as server:
        probe = _PROBE.format(port=server.getsockname()[1], n_threads=limits.n_threads + 1)
        result = run_sources({"answer": probe, "test": "assert not possible, ', '.join(possible)"}, limits)
    if not result.passes_tests:
        raise UserError(f"bwrap does not isolate programs on this machine: {result.reason}", _FIX)


def sandbox_description() -> list[str]:
    """Return what isolates the answers, for the record."""
    version = subprocess.run(["bwrap", "--version"], capture_output=True, text=True, check=True).stdout.strip()
    return [
        f"{version}: own namespaces for files, network, processes and IPC; no network, no /proc, no home folder",
        "read-only Python with its standard library; an empty /tmp in memory; no environment",
        "limits on memory, processor and wall time, file size, open files and threads",
        "system calls for new processes, others' memory, namespaces and kernel internals are refused (seccomp)",
    ]
