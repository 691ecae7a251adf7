"""Tests are found in a row of ours, of MBPP and of HumanEval, and put around an answer in the right places."""

import pytest

from pipelines.errors import UserError
from pipelines.evaluation.prompts.code_tests import CodeTests, code_tests_of

HEAD = 'def double(x):\n    """Twice x."""\n'
COMPLETION = {
    "prompt": f"import math\n\ndef helper(x):\n    return math.floor(x)\n\n\n{HEAD}",
    "test": "def check(candidate):\n    assert candidate(2) == 4\n", "entry_point": "double",
}  # fmt: skip


MBPP = {"test_list": ["assert f(root) == 1"], "test_setup_code": "root = Node(1)", "test_imports": ["import math"]}


@pytest.mark.parametrize(("row", "tests"), [
    ({"tests": ["assert f(1) == 2", "assert f(2) == 3"]}, CodeTests(("assert f(1) == 2", "assert f(2) == 3"))),
    (MBPP, CodeTests(("assert f(root) == 1",), setup="import math\nroot = Node(1)")),  # between answer and tests
    ({}, None), ({"tests": []}, None), ({"tests": None}, None), ({"test": "x"}, None), ({"test_list": []}, None),
])  # fmt: skip
def test_tests_are_read_from_a_row_of_ours_or_of_mbpp(row, tests):
    assert code_tests_of(row) == tests


def test_a_whole_answer_to_a_head_gets_what_stands_above_the_head():
    tests = code_tests_of(COMPLETION)
    assert tests.statements == ("check(double)",)
    before, answer = tests.program_of("ignored", "def double(x):\n    return x + x")
    assert before == "import math\n\ndef helper(x):\n    return math.floor(x)"
    assert answer == "def double(x):\n    return x + x"


def test_a_continuation_of_a_head_counts_up_to_the_margin():
    tests = code_tests_of(COMPLETION)
    text = "    y = x\n\n    return x + y\n\ndef other():\n    retu"
    assert tests.program_of(text, text) == ("", COMPLETION["prompt"] + "    y = x\n\n    return x + y\n")


@pytest.mark.parametrize(("row", "words"), [
    ({"tests": [1]}, "'tests' is a list, expected a list of Python statements"),
    ({"test_list": {"a": 1}}, "'test_list' is a dict, expected a list"),
    ({"tests": ["assert f(1) = 2"]}, "is not Python"),
])  # fmt: skip
def test_tests_that_cannot_be_run_are_refused(row, words):
    with pytest.raises(UserError, match=words):
        code_tests_of(row)


@pytest.mark.parametrize("empty", ["", "# f(1) == 1", "\n"])
def test_a_test_that_everything_passes_is_refused(empty):
    with pytest.raises(UserError, match="so every answer passes it"):
        code_tests_of({"tests": ["assert f(1) == 1", empty]})
