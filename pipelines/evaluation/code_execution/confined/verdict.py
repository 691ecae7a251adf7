"""Running an answer and its tests in this process, and saying truthfully how far they came.

What says so are tokens that the watcher knows; an exit status of 0 alone says nothing. The code runs on a thread of its
own as a chain of steps, the writing of a token among them, that C functions walk (`map`, `operator.call`): no Python
frame lies under it, no frame of any thread holds a token, and the usual ways to find the steps on the heap (`gc`,
ctypes) end the process (see `guard`). Ending early, by an exception, `sys.exit` or `os._exit`, reaches no later step.
The standard streams lead nowhere.

A pass is evidence against code that is wrong in an ordinary way, whatever it prints or raises. It is no proof against
code that was written to attack the verdict, as in no harness that runs tests in the tested interpreter: such code can
return objects that are equal to everything, replace builtins and modules that the tests use, switch the guard off, or
reach the tokens by the interpreter's memory, and so give itself a pass. It stays shut in all the same: the kernel's
confinement (`confinement`: system calls, paths, limits) rests neither on the guard nor on the tokens.
"""

import _thread
import collections
import operator
import os
import sys
import types
import weakref
from _queue import SimpleQueue
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

_STACK_BYTES = 64 * 2**20  # deep recursion is a legitimate answer
_LONGEST_MESSAGE = 200
_OWN_SOURCES = ("<before>", "<answer>", "<setup>", "<test ")


def _fail(reference: object) -> None:
    raise ValueError(reference)


def _type_of_hook_arguments() -> type:
    """What `sys.unraisablehook` is called with; the type has no name to import it by."""
    caught: list[Any] = []
    usual, sys.unraisablehook = sys.unraisablehook, caught.append
    watched: set[None] = set()
    watcher: weakref.ref[Any] = weakref.ref(watched, _fail)
    del watched
    sys.unraisablehook = usual
    assert watcher() is None
    return type(caught[0])


_HookArguments: Any = _type_of_hook_arguments()


def judge(request: dict[str, Any], tokens: dict[str, bytes], send: Callable[[bytes], object]) -> None:
    """Run a request's `before`, `answer`, `setup` and `tests`; send the tokens of what was reached, or the reason.

    Ends the process. `tokens` is empty before any generated code runs.
    """
    end = os._exit
    try:
        queue: SimpleQueue[Any] = SimpleQueue()
        kept: list[Any] = []  # what is dropped here would run its __del__ on this thread
        refusal = _start(request, tokens, send, queue, kept)
        while refusal is None and not _ends_the_thread(kept[-1]):
            kept.append(queue.get())
        send(refusal.encode() if refusal is not None else _reason(kept[-1]))
    finally:
        end(1)


def _start(
    request: dict[str, Any],
    tokens: dict[str, bytes],
    send: Callable[[bytes], object],
    queue: "SimpleQueue[Any]",
    kept: list[Any],
) -> str | None:
    """Start the code on a thread of its own; the reason in words where it cannot even be compiled.

    How the thread ended, if not by its last step, which ends the process, is put into `queue`.
    """
    module = types.ModuleType("answer")
    steps: list[Callable[[], Any]] = []
    sources = [("before", request["before"]), ("answer", request["answer"]), ("setup", request["setup"])]
    sources += [(f"test {number}", test) for number, test in enumerate(request["tests"], 1)]
    for name, source in sources:
        try:
            code = compile(source, f"<{name}>", "exec", dont_inherit=True)
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            return f"{type(error).__name__} in {name}"
        steps.append(partial(exec, code, module.__dict__))
        if name == "answer":
            steps.append(partial(send, tokens["ran"]))
    steps += [partial(send, tokens["passed"]), partial(os._exit, 0)]
    tokens.clear()
    # Deque has no use for a marker, so the iterator holds it: when the thread ends, however it ends, the marker goes.
    marker: set[None] = set()
    kept += [weakref.ref(marker, queue.put), None]
    steps.insert(0, partial(bool, marker))
    sys.unraisablehook = queue.put
    sys.modules["answer"] = sys.modules["__main__"] = module
    _thread.stack_size(_STACK_BYTES)
    _thread.start_new_thread(collections.deque, (map(operator.call, _given_away(steps)), 0))
    _thread.stack_size(0)
    return None


def _given_away(steps: list[Any]) -> Iterator[Any]:
    """An iterator over `steps` that alone holds them: this thread's frames are left with an empty list."""
    own = iter(tuple(steps))
    steps.clear()
    return own


def _ends_the_thread(last: Any) -> bool:
    """Whether this is the end of the code, and not an exception in a `__del__`, which Python ignores too."""
    if type(last) is not _HookArguments:
        return type(last) is weakref.ReferenceType
    if last.object is None:  # since Python 3.13 the function is in the message alone
        return str(last.err_msg).startswith("Exception ignored in thread")
    return last.object is collections.deque


def _reason(last: Any) -> bytes:
    """Type, place and message of what ended the thread, read without running any of its code."""
    if type(last) is not _HookArguments:
        return b"ended before its tests did"
    error = last.exc_value
    name = type.__dict__["__name__"].__get__(last.exc_type)
    place, trace = "", last.exc_traceback
    while trace is not None:
        file = trace.tb_frame.f_code.co_filename
        if file.startswith(_OWN_SOURCES):
            place = f" in {file.strip('<>')}, line {trace.tb_lineno}"
        trace = trace.tb_next
    arguments = BaseException.__dict__["args"].__get__(error) if error is not None else ()
    # A system error's words come second, after its number.
    message = next((one[:_LONGEST_MESSAGE] for one in arguments[:2] if type(one) is str), "")
    return f"{name}{place}{': ' if message else ''}{message}".encode(errors="replace")
