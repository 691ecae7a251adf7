"""Proof that this machine shuts generated code in: harmless programs try what generated code must not be able to do."""

import os
import socket
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from pipelines.errors import UserError
from pipelines.evaluation.code_execution.limits import RunLimits
from pipelines.evaluation.code_execution.workers import Nursery, nurseries

_LIMITS = RunLimits(seconds=2.0, memory_bytes=256 * 2**20, file_bytes=2**20)
_SECONDS_OF_A_LOOP = 0.1
PROBE_FILE = "base2instruct-probe"


@dataclass(frozen=True)
class Probe:
    """What would be wrong with generated code, and a program that passes its test if and only if it is not so.

    A program that the kernel ends at the attempt is proof as well, unless `has_to_pass`.
    """

    fault: str
    answer: str
    has_to_pass: bool = False
    limits: RunLimits = _LIMITS


def refuse_unless_confined() -> None:
    """Return if every protection was seen to hold on this machine; tried once in a process.

    Raises `UserError` that names the first that does not.
    """
    failure = _tried()[0]
    if failure is not None:
        raise UserError(
            expected="a machine that can shut generated code in (Linux since 5.13, with Landlock and seccomp filters)",
            got=failure,
            remedy="leave --run_code off, or run it on such a machine (x86_64 or aarch64; most containers allow both)",
        )


def confinement() -> list[str]:
    """The mechanisms in force around generated code on this machine. Raises `UserError` as `refuse_unless_confined`."""
    refuse_unless_confined()
    return list(_tried()[1])


@cache
def _tried() -> tuple[str | None, tuple[str, ...]]:
    """What is missing, None if nothing; and the mechanisms in force."""
    if not hasattr(os, "pidfd_open"):
        return "an operating system without Landlock", ()
    with tempfile.TemporaryDirectory(prefix="probe-") as outside, nurseries(1) as workers:
        abilities = workers[0].abilities
        if not abilities["landlock"]:
            return "a kernel without Landlock", ()
        Path(outside).chmod(0o777)
        victim = Path(outside) / "victim.txt"
        victim.write_text("untouched")
        victim.chmod(0o666)
        for probe in probes_of(victim):
            failure = failure_of(workers[0], probe)
            if failure is not None:
                return failure, ()
        if victim.read_text() != "untouched" or list(Path(outside).iterdir()) != [victim]:
            return "code that could change files outside its folder", ()
    return None, _mechanisms(abilities)


def failure_of(worker: Nursery, probe: Probe) -> str | None:
    """What is missing if `probe` could do it, in words; None if it could not."""
    program = {"before": "", "answer": probe.answer, "setup": "", "tests": ["assert could_not"]}
    reply = worker.run(program | {"limits": probe.limits.to_json(), "guarded": False})
    if reply["outcome"] == "not confined":
        return f"a kernel that refused to shut code in ({reply['reason']})"
    if reply["passed"] or (reply["outcome"] == "denied" and not probe.has_to_pass):
        return None
    if probe.limits.seconds == _SECONDS_OF_A_LOOP and reply["outcome"] == "timeout":
        return None
    return f"code that {probe.fault} ({reply['outcome']}{' ' if reply['reason'] else ''}{reply['reason']})"


def probes_of(victim: Path) -> list[Probe]:
    """All probes; `victim` is a file that anyone may change, in a folder that anyone may write in."""
    own_variables = sorted(set(os.environ) - {"HOME", "TMPDIR"})
    inside = "import colorsys, os\nopen('inside.txt', 'w').write('x')\nos.remove('inside.txt')"
    return [
        Probe("could not do what it may", f"{inside}\ncould_not = True", has_to_pass=True),
        *[
            Probe("could change files outside its folder", _attempt(attempt), has_to_pass=True)
            for attempt in (
                f"open({str(victim)!r}, 'a').write('touched')",
                f"open({str(victim.parent / 'new.txt')!r}, 'w')",
                f"os.remove({str(victim)!r})",
                f"os.rename({str(victim)!r}, 'taken')",
                f"os.truncate({str(victim)!r}, 0)",
                f"os.chmod({str(victim)!r}, 0)",
                f"os.utime({str(victim)!r}, (0, 0))",
                f"os.link({str(victim)!r}, 'linked')",
                f"open('/dev/shm/{PROBE_FILE}', 'w')",
            )
        ],
        Probe("could read files outside its folder", _attempt(f"open({str(victim)!r}).read()"), has_to_pass=True),
        Probe(
            "could read its maker's environment",
            _attempt("open(f'/proc/{os.getppid()}/environ').read()"),
            has_to_pass=True,
        ),
        Probe(
            "could read the environment", f"import os\ncould_not = not set({own_variables!r}) & set(os.environ)", True
        ),
        Probe("could start processes", _attempt("os.fork() or os._exit(0)")),
        Probe("could start programs", _attempt("os.execv('/bin/true', ['true'])")),
        Probe("could signal other processes", _attempt("os.kill(os.getppid(), 0)")),
        *[
            Probe("could open sockets", _attempt(f"import _socket; _socket.socket({family}, {kind})"))
            for family in (int(socket.AF_INET), int(socket.AF_INET6), int(socket.AF_UNIX), int(socket.AF_NETLINK))
            for kind in (int(socket.SOCK_STREAM), int(socket.SOCK_DGRAM))
        ],
        Probe(
            "could take more memory", _attempt(f"bytearray({_LIMITS.memory_bytes})", "MemoryError"), has_to_pass=True
        ),
        Probe(
            "could write a large file",
            _attempt(f"open('big', 'wb').write(bytes({2 * _LIMITS.file_bytes}))"),
            has_to_pass=True,
        ),
        Probe("could run on", "while True: pass", limits=RunLimits(seconds=_SECONDS_OF_A_LOOP)),
    ]


def _attempt(statement: str, error: str = "OSError") -> str:
    return f"import os\ntry:\n    {statement}\n    could_not = False\nexcept {error}:\n    could_not = True"


def _mechanisms(abilities: dict[str, Any]) -> tuple[str, ...]:
    found = [
        "filter of system calls (seccomp): no new process, no socket, no signal to others",
        f"rules on paths (Landlock {abilities['landlock']}): writes in an empty folder, reads of the standard library",
        "limits on memory, processor time, file size and open files; the folder's size and the clock are watched",
        "no environment, no standard streams, no new privileges, no capabilities",
    ]
    if abilities["user"] is not None:
        found.append("a user of its own")
    if abilities["network"]:
        found.append("a network of its own without a way out")
    return tuple(found)
