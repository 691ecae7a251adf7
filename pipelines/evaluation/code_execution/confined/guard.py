"""A hook on what the interpreter reports (PEP 578) that ends the process at the first forbidden thing it tries.

The kernel refuses these things anyway; the hook makes an attempt count as failed although the code swallows the error,
and says what it was. It also keeps the harness's frames out of sight: see `verdict`.

It is a hurdle and no wall: the interpreter is the code's own, and code written to attack it can switch the hook off,
for instance by machine code of its own or by what the collector runs at a bad moment. The confinement by the kernel
(`confinement`) does not rest on it. What makes it harder: the hook is one function that runs no code but that of
exact built-in types, so that no generated code runs above its frame; it raises nothing, holds nothing that can be
changed, and allocates no container, which could start a collection (since Python 3.12 one can start at any line).
"""

import gc
import os
import sys
from collections.abc import Callable
from posix import _path_normpath  # type: ignore[attr-defined]
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
_FORBIDDEN_MODULES = ("_ctypes", "_testcapi", "_testinternalcapi", "_xxsubinterpreters", "_interpreters")
# Events whose first argument, or first two, are paths that they change.
_CHANGING_ONE = {"os.remove", "os.rmdir", "os.mkdir", "os.truncate", "os.chmod", "os.chown", "os.utime"}
_CHANGING_ONE |= {"shutil.rmtree"}
_CHANGING_TWO = {"os.rename", "os.link", "os.symlink"}
_WRITING_FLAGS = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_LIBRARIES = "/proc/self/fd/"  # as the nursery reaches them


def guard(folder: str, descriptor: int, status: int) -> None:
    """Watch this process from now on: what is tried is written to `descriptor`, and the process ends by `status`."""
    vars(gc).pop("callbacks", None)  # they would run wherever a collection starts
    sys.addaudithook(_watching(folder, descriptor, status))


def _watching(folder: str, descriptor: int, status: int) -> Callable[[str, tuple[Any, ...]], None]:
    """The hook. A name that is none of its own would be looked up where generated code can replace it."""
    forbidden, one_path, two_paths = _FORBIDDEN, frozenset(_CHANGING_ONE), frozenset(_CHANGING_TWO)
    # A mark that no path holds says where a text begins and ends: methods would need a container for two arguments.
    module_ends, n_modules = tuple(f".{name}\0" for name in _FORBIDDEN_MODULES), len(_FORBIDDEN_MODULES)
    libraries, within, own = f"\0{_LIBRARIES}", f"\0{folder}/", frozenset({folder, os.devnull})
    writing, normal, current, write, end = _WRITING_FLAGS, _path_normpath, os.getcwd, os.write, os._exit
    kind, is_kind, length, text, raw, number, failure = type, issubclass, len, str, bytes, int, OSError
    plain, decode, encode, replace = str.removeprefix, bytes.decode, str.encode, str.replace

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        attempt: str | None = "what the guard could not judge"  # unless the lines below come to their end
        try:
            found = None
            n_paths, place = (1 if event in one_path else 2 if event in two_paths else 0), 0
            if event in forbidden or "\0ctypes." in "\0" + event:
                found = event
            elif event == "open" and length(arguments) > 2 and kind(arguments[2]) is number:
                n_paths = 1 if arguments[2] & writing else 0
            elif event == "import" and length(arguments) > 1 and is_kind(kind(arguments[0]), text):
                name = plain(arguments[0], "\0")
                # By the last part of its name a dynamic module is initialized, a hyphen in it read as an underscore.
                ended = "." + replace(name, "-", "_") + "\0"
                while place < n_modules:
                    found = "import of " + name if module_ends[place] in ended else found
                    place += 1
                if is_kind(kind(arguments[1]), text) and libraries not in "\0" + plain(arguments[1], "\0"):
                    found = "import of machine code from outside the library"
            while found is None and place < n_paths and place < length(arguments):
                path = arguments[place]
                place += 1
                if is_kind(kind(path), text):
                    path = plain(path, "\0")
                elif is_kind(kind(path), raw):
                    path = decode(path, "utf-8", "surrogateescape")
                else:  # an open descriptor: it was judged when it was opened
                    continue
                try:
                    whole = normal(path if "\0/" in "\0" + path else current() + "/" + path)
                except failure:  # where it is cannot be said, so nothing that it names can be reached
                    continue
                if whole not in own and within not in "\0" + whole:
                    opening = event == "open"
                    found = "opening a file outside its folder to write" if opening else event + " outside its folder"
            attempt = found
        finally:
            if attempt is not None:
                try:
                    write(descriptor, encode(attempt, "utf-8", "replace"))
                finally:
                    end(status)

    return watch
