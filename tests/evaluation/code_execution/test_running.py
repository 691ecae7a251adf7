"""Honest code: what is right passes, what is wrong fails with a reason, in the order of the answers."""

from pathlib import Path
from typing import Any

import pytest

from pipelines.errors import UserError
from pipelines.evaluation.code_execution import (
    EXECUTION_METRICS,
    CodeTests,
    Outcome,
    RunLimits,
    RunResult,
    code_tests_of,
    execution_checks,
    refuse_unless_confined,
    run_texts,
    workers,
)
from pipelines.evaluation.code_execution.workers import Nursery
from pipelines.evaluation.prompts.prompt_sets import Prompt
from pipelines.inference.generation import Answer

pytestmark = pytest.mark.usefixtures("confining_machine")

USES_THE_LIBRARY = """
import asyncio, collections, dataclasses, json, re, statistics, tempfile, threading, zoneinfo

@dataclasses.dataclass
class Point:
    x: int

Pair = collections.namedtuple("Pair", "a b")

async def later():
    await asyncio.sleep(0.001)
    return Point(1).x

def f():
    found = []
    thread = threading.Thread(target=found.append, args=(Pair(1, 2).a,))
    thread.start()
    thread.join()
    with open("notes.txt", "w") as notes:
        notes.write(json.dumps(found))
    with tempfile.TemporaryFile() as scratch:
        scratch.write(b"x")
    assert zoneinfo.ZoneInfo and re.match("a", "abc") and statistics.mean([1, 3]) == 2
    return asyncio.run(later()) + json.load(open("notes.txt"))[0]
"""
NEAR_WHAT_IS_WATCHED = """
import _bisect, bz2, gc, os, pathlib, sqlite3, timeit
os.mkdir("a")
pathlib.Path("a/../b").write_text("x")
os.rename(b"b", os.path.abspath("c"))
for path in ("", "no\\0path"):
    try:
        open(path, "w")
    except (OSError, ValueError):
        pass
def dive():
    open("c", "w").close()
    dive()
try:
    dive()
except RecursionError:
    gc.collect()
os.chdir("a")
os.rmdir("../a")
try:
    open("x", "w")
except FileNotFoundError:
    found = timeit.timeit("1", number=1)
"""
DEEP = "import sys\nsys.setrecursionlimit(10**6)\ndef f(n): return 0 if n == 0 else 1 + f(n - 1)"
PLUS_ONE = CodeTests(("assert f(1) == 2", "assert f(2) == 3"))
CASES: dict[str, tuple[str, CodeTests | None, Outcome, str]] = {
    "right": ("def f(x):\n    return x + 1", PLUS_ONE, Outcome.PASSED, ""),
    "fenced": ("Here:\n```python\ndef f(x):\n    return x + 1\n```\nDone.", PLUS_ONE, Outcome.PASSED, ""),
    "second test": ("def f(x):\n    return 2", PLUS_ONE, Outcome.WRONG, "AssertionError in test 2, line 1"),
    "library": (USES_THE_LIBRARY, CodeTests(("assert f() == 2",)), Outcome.PASSED, ""),
    "near what is watched": (NEAR_WHAT_IS_WATCHED, CodeTests(("assert found >= 0",)), Outcome.PASSED, ""),
    "deep": (DEEP, CodeTests(("assert f(50_000) == 50_000",)), Outcome.PASSED, ""),
    "no tests": ("x = 1\nprint(x)", None, Outcome.RAN, ""),
    "raises": ("x = 1\ny = x / 0", None, Outcome.ERROR, "ZeroDivisionError in answer, line 2: division by zero"),
    "raises in a test": (
        "def f(x):\n    return x + '1'",
        PLUS_ONE,
        Outcome.ERROR,
        "TypeError in answer, line 2: unsupported operand type(s) for +: 'int' and 'str'",
    ),
    "own assertion": ("assert False, 'no'", PLUS_ONE, Outcome.ERROR, "AssertionError in answer, line 1: no"),
    "no Python": ("def f(x:", PLUS_ONE, Outcome.ERROR, "SyntaxError in answer"),
    "no statement": ("# I would write a function", PLUS_ONE, Outcome.NO_CODE, ""),
    "empty": ("", None, Outcome.NO_CODE, ""),
    "asks the user": ("x = input()", None, Outcome.ERROR, "EOFError in answer, line 1: EOF when reading a line"),
    "an exit is no success": ("import sys\nsys.exit(0)", None, Outcome.ENDED, "ended before its tests did"),
}
HUMAN_EVAL = {
    "prompt": 'import math\n\ndef half(x):\n    """Half of x, rounded down."""\n',
    "test": "def check(candidate):\n    assert candidate(5) == 2\n",
    "entry_point": "half",
}


@pytest.fixture(scope="module")
def results() -> dict[str, RunResult]:
    texts = [text for text, *_ in CASES.values()]
    tests = [own for _, own, *_ in CASES.values()]
    return dict(zip(CASES, run_texts(texts, tests, RunLimits(seconds=10), n_workers=2), strict=True))


@pytest.mark.parametrize("name", CASES)
def test_the_outcome_and_its_reason_are_those_of_the_code(name: str, results: dict[str, RunResult]) -> None:
    _, tests, outcome, reason = CASES[name]
    result = results[name]
    assert (result.outcome, result.reason) == (outcome, reason)
    assert result.passes_tests == (None if tests is None else outcome == Outcome.PASSED)
    failed_before_its_tests = outcome in (Outcome.ERROR, Outcome.NO_CODE, Outcome.ENDED) and name != "raises in a test"
    assert result.runs == (not failed_before_its_tests)


def test_a_head_is_completed_by_its_body_or_answered_by_a_whole_function() -> None:
    tests = code_tests_of(HUMAN_EVAL)
    texts = [
        "    return math.floor(x / 2)\n\nprint(half(",
        "def half(x):\n    return math.floor(x / 2)",
        "    return x",
    ]
    assert [result.passes_tests for result in run_texts(texts, [tests] * 3)] == [True, True, False]


def test_checks_lie_as_the_answers_do_and_are_none_where_no_python_was_asked_for() -> None:
    prompts = [
        Prompt(0, "Write a Python function f(x).", tests=PLUS_ONE),
        Prompt(1, "Name a river."),
        Prompt(2, "Write a Python function f(x)."),
    ]
    right, wrong = (Answer(f"def f(x):\n    return {value}", 9, True, ()) for value in ("x + 1", "x"))
    broken = Answer("def f(x) return", 4, True, ())
    found = execution_checks(prompts, [[wrong, right, broken], [right], [wrong, broken]])
    assert {metric.name for metric in EXECUTION_METRICS} == {"runs", "passes_tests"}
    assert [[(one["runs"], one["passes_tests"]) for one in own] for own in found] == [
        [(True, False), (True, True), (False, False)],
        [(None, None)],
        [(True, None), (False, None)],
    ]


def test_a_worker_that_dies_is_replaced_and_only_its_answer_has_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    refuse_unless_confined()
    serve = Nursery.run
    left: list[Path] = []

    def die_at_the_third(self: Nursery, program: dict[str, Any]) -> dict[str, Any]:
        if program["answer"] == "x = 3":
            nested = self.folder / "left"
            nested.mkdir()
            left.append(self.folder)
            self._process.kill()
        return serve(self, program)

    monkeypatch.setattr(Nursery, "run", die_at_the_third)
    found = run_texts([f"x = {number}" for number in range(1, 30)], [None] * 29, n_workers=1)
    assert [place for place, result in enumerate(found, 1) if not result.runs] == [3]
    assert (found[2].outcome, found[2].reason) == (Outcome.CRASHED, "the worker that ran it ended")
    assert len(left) == 1
    assert not left[0].parent.exists()


def test_a_worker_that_cannot_even_start_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "_HERE", tmp_path)
    with pytest.raises(UserError, match="exit status 1"):
        Nursery(tmp_path)
