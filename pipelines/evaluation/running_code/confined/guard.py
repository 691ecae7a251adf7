"""A hook on what the interpreter reports (PEP 578) that ends the process at the first forbidden thing it tries.

The kernel refuses these things anyway; the hook makes an attempt count as failed although the code swallows the error,
and says what it was. It also keeps the harness's frames out of sight: see `verdict`. It takes all it uses from its own
frame, where generated code cannot replace it.
"""

import os
import sys
from collections.abc import Callable
from typing import Any

_SPAWNING = {
    "os.fork",
    "os.forkpty",
    "os.exec",
    "os.posix_spawn",
    "os.spawn",
    "os.system",
    "subprocess.Popen",
    "pty.spawn",
}
_REACHING_OTHERS = {"os.kill", "os.killpg", "socket.connect", "socket.bind", "socket.sendto", "socket.sendmsg"}
_REACHING_OTHERS |= {"socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr", "socket.getnameinfo"}
_LOOKING_AT_THE_HARNESS = {"sys._current_frames", "sys._current_exceptions", "sys.settrace", "sys.setprofile"}
_LOOKING_AT_THE_HARNESS |= {"gc.get_objects", "gc.get_referrers", "gc.get_referents", "sys.addaudithook"}
_LOOKING_AT_THE_HARNESS |= {"sys.monitoring.register_callback", "cpython.PyInterpreterState_New", "sys.remote_exec"}
_FORBIDDEN = frozenset(_SPAWNING | _REACHING_OTHERS | _LOOKING_AT_THE_HARNESS)
_FORBIDDEN_MODULES = frozenset({"_ctypes", "_testcapi", "_testinternalcapi", "_xxsubinterpreters", "_interpreters"})
# Which of an event's arguments are paths that it changes.
_CHANGING = {"os.remove": 1, "os.rename": 2, "os.rmdir": 1, "os.mkdir": 1, "os.truncate": 1, "os.link": 2}
_CHANGING |= {"os.symlink": 2, "os.chmod": 1, "os.chown": 1, "os.utime": 1, "shutil.rmtree": 1}
_WRITING_FLAGS = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


def guard(folder: str, end: Callable[[str], None]) -> None:
    """Watch this process from now on; `end` is called with what was tried, and must not return."""
    sys.addaudithook(_hook(folder, end))


def _hook(folder: str, end: Callable[[str], None]) -> Callable[[str, tuple[Any, ...]], None]:
    forbidden, modules, changing, writing = _FORBIDDEN, _FORBIDDEN_MODULES, dict(_CHANGING), _WRITING_FLAGS
    outside = _judge_of_paths(folder)

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event in forbidden or event.startswith("ctypes."):
            end(event)
        elif event == "import" and arguments[0] in modules:
            end(f"import of {arguments[0]}")
        elif event == "open" and arguments[2] & writing and outside(arguments[0]):
            end("opening a file outside its folder to write")
        elif event in changing and any(outside(path) for path in arguments[: changing[event]]):
            end(f"{event} outside its folder")
        elif event == "object.__setattr__" and arguments[0] is hook:
            end("changing the guard")

    return hook


def _judge_of_paths(folder: str) -> Callable[[object], bool]:
    normal, join, current = os.path.normpath, os.path.join, os.getcwd
    own = {folder, os.devnull}

    def outside(path: object) -> bool:
        text = os.fsdecode(path) if isinstance(path, bytes) else path
        if not isinstance(text, str):  # an open descriptor: it was judged when it was opened
            return False
        whole = normal(join(current(), text))
        return whole not in own and not whole.startswith(folder + "/")

    return outside
