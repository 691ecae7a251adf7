"""A pass has to be earned: code that ends early, says it passed, or looks for what says so, has failed."""

import sys

import pytest

from pipelines.evaluation.code_execution import CodeTests, Outcome, RunLimits, RunResult, run_texts
from pipelines.evaluation.code_execution.workers import nurseries

pytestmark = pytest.mark.usefixtures("confining_machine")

TESTS = CodeTests(("assert f() == 1",))
WRONG = "\ndef f():\n    return 2\n"

WALK_FRAMES = """
import sys
def everything():
    frame, found = sys._getframe(), []
    while frame is not None:
        found += [*frame.f_locals.values(), *frame.f_globals.values()]
        frame = frame.f_back
    return found
tokens = [one for one in everything() if isinstance(one, bytes)]
queues = [one for one in everything() if type(one).__name__ == "SimpleQueue"]
print(1 / len(tokens + queues))
"""
FRAMES_OF_AN_EXCEPTION = """
import sys
def f():
    try:
        1 / 0
    except ZeroDivisionError as error:
        trace = error.__traceback__
        frame = trace.tb_frame
        names = []
        while frame is not None:
            names.append(frame.f_code.co_filename)
            frame = frame.f_back
    assert names == ["<answer>", "<test 1>"], names
    return 2
"""
WRITE_TO_ALL_DESCRIPTORS = """
import os
for number in range(64):
    for words in (b"passed", b"ran", b"OK", b'{"passed": true, "ran": true}'):
        try:
            os.write(number, words + b"\\n")
        except OSError:
            pass
os._exit(0)
"""
QUEUE_BEHIND_THE_HOOK = """
import sys
queue = sys.unraisablehook.__self__
for word in ("passed", b"passed", True, None, object()):
    queue.put(word)
"""
STEAL_FROM_THE_QUEUE = """
import sys, threading
queue = sys.unraisablehook.__self__
def steal():
    stolen = queue.get()
    queue.put(stolen)
    queue.put(stolen)
threading.Thread(target=steal).start()
"""
ALL_FRAMES = """
import sys
tokens, emptied = [], 0
for frame in sys._current_frames().values():
    while frame is not None:
        for one in [*frame.f_locals.values(), *frame.f_globals.values()]:
            inner = [*one.values()] if isinstance(one, dict) else [*one] if isinstance(one, (list, tuple)) else []
            tokens += [found for found in [one, *inner] if isinstance(found, bytes) and len(found) == 32]
        emptied += frame.f_locals.get("tokens") == {}
        frame = frame.f_back
def f():
    return len(tokens), emptied
"""
PATCHED = """
import os, sys, builtins
builtins.exec = builtins.compile = lambda *arguments: None
os.write = os._exit = print
sys.excepthook = lambda *arguments: os._exit(0)
"""
DIE_LATE = """
import os
class Late:
    def __del__(self):
        os._exit(0)
def f():
    late = Late()
    return 2
"""
LOADING = """
import _imp, os, sys
from importlib.machinery import ModuleSpec
(path,) = [f"{d}/{e}" for d in sys.path if os.path.isdir(d) for e in os.listdir(d) if e.startswith("_ctypes.")]
copied = os.path.abspath("mine.so")
with open(path, "rb") as library, open(copied, "wb") as copy:
    copy.write(library.read())
"""
# Each has generated code run, or an error raised, while the guard looks: what it finds of the guard's frames earns a
# pass, which none may.
UNDER_THE_GUARD = """
import sys, builtins, os, posixpath
seen = []
def look(frame=None):
    frame = frame or sys._getframe(1)
    while frame is not None:
        seen.append(frame.f_code.co_filename.endswith("guard.py"))
        frame = frame.f_back
def looking(real):
    def replaced(*arguments, **named):
        look()
        return real(*arguments, **named)
    return replaced
class Text(str):
    def __getattribute__(self, name):
        look()
        return str.__getattribute__(self, name)
    def __eq__(self, other):
        look()
        return str.__eq__(self, other)
    def __hash__(self):
        look()
        return str.__hash__(self)
    def __radd__(self, other):
        look()
        return str.__add__(other, self)
    def startswith(self, *arguments):
        look()
        return str.startswith(self, *arguments)
def f():
    return 1 if any(seen) else 2
"""
REPLACED_BUILTINS = """
kept = builtins.isinstance, builtins.any, builtins.issubclass, builtins.len, posixpath.normpath
builtins.isinstance, builtins.any, builtins.issubclass, builtins.len, posixpath.normpath = map(looking, kept)
open("x", "w").close()
os.rename("x", "y")
builtins.isinstance, builtins.any, builtins.issubclass, builtins.len, posixpath.normpath = kept
"""
EVENTS_OF_ITS_OWN = """
class Odd(int):
    def __and__(self, other):
        look()
        return 0
for event in ("open", "import", "os.rename", "object.__setattr__"):
    for arguments in ((), (Text("x"),), (Text("x"), Text("y"), Odd()), (1, 2, 3), ([], [], [])):
        try:
            sys.audit(event, *arguments)
        except Exception as error:
            trace = error.__traceback__
            while trace is not None:
                look(trace.tb_frame)
                trace = trace.tb_next
"""
COLLECTIONS = """
import gc
getattr(gc, "callbacks", []).append(lambda *arguments: look())
class Cycle:
    def __init__(self):
        self.own = self
    def __del__(self):
        look()
gc.set_threshold(1)
for number in range(300):
    Cycle()
    open("x", "w").close()
gc.set_threshold(700)
getattr(gc, "callbacks", []).clear()
"""
EDGE_OF_THE_STACK = """
def dive():
    try:
        dive()
    finally:
        open("x", "w").close()
for limit in range(60, 75):
    sys.setrecursionlimit(limit)
    try:
        dive()
    except RecursionError as error:
        trace = error.__traceback__
        while trace is not None:
            seen.append(trace.tb_frame.f_code.co_filename.endswith("guard.py"))
            trace = trace.tb_next
    sys.setrecursionlimit(1000)
"""
CASES = {
    "loads ctypes by another name": LOADING + "_imp.create_dynamic(ModuleSpec('x._ctypes', None, origin=path))",
    "loads ctypes by a hyphen": LOADING + "_imp.create_dynamic(ModuleSpec('x.-ctypes', None, origin=path))",
    "loads machine code of its own": LOADING + "_imp.create_dynamic(ModuleSpec('_mine', None, origin=copied))",
    "replaces what the guard might use": UNDER_THE_GUARD + REPLACED_BUILTINS,
    "opens a text of its own kind": UNDER_THE_GUARD + "open(Text('x'), 'w').close()\nos.rename(Text('x'), Text('y'))",
    "imports a text of its own kind": UNDER_THE_GUARD + "__import__(Text('colorsys'))",
    "reports events of its own": UNDER_THE_GUARD + EVENTS_OF_ITS_OWN,
    "has the collector look": UNDER_THE_GUARD + COLLECTIONS,
    "looks from the edge of the stack": UNDER_THE_GUARD + EDGE_OF_THE_STACK,
    "prints that it passed": "print('OK')\nprint('passed')",
    "exits with 0": "import sys\nsys.exit(0)",
    "raises SystemExit in the test": "def f():\n    raise SystemExit(0)",
    "ends the process with 0": "import os\nos._exit(0)",
    "ends the process with 0 in the test": "import os\ndef f():\n    os._exit(0)",
    **{f"ends the process with {status}": f"import os\nos._exit({status})" for status in (1, 3, 4, 255)},
    "dies by a signal without a name": "import signal\nsignal.raise_signal(40)",
    "stops itself": "import signal\nsignal.raise_signal(signal.SIGSTOP)",
    "ends the thread": "import _thread\n_thread.exit()",
    "exits at the end of the process": "import atexit, os\natexit.register(os._exit, 0)",
    "exits when it is dropped": DIE_LATE,
    "defines its own check": "class f:\n    pass\nAssertionError = None",
    "replaces what might report": PATCHED,
    "walks its frames": WALK_FRAMES,
    "walks the frames of an exception": FRAMES_OF_AN_EXCEPTION,
    "looks at other threads' frames": "import sys\nprint([one for one in sys._current_frames()])",
    "searches the heap": "import gc\nprint([one for one in gc.get_objects() if type(one) is dict and 'ran' in one])",
    "searches by referrers": "import gc\nprint(gc.get_referrers(f))\ndef f(): pass",
    "traces": "import sys\nsys.settrace(lambda *arguments: None)",
    "reads raw memory": "import ctypes\nprint(ctypes.string_at(id(1), 8))",
    "writes to all descriptors": WRITE_TO_ALL_DESCRIPTORS,
    "closes all descriptors": "import os\nos.closerange(0, 64)",
    "floods all descriptors": WRITE_TO_ALL_DESCRIPTORS.replace("words +", "50_000 * words +"),
    "puts into the harness's queue": QUEUE_BEHIND_THE_HOOK,
    "steals from the harness's queue": STEAL_FROM_THE_QUEUE,
    "looks for the harness's modules": "import sys\nprint([sys.modules[n] for n in sys.modules if 'confined' in n][0])",
    "reads the harness's main module": "import __main__\nprint(__main__.main)",
    "interrupts the main thread": "import _thread\n_thread.interrupt_main()",
    "raises what cannot be shown": "class E(Exception):\n    def __str__(self): raise SystemExit\nraise E()",
}
DENIED = ["looks at other threads' frames", "searches the heap", "traces", "reads raw memory"]
DENIED += ["loads ctypes by another name", "loads ctypes by a hyphen", "loads machine code of its own"]


@pytest.fixture(scope="module")
def results() -> dict[str, RunResult]:
    texts = [code if "def f" in code or "class f" in code else code + WRONG for code in CASES.values()]
    return dict(zip(CASES, run_texts(texts, [TESTS] * len(texts), RunLimits(seconds=2)), strict=True))


@pytest.mark.parametrize("name", CASES)
def test_it_has_failed(name: str, results: dict[str, RunResult]) -> None:
    if name == "has the collector look" and sys.version_info >= (3, 12):
        pytest.skip("a collection can start at any line of the guard since Python 3.12")
    assert results[name].passes_tests is False, results[name]
    assert results[name].outcome not in (Outcome.PASSED, Outcome.RAN)
    if name in DENIED:
        assert results[name].outcome == Outcome.DENIED, results[name]


def test_walking_frames_finds_generated_code_only(results: dict[str, RunResult]) -> None:
    assert results["walks its frames"].reason == "ZeroDivisionError in answer, line 10: division by zero"
    assert results["walks the frames of an exception"].reason == "AssertionError in test 1, line 1"


def test_no_frame_of_any_thread_holds_a_token() -> None:
    """Even without the guard, which ends code that asks for other threads' frames. The harness's own are among them."""
    tests = ["n_tokens, n_emptied = f()", "assert n_tokens == 0", "assert n_emptied >= 2"]
    program = {"before": "", "answer": ALL_FRAMES, "setup": "", "tests": tests}
    with nurseries(1) as (worker,):
        reply = worker.run(program | {"limits": RunLimits().to_json(), "guarded": False})
    assert reply["passed"], reply


def test_the_right_answer_passes_beside_an_error_that_python_ignores() -> None:
    """An exception in a `__del__` reaches the same hook as one that ends the code."""
    code = "class Noisy:\n    def __del__(self):\n        1 / 0\nNoisy()\ndef f():\n    Noisy()\n    return 1"
    (result,) = run_texts([code], [TESTS])
    assert result.outcome == Outcome.PASSED
