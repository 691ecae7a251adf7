"""Forged verdicts: code fails if it ends early, claims that it passed, or searches for what reports it."""

import pytest

from pipelines.evaluation.code_execution import sandbox
from pipelines.evaluation.code_execution.execution import run_texts
from pipelines.evaluation.code_execution.sandbox import Outcome, RunLimits, RunResult, run_sources
from pipelines.evaluation.prompts.code_tests import CodeTests

pytestmark = pytest.mark.usefixtures("sandbox")

TESTS = CodeTests(("assert f() == 1",))
WRONG = "\ndef f():\n    return 2\n"

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
ALL_FRAMES = """
import sys
def f():
    tokens, n_frames = [], 0
    for frame in sys._current_frames().values():
        while frame is not None:
            n_frames += 1
            for one in [*frame.f_locals.values(), *frame.f_globals.values()]:
                inner = [*one.values()] if isinstance(one, dict) else [*one] if isinstance(one, (list, tuple)) else []
                texts = [found for found in [one, *inner] if isinstance(found, (bytes, str))]
                tokens += [found for found in texts if len(found) in (32, 33)]
            frame = frame.f_back
    return len(tokens), n_frames
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
# Tries to end the audit hook, or to run code of its own inside it, and then searches the heap.
AGAINST_THE_HOOK = """
import builtins, gc, os, sys
class Odd(str):
    def __getattribute__(self, name): raise SystemExit
    def __eq__(self, other): raise SystemExit
    def __contains__(self, other): raise SystemExit
    def __hash__(self): raise SystemExit
    def __radd__(self, other): raise SystemExit
REPLACE
getattr(gc, "callbacks", []).clear()
if [one for one in gc.get_objects() if type(one) is dict]:
    def f(): return 1
"""
REPLACED = "builtins.type = builtins.len = builtins.str = os.write = os._exit = lambda *arguments: str"
EVENTS = """
for event in ("open", "import", "os.rename"):
    for arguments in ((), (Odd("x"),), (Odd("x"), Odd("y")), (1, 2, 3), ([], [])):
        try:
            sys.audit(event, *arguments)
        except Exception:
            pass
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
    except RecursionError:
        pass
    sys.setrecursionlimit(1000)
"""
CASES = {
    "loads ctypes by another name": LOADING + "_imp.create_dynamic(ModuleSpec('x._ctypes', None, origin=path))",
    "loads ctypes by a hyphen": LOADING + "_imp.create_dynamic(ModuleSpec('x.-ctypes', None, origin=path))",
    "loads machine code of its own": LOADING + "_imp.create_dynamic(ModuleSpec('_mine', None, origin=copied))",
    "replaces what the hook might use": AGAINST_THE_HOOK.replace("REPLACE", REPLACED),
    "reports events of its own": AGAINST_THE_HOOK.replace("REPLACE", EVENTS),
    "imports a text of its own kind": AGAINST_THE_HOOK.replace("REPLACE", "__import__(Odd('colorsys'))"),
    "ends the hook at the edge of the stack": AGAINST_THE_HOOK.replace("REPLACE", EDGE_OF_THE_STACK),
    "prints that it passed": "print('OK')\nprint('passed')", "exits with 0": "import sys\nsys.exit(0)",
    "raises SystemExit in the test": "def f():\n    raise SystemExit(0)",
    "ends the process with 0": "import os\nos._exit(0)",
    "ends the process with 0 in the test": "import os\ndef f():\n    os._exit(0)",
    **{f"ends the process with {status}": f"import os\nos._exit({status})" for status in (1, 3, 4, 255)},
    "dies by a signal without a name": "import signal\nsignal.raise_signal(40)",
    "stops itself": "import signal\nsignal.raise_signal(signal.SIGSTOP)",
    "ends the thread": "import _thread\n_thread.exit()",
    "exits at the end of the process": "import atexit, os\natexit.register(os._exit, 0)",
    "exits when it is dropped": DIE_LATE, "defines its own check": "class f:\n    pass\nAssertionError = None",
    "replaces what might report": PATCHED,
    "looks at other threads' frames": "import sys\nprint([one for one in sys._current_frames()])",
    "searches the heap": "import gc\nprint([one for one in gc.get_objects() if type(one) is dict and 'ran' in one])",
    "searches by referrers": "import gc\nprint(gc.get_referrers(f))\ndef f(): pass",
    "traces": "import sys\nsys.settrace(lambda *arguments: None)",
    "reads raw memory": "import ctypes\nprint(ctypes.string_at(id(1), 8))",
    "writes to all descriptors": WRITE_TO_ALL_DESCRIPTORS,
    "erases the report": "import os\nos.lseek(3, 0, 0)\nos.ftruncate(3, 0)\nos.write(3, b'passed')",
    "closes all descriptors": "import os\nos.closerange(0, 64)",
    "floods all descriptors": WRITE_TO_ALL_DESCRIPTORS.replace("words +", "50_000 * words +"),
    "looks for the harness's modules": "import sys\nprint([sys.modules[n] for n in sys.modules if 'confined' in n][0])",
    "reads the harness's main module": "import __main__\nprint(__main__.main)",
    "interrupts the main thread": "import _thread\n_thread.interrupt_main()",
    "raises what cannot be shown": "class E(Exception):\n    def __str__(self): raise SystemExit\nraise E()",
}  # fmt: skip
DENIED = ["looks at other threads' frames", "searches the heap", "traces", "reads raw memory"]
DENIED += ["loads ctypes by another name", "loads ctypes by a hyphen", "loads machine code of its own"]


@pytest.fixture(scope="module")
def results() -> dict[str, RunResult]:
    texts = [code if "def f" in code or "class f" in code else code + WRONG for code in CASES.values()]
    return dict(zip(CASES, run_texts(texts, [TESTS] * len(texts), RunLimits(seconds=2)), strict=True))


@pytest.mark.parametrize("name", CASES)
def test_it_has_failed(name, results):
    assert results[name].passes_tests is False, results[name]
    assert results[name].outcome not in (Outcome.PASSED, Outcome.RAN)
    if name in DENIED:
        assert results[name].outcome == Outcome.DENIED, results[name]


def test_no_frame_holds_a_token(monkeypatch):
    """Even without the audit hook, which ends code that asks for other threads' frames."""
    monkeypatch.setattr(sandbox, "_RUNNER", sandbox._RUNNER.replace("sys.addaudithook(_audit_hook())", ""))
    reply = run_sources({"answer": ALL_FRAMES, "test 1": "assert f()[0] == 0 and f()[1] >= 3, f()"}, RunLimits())
    assert reply.passes_tests, reply


def test_the_right_answer_passes_despite_an_error_that_python_ignores():
    code = "class Noisy:\n    def __del__(self):\n        1 / 0\nNoisy()\ndef f():\n    Noisy()\n    return 1"
    (result,) = run_texts([code], [TESTS])
    assert result.outcome == Outcome.PASSED
