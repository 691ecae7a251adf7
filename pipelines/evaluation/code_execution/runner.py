"""Run one answer and its tests inside the sandbox, and report on descriptor 3 how far they got.

`sandbox` passes this source to `python -c`: nothing of the project is visible in there.

The verdict is a token that only the caller knows. The code runs as a chain of C calls (`map`, `operator.call`), whose
last links write the token and end the process: no Python frame holds the token, and an early end (an exception,
`sys.exit`, `os._exit`) never reaches the link that writes it. An audit hook (PEP 578) ends the process when code
searches the heap, other frames or raw memory for it. This holds against wrong code, whatever it prints or raises, and
against the known ways to look for a verdict. It does not protect against code written to attack this interpreter
(crafted bytecode, say): such code could report a pass, but it stays in the sandbox.
"""

from __future__ import annotations

import collections
import marshal
import operator
import os
import resource
import signal
import sys
import types
from functools import partial

TYPE_CHECKING = False  # as in typing, whose import takes a tenth of a run
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

_REPORT = 3
_DENIED_STATUS = 3
_STACK_BYTES = 64 * 2**20  # deep recursion is a legitimate answer
_N_OPEN_FILES = 32
_OWN_SOURCES = ("<before>", "<answer>", "<setup>", "<test ")
_FORBIDDEN_EVENTS = {
    "gc.get_objects", "gc.get_referrers", "gc.get_referents", "sys._current_frames", "sys._current_exceptions",
    "sys.settrace", "sys.setprofile", "sys.addaudithook", "sys.monitoring.register_callback", "sys.remote_exec",
    "cpython.PyInterpreterState_New",
}  # fmt: skip


def main() -> None:
    """Read a request (marshal) from standard input, run it, and end the process."""
    request = marshal.loads(sys.stdin.buffer.read())
    _limit(request["limits"], request["user"])
    os.dup2(1, _REPORT, inheritable=False)
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nowhere, stream)
    os.write(_REPORT, b"started\n")
    module = types.ModuleType("answer")
    sys.modules["answer"] = sys.modules["__main__"] = module
    try:
        steps = _steps(request.pop("sources"), request.pop("tokens"), module.__dict__)
        sys.addaudithook(_audit_hook())
        collections.deque(map(operator.call, _given_away(steps)), 0)
    except BaseException as error:  # noqa: BLE001  also SystemExit: reported, then this process ends
        os.write(_REPORT, f"\n{_reason(error)}".encode(errors="replace"))
    finally:
        os._exit(1)


def _limit(limits: dict[str, Any], user: int | None) -> None:
    """Set resource limits for good; started by root, become `user` first: the kernel does not limit root's threads.
    Code may ignore the alarm. Then the caller's clock ends it."""
    if user is not None:
        os.setgroups([])
        os.setresgid(user, user, user)
        os.setresuid(user, user, user)
    bounds = {
        resource.RLIMIT_CPU: int(limits["seconds"]) + 1,
        resource.RLIMIT_AS: limits["memory_bytes"],
        resource.RLIMIT_STACK: _STACK_BYTES,
        resource.RLIMIT_FSIZE: limits["file_bytes"],
        resource.RLIMIT_NOFILE: _N_OPEN_FILES,
        resource.RLIMIT_NPROC: limits["n_threads"],
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_MSGQUEUE: 0,
        resource.RLIMIT_MEMLOCK: 0,
    }
    for kind, bound in bounds.items():
        hard = resource.getrlimit(kind)[1]
        soft = bound if hard == resource.RLIM_INFINITY else min(bound, hard)
        # At the hard limit of processor time the kernel kills without saying why.
        resource.setrlimit(kind, (soft, soft + 1 if kind == resource.RLIMIT_CPU and soft == bound else soft))
    signal.setitimer(signal.ITIMER_REAL, limits["seconds"])


def _steps(sources: dict[str, str], tokens: dict[str, str], namespace: dict[str, Any]) -> list[Callable[[], Any]]:
    """Return the chain: run each source in turn, write a token after the answer and after the last test, and end."""
    steps: list[Callable[[], Any]] = []
    for name, source in sources.items():
        try:
            code = compile(source, f"<{name}>", "exec", dont_inherit=True)
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            os.write(_REPORT, f"{type(error).__name__} in {name}".encode())
            os._exit(1)
        steps.append(partial(exec, code, namespace))
        if name == "answer":
            steps.append(partial(os.write, _REPORT, tokens["ran"].encode() + b"\n"))
    return [*steps, partial(os.write, _REPORT, tokens["passed"].encode() + b"\n"), partial(os._exit, 0)]


def _given_away(steps: list[Any]) -> Iterator[Any]:
    """Return an iterator that alone holds `steps`: the frames are left with an empty list."""
    own = iter(tuple(steps))
    steps.clear()
    return own


def _audit_hook() -> Callable[[str, tuple[Any, ...]], None]:
    """Return the hook. It runs no generated code (exact built-in types, no global names) and allocates no container."""
    forbidden, library = frozenset(_FORBIDDEN_EVENTS), f"\0{os.path.dirname(os.__file__)}/"  # noqa: PTH120
    kind, text, length, write, end, encode = type, str, len, os.write, os._exit, str.encode
    report, denied_status = _REPORT, _DENIED_STATUS

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        is_denied = True  # unless the lines below come to their end
        try:
            found = event in forbidden or "\0ctypes." in "\0" + event
            if event == "import" and length(arguments) > 1:
                name, path = arguments[0], arguments[1]
                found = kind(name) is not text or "_ctypes" in name or "_testinternal" in name
                if path is not None and not found:  # a file with machine code is loaded
                    found = kind(path) is not text or library not in "\0" + path or "/.." in path
                    found = found or "/_ctypes" in path or "/_test" in path
            is_denied = found
        finally:
            if is_denied:
                try:
                    write(report, encode(event))
                finally:
                    end(denied_status)

    return watch


def _reason(error: BaseException) -> str:
    """Return the type, place and message of an exception."""
    place, trace = "", error.__traceback__
    while trace is not None:
        file = trace.tb_frame.f_code.co_filename
        if file.startswith(_OWN_SOURCES):
            place = f" in {file.strip('<>')}, line {trace.tb_lineno}"
        trace = trace.tb_next
    if isinstance(error, SystemExit):
        return "ended before its tests did"
    # The words of a system error come second, after its number.
    message = next((one[:200] for one in error.args[:2] if type(one) is str), "")
    return f"{type(error).__name__}{place}{': ' if message else ''}{message}"


if __name__ == "__main__":
    main()
