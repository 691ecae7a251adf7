"""Honest code: right code passes, wrong code fails with a reason, in the order of the answers; pass@k."""

from itertools import combinations

import pytest

from pipelines.evaluation.code_execution.execution import execution_results, pass_at_k, pass_at_k_definition, run_texts
from pipelines.evaluation.code_execution.sandbox import Outcome, RunLimits, RunResult
from pipelines.evaluation.prompts.code_tests import CodeTests, code_tests_of
from pipelines.evaluation.prompts.prompt import Prompt
from pipelines.inference.generation import Answer

USES_THE_LIBRARY = """
import asyncio, bz2, collections, dataclasses, json, re, sqlite3, statistics, subprocess, tempfile, threading, zoneinfo

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
DEEP = "import sys\nsys.setrecursionlimit(10**6)\ndef f(n): return 0 if n == 0 else 1 + f(n - 1)"
PLUS_ONE = CodeTests(("assert f(1) == 2", "assert f(2) == 3"))
CASES: dict[str, tuple[str, CodeTests | None, Outcome, str]] = {
    "right": ("def f(x):\n    return x + 1", PLUS_ONE, Outcome.PASSED, ""),
    "fenced": ("Here:\n```python\ndef f(x):\n    return x + 1\n```\nDone.", PLUS_ONE, Outcome.PASSED, ""),
    "second test": ("def f(x):\n    return 2", PLUS_ONE, Outcome.WRONG, "AssertionError in test 2, line 1"),
    "library": (USES_THE_LIBRARY, CodeTests(("assert f() == 2",)), Outcome.PASSED, ""),
    "deep": (DEEP, CodeTests(("assert f(50_000) == 50_000",)), Outcome.PASSED, ""),
    "no tests": ("x = 1\nprint(x)", None, Outcome.RAN, ""),
    "raises": ("x = 1\ny = x / 0", None, Outcome.ERROR, "ZeroDivisionError in answer, line 2: division by zero"),
    "raises in a test": (
        "def f(x):\n    return x + '1'", PLUS_ONE, Outcome.ERROR,
        "TypeError in answer, line 2: unsupported operand type(s) for +: 'int' and 'str'",
    ),
    "own assertion": ("assert False, 'no'", PLUS_ONE, Outcome.ERROR, "AssertionError in answer, line 1: no"),
    "no Python": ("def f(x:", PLUS_ONE, Outcome.ERROR, "SyntaxError in answer"),
    "no statement": ("# I would write a function", PLUS_ONE, Outcome.NO_CODE, ""),
    "empty": ("", None, Outcome.NO_CODE, ""),
    "asks the user": ("x = input()", None, Outcome.ERROR, "EOFError in answer, line 1: EOF when reading a line"),
    "an exit is no success": ("import sys\nsys.exit(0)", None, Outcome.ENDED, "ended before its tests did"),
}  # fmt: skip
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


@pytest.mark.usefixtures("sandbox")
@pytest.mark.parametrize("name", CASES)
def test_the_outcome_and_its_reason_are_those_of_the_code(name, results):
    _, tests, outcome, reason = CASES[name]
    result = results[name]
    assert (result.outcome, result.reason) == (outcome, reason)
    assert result.passes_tests == (None if tests is None else outcome == Outcome.PASSED)
    failed_before_its_tests = outcome in (Outcome.ERROR, Outcome.NO_CODE, Outcome.ENDED) and name != "raises in a test"
    assert result.runs == (not failed_before_its_tests)


@pytest.mark.usefixtures("sandbox")
def test_a_head_is_completed_by_its_body_or_answered_by_a_whole_function():
    tests = code_tests_of(HUMAN_EVAL)
    texts = [
        "    return math.floor(x / 2)\n\nprint(half(", "def half(x):\n    return math.floor(x / 2)", "    return x",
    ]  # fmt: skip
    assert [result.passes_tests for result in run_texts(texts, [tests] * 3)] == [True, True, False]


@pytest.mark.usefixtures("sandbox")
def test_results_are_in_the_order_of_the_answers_and_none_where_no_python_was_asked_for():
    prompts = [
        Prompt(0, "Write a Python function f(x).", tests=PLUS_ONE),
        Prompt(1, "Name a river."),
        Prompt(2, "Write a Python function f(x)."),
    ]
    right, wrong = (Answer(f"def f(x):\n    return {value}", 9, True, ()) for value in ("x + 1", "x"))
    broken = Answer("def f(x) return", 4, True, ())
    found = execution_results(prompts, [[wrong, right, broken], [right], [wrong, broken]])
    assert [[one and (one.runs, one.passes_tests) for one in own] for own in found] == [
        [(True, False), (True, True), (False, False)], [None], [(True, None), (False, None)],
    ]  # fmt: skip


@pytest.mark.parametrize("n", range(1, 9))
def test_pass_at_k_is_the_share_of_all_choices_of_k_samples_with_one_that_passed(n):
    for c in range(n + 1):
        for k in range(1, n + 1):
            choices = list(combinations([True] * c + [False] * (n - c), k))
            assert pass_at_k(n, c, k) == pytest.approx(sum(map(any, choices)) / len(choices), abs=1e-12)


def test_pass_at_k_of_many_samples_does_not_overflow_and_each_k_is_a_metric_of_its_own():
    assert (pass_at_k(10_000, 1, 100), pass_at_k(10_000, 9_999, 5_000)) == (pytest.approx(0.01), 1.0)
    assert [pass_at_k_definition(k).name for k in (1, 10)] == ["pass_at_1", "pass_at_10"]
    assert pass_at_k_definition(10).label == "pass@10"


@pytest.mark.parametrize(("n", "c", "k"), [(3, 4, 1), (3, -1, 1), (3, 1, 0), (3, 1, 4)])
def test_impossible_counts_are_refused(n, c, k):
    with pytest.raises(ValueError, match=f"n = {n}, c = {c}, k = {k}"):
        pass_at_k(n, c, k)
