"""Recovering the requested function, and judging Python without running it."""

import pytest

from pipelines.evaluation.metrics.python_answer import (
    MAX_CODE_CHARACTERS,
    RequestedFunction,
    code_of,
    python_checks,
    requested_function,
)

FIND_MAX = RequestedFunction("find_max", ("numbers",))


@pytest.mark.parametrize(("instruction", "name", "parameters"), [
    ("Write a Python function find_max(numbers)", "find_max", ["numbers"]),
    ("Write a Python function find_max(numbers) that returns the largest number.", "find_max", ["numbers"]),
    ("Write an async Python function fetch(url, *, timeout). Fetch it.", "fetch", ["url", "*", "timeout"]),
    ("Write a Python method close(self). Close the file.", "close", ["self"]),
    ("method close(self)", "close", ["self"]),
    ("Write a Python function `find_max(numbers)`.", "find_max", ["numbers"]),
    ("Write a function named `find_max(numbers)` in Python.", "find_max", ["numbers"]),
    ("Complete this:\n\n```python\ndef find_max(numbers):\n```", "find_max", ["numbers"]),
    ("Implement `def find_max(numbers: list[int], default=(0, 1)) -> int:`", "find_max", ["numbers", "default"]),
    ("def find_max(numbers):", "find_max", ["numbers"]),
    ("Write a Python function f(a, /, b, *args, c, **kwargs).", "f", ["a", "/", "b", "*args", "c", "**kwargs"]),
    ("Write a Python function now().", "now", []),
    ("Write a Python function parse(text). Return the def line(x) of some Java code.", "parse", ["text"]),
])  # fmt: skip
def test_the_requested_function_is_recovered_from_the_instruction(instruction, name, parameters):
    assert requested_function(instruction) == RequestedFunction(name, tuple(parameters))


@pytest.mark.parametrize("instruction", [
    "What is the capital of France?", "Write a Python function that finds the maximum.",
    "Write a Java function find_max(numbers).", "Write a function f(x) that describes the line.",
    "Write a Python function find_max(int[] numbers).", "Write a Python function find_max(numbers",
    "What would be the output of this Python code? def add(a, b): return a + b",
    "Translate the following Python code to JavaScript: ```python\ndef square(x): return x * x\n```", "",
])  # fmt: skip
def test_an_instruction_that_asks_for_no_python_function_requests_none(instruction):
    assert requested_function(instruction) is None


@pytest.mark.parametrize(("answer", "parses", "defines", "takes"), [
    ("def find_max(numbers):\n    return max(numbers)", True, True, True),
    ("async def find_max(numbers):\n    return max(numbers)", True, True, True),
    ("def find_max(numbers: list[int] = ()) -> int:\n    return max(numbers)", True, True, True),
    ("def find_max(values):\n    return max(values)", True, True, False),
    ("def find_max(*numbers):\n    return max(numbers)", True, True, False),
    ("def find_max(numbers, *, key):\n    return max(numbers)", True, True, False),
    ("def find_min(numbers):\n    return min(numbers)", True, False, False),
    ("class A:\n    def find_max(numbers):\n        return 1", True, True, True),
    ("def outer():\n    def find_max(numbers):\n        return 1", True, False, False),
    ("find_max = max", True, False, False), ("    def find_max(numbers):\n        return 1", True, True, True),
    ("", False, False, False), ("\n  \n", False, False, False), ("# only a comment", False, False, False),
    ("Here you are: a function.", False, False, False), ("```javascript\nx\n```", False, False, False),
    ("x = = 1\ndef find_max(numbers):\n    return 1", False, False, False),  # a definition after the first mistake
    ("def find_max(numbers):\n    best = numbers[0]\n    for number in numb", False, True, True),  # cut by the limit
    ("def find_max(numbers):\n    return 1\n" + "x = 1\n" * (MAX_CODE_CHARACTERS // 6), False, True, True),  # too long
])  # fmt: skip
def test_an_answer_is_judged_by_its_syntax_tree(answer, parses, defines, takes):
    checks = python_checks(answer, FIND_MAX)
    assert (checks.parses, checks.defines_requested_name, checks.takes_requested_parameters) == (parses, defines, takes)


@pytest.mark.parametrize("rest", [
    "print(find_max(\n  1,\n  2,\n", "try:\n    x = 1\n    y = 2\n", "@decorated\n@twice\n",
    'text = """never\nclosed\n', "if x:\n" * 3, "  stray indent\nmore = 1\nlines = 2\n",
    "from x import (\n    a,\n    b\nc = = 3\n",
])  # fmt: skip
def test_whatever_follows_the_code_that_parses_is_left_out(rest):
    code = f"def find_max(numbers):\n    return max(numbers)\n{rest}"
    checks = python_checks(code, FIND_MAX)
    assert (checks.parses, checks.takes_requested_parameters) == (False, True)
    assert not python_checks("(\n" + code, FIND_MAX).defines_requested_name


def test_the_first_python_block_of_a_fenced_answer_is_judged():
    answer = "Sure!\n\n```python\ndef find_max(numbers):\n    return max(numbers)\n```\nIt works:\n```\nfind_max()\n```"
    assert code_of(answer) == "def find_max(numbers):\n    return max(numbers)"
    assert python_checks(answer, FIND_MAX).takes_requested_parameters
    assert code_of("```python\nx = 1\ny") == "x = 1\ny", "the token limit left the fence open"


def test_a_fence_inside_a_docstring_of_code_that_parses_is_left_alone():
    answer = (
        'def find_max(numbers):\n    """Like this:\n\n    ```python\n    find_max([1])\n    ```\n    """\n    return 1'
    )
    assert code_of(answer) == answer


@pytest.mark.parametrize("answer", [
    "x = '\0'", "(" * 5000, "~" * 20_000 + "1", "f(" * 150 + ")" * 150, "x = '\\q' and '\ud800'", "{" * 90 + "\ufffd",
    "\x0c\x1b[31m",
])  # fmt: skip
def test_strange_output_neither_raises_nor_warns(answer, recwarn):
    python_checks(answer, FIND_MAX)
    assert not recwarn.list


def test_generated_code_is_never_executed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    python_checks("open('executed', 'w').close()\ndef find_max(numbers=open('executed', 'w')):\n    pass", FIND_MAX)
    assert not (tmp_path / "executed").exists()


def test_the_parameters_of_a_long_signature_equal_those_of_its_own_tree():
    signature = "a, b=(1, 2), *rest, c: 'dict[str, list[int]]' = {}, **more"
    requested = requested_function(f"Write a Python function f({signature}) please")
    assert requested == RequestedFunction("f", ("a", "b", "*rest", "c", "**more"))
    assert python_checks(f"def f({signature}): ...", requested).takes_requested_parameters
