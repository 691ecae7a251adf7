"""The registry of metrics: cases by hand through `evaluate`, which metrics apply to which prompt, hostile answers."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import evaluate
import pytest

import pipelines.evaluation.metrics
from pipelines.errors import UserError
from pipelines.evaluation.metrics.constraints import constraints_of
from pipelines.evaluation.metrics.registry import METRICS
from pipelines.evaluation.metrics.registry import response_checks as checks_of
from pipelines.evaluation.prompts.code_tests import CodeTests
from pipelines.evaluation.prompts.prompt import Prompt
from pipelines.evaluation.statistics.intervals import bootstrap_mean
from pipelines.evaluation.statistics.shares import share
from pipelines.inference.generation import Answer
from tests.evaluation.metrics.test_constraints import CASES as CONSTRAINTS

MODULE = str(Path(pipelines.evaluation.metrics.__path__[0]) / "answer")
DEFINITIONS = [metric.definition for metric in METRICS.values()]
LOOP = "round and round it goes, " * 4
ADD = "def add(a, b):\n    return a + b"
WORDS = ["one two three four", "so so so so so so so so"]
ECHO = "What is the capital of France, my friend?"
SIGNATURE = "Write a Python function add(a, b)."
AGAINST = {"predictions": ["The sky!", "red sky", "x"], "references": ["sky", "blue sky", " "]}
RULES = {
    "predictions": ["one, two", '"x"', "x", "x"],
    "constraints": [
        ["no_commas", {"kind": "n_words", "at_most": 2}],
        {"instruction_id_list": ["startend:quotation"], "kwargs": [{}]}, [], ["unknown"],
    ],
}  # fmt: skip
STOPS = {"predictions": ["Paris.", "", "x"], "n_tokens": [2, 1, 4], "stopped": [True, True, False]}
CODE_ASKED = {"predictions": [ADD, "Sure!", ADD], "prompts": [SIGNATURE, SIGNATURE, ECHO]}
SPOKEN = ["I would say that it depends on the weather.", "Die Hauptstadt heißt heute Paris.", "Oh"]
NUMBERS = {"predictions": ["It is 1,200.", "3", "x"], "references": ["so\n#### 1200", "4", "seven"]}
N_ERRORS = {"follows_all_constraints": 1, "constraints_followed": 1, "numeric_answer": 1}
# Inputs, and the values by hand.
CASES: dict[str, tuple[dict[str, Any], list[Any]]] = {
    "empty_answers": ({"predictions": ["Paris.", "", " \n"]}, [False, True, True]),
    "stopped_by_itself": (STOPS, [True, False, False]), "n_tokens": (STOPS, [2, 1, 4]),
    "n_words": ({"predictions": [*WORDS, ""]}, [4, 8, 0]),
    "repetition": ({"predictions": [*WORDS, ""]}, [0.0, 0.8, None]),
    "distinct_2": ({"predictions": [*WORDS, "x"]}, [1.0, 1 / 7, None]),
    "ends_in_loop": ({"predictions": [*WORDS, LOOP]}, [False, False, True]),
    "prompt_echo": ({"predictions": [ECHO, "Paris"], "prompts": [ECHO] * 2}, [1.0, 0.0]),
    "begins_with_prompt": ({"predictions": [ECHO, "Paris", "Hi"], "prompts": [ECHO, ECHO, "Hi!"]}, [True, False, None]),
    "same_language": ({"predictions": SPOKEN, "prompts": [ECHO] * 3}, [True, False, None]),
    "follows_all_constraints": (RULES, [False, True, None, None]),
    "constraints_followed": (RULES, [0.5, 1.0, None, None]), "exact_match": (AGAINST, [True, False, None]),
    "token_f1": (AGAINST, [1.0, 0.5, None]), "rouge_l": (AGAINST, [2 / 3, 0.5, None]),
    "chrf": ({"predictions": ["sky", "abc", "x"], "references": ["sky", "xyz", ""]}, [1.0, 0.0, None]),
    "numeric_answer": (NUMBERS, [True, False, None]), "parses": (CODE_ASKED, [True, False, None]),
    "defines_requested_name": (CODE_ASKED, [True, False, None]),
    "takes_requested_parameters": (CODE_ASKED | {"predictions": [ADD, "def add(b, a): ...", ADD]}, [True, False, None]),
}  # fmt: skip


def loaded(name: str) -> evaluate.EvaluationModule:
    return evaluate.load(MODULE, name, keep_in_memory=True)


def test_every_metric_has_a_case_and_an_unknown_name_is_an_error():
    assert list(CASES) == list(METRICS)
    with pytest.raises(UserError, match="'rouge' is not the name of a metric; load one of empty_answers, "):
        loaded("rouge")


@pytest.mark.parametrize("name", CASES)
def test_evaluate_gives_the_figure_by_hand(name):
    inputs, values = CASES[name]
    metric = loaded(name)
    found = metric.compute(**inputs, n_resamples=200)
    assert found["values"] == [value if value is None else pytest.approx(value) for value in values]
    known = [value for value in found["values"] if value is not None]
    is_flag = METRICS[name].definition.is_flag
    assert all(isinstance(value, bool) for value in known) == is_flag
    estimate = share(known) if is_flag else bootstrap_mean(known, n_resamples=200)
    assert (found["n"], found["value"], found["ci95"]) == (len(known), estimate.value, list(estimate.ci95))
    assert found["n_errors"] == N_ERRORS.get(name, 0)
    assert metric.description == METRICS[name].definition.meaning
    assert "predictions" in metric.inputs_description


def test_several_references_are_one_list_for_each_answer():
    found = loaded("token_f1").compute(predictions=["blue sky", "red"], references=[["red", "blue sky"], ["green"]])
    assert found["values"] == [1.0, 0.0]


def test_too_few_answers_have_a_value_without_an_interval():
    alone = pytest.approx(0.2)
    one = {"n": 1, "value": alone, "ci95": None, "n_errors": 0, "values": [alone]}
    assert loaded("repetition").compute(predictions=["a b c d a b c d"]) == one
    none = loaded("exact_match").compute(predictions=["x"], references=[""])
    assert none == {"n": 0, "value": None, "ci95": None, "n_errors": 0, "values": [None]}


def test_lone_surrogates_are_checked_and_inputs_of_unequal_length_are_an_error():
    assert loaded("n_words").compute(predictions=["\ud800 x \0 y", "z"])["values"] == [2, 1]
    with pytest.raises(IndexError):
        loaded("follows_all_constraints").compute(predictions=["a", "b"], constraints=[["json"]])


QUESTION = Prompt(0, "What is the capital of France, and how many people live there?")
FUNCTION = Prompt(1, "Write a Python function find_max(numbers).")
OF_ANY = {"empty_answers", "stopped_by_itself", "n_tokens", "n_words"}
ALWAYS = OF_ANY | {"repetition", "distinct_2", "ends_in_loop"}
PROSE = {"prompt_echo", "begins_with_prompt", "same_language"}
PYTHON = {"parses", "defines_requested_name", "takes_requested_parameters"}
SHORT = {"exact_match", "token_f1", "rouge_l", "chrf"}
EVERYTHING = constraints_of({"constraints": [row for row, *_ in CONSTRAINTS]}, "row 1")


def answer(text: str) -> Answer:
    return Answer(text, 7, True, ())


def response_checks(answer: Answer, prompt: Prompt) -> dict[str, Any]:
    return checks_of(prompt.checked(answer))


def applying(text: str, prompt: Prompt) -> set[str]:
    return {name for name, value in response_checks(answer(text), prompt).items() if value is not None}


ENGLISH = "Two million people live in the city of Paris, which is the capital."
CODE = "def find_max(numbers):\n    return max(numbers)"


@pytest.mark.parametrize(("prompt", "text", "expected"), [
    (QUESTION, ENGLISH, ALWAYS | PROSE), (QUESTION, "", OF_ANY), (QUESTION, " \n", OF_ANY),
    (QUESTION, "Paris.", ALWAYS | PROSE - {"same_language"}),
    (replace(QUESTION, reference="Paris"), ENGLISH, ALWAYS | PROSE | SHORT),
    (replace(QUESTION, reference=" \n"), ENGLISH, ALWAYS | PROSE),
    (replace(QUESTION, references=("Paris",)), ENGLISH, ALWAYS | PROSE | SHORT),
    (replace(QUESTION, reference="word " * 11), ENGLISH, ALWAYS | PROSE | {"rouge_l", "chrf"}),
    (replace(QUESTION, reference="the " * 11 + "word"), ENGLISH, ALWAYS | PROSE | SHORT),
    (
        replace(QUESTION, reference="2 + 2 makes four and nobody says that it is five.\n#### 4"), ENGLISH,
        ALWAYS | PROSE | {"rouge_l", "chrf", "numeric_answer"},
    ),
    (replace(QUESTION, number="4"), ENGLISH, ALWAYS | PROSE | {"numeric_answer"}), (FUNCTION, CODE, ALWAYS | PYTHON),
    (replace(FUNCTION, reference="def find_max(n): ..."), CODE, ALWAYS | PYTHON | {"chrf"}),
    (replace(QUESTION, tests=CodeTests(("assert f",))), CODE, ALWAYS),
    (Prompt(2, "def find_min(numbers: list[int]) -> int:\n    '''Find it.'''", ""), CODE, ALWAYS | PYTHON),
    (
        replace(QUESTION, constraints=EVERYTHING), ENGLISH,
        ALWAYS | PROSE - {"same_language"} | {"follows_all_constraints", "constraints_followed"},
    ),
])  # fmt: skip
def test_a_check_applies_only_where_it_means_something(prompt, text, expected):
    assert applying(text, prompt) == expected


def test_an_empty_answer_succeeds_in_nothing():
    prompt = replace(FUNCTION, reference="Paris", number="4", constraints=EVERYTHING)
    for text in ("", " \n"):
        checks = response_checks(Answer(text, 0, True, ()), prompt)
        assert checks["empty_answers"] is True
        assert checks["stopped_by_itself"] is False
        better = {one.name: one.better for one in DEFINITIONS}
        successes = [name for name, value in checks.items() if value and better[name] == "higher"]
        assert successes == []
        harmless = [name for name, value in checks.items() if value in (0, False) and better[name] == "lower"]
        assert harmless == [], "an empty answer repeats nothing, which is no merit"


def test_the_checks_are_the_metrics_in_their_order():
    assert list(response_checks(answer("x"), FUNCTION)) == [definition.name for definition in DEFINITIONS]
    assert len({definition.label for definition in DEFINITIONS}) == len(DEFINITIONS)
    groups = [definition.group for definition in DEFINITIONS]
    assert groups == sorted(groups, key=groups.index), "a group is one table of a page"
    for definition in DEFINITIONS:
        assert definition.better in {"higher", "lower", "neither"}
        assert definition.meaning[0].islower()
        assert len(definition.meaning) > 20
        assert definition.meaning[-1] != "."


N = 200_000
FOR_ALL = {
    "one word": "a" * N, "NUL": "\0" * N, "lone surrogates": "\ud800" * N,
    "control characters": "".join(chr(number % 32) for number in range(N)),
    "right-to-left marks": "\u202e\u200fabc" * (N // 5),
    "ideographs": "".join(chr(0x4E00 + number * number * 31 % 20_000) for number in range(N)),
    "[ deep": "[" * (N // 2) + "]" * (N // 2), "lines": "x\n" * (N // 2), "quotes": '"""' * (N // 3),
    "fences": "```\n" * (N // 4),
}  # fmt: skip
FOR_PROSE = {
    "{ deep": '{"a":' * (N // 5), "<<": "<<" * (N // 2), "*": "*" * N, "* x": "* x\n" * (N // 4),
    "blank lines": "\n" * N + "x", "backticks": "`" * N, "digits": "1" * N, "thousands": "1,111" * (N // 5),
    "fractions": "1/" * (N // 2), "marks": "####" * (N // 4), "initials": "a. " * (N // 3),
    "addresses": "http://" * (N // 7), "words": " ".join(str(number * number % 9973) for number in range(N // 5)),
}  # fmt: skip
FOR_CODE = {
    "spaces": " " * N + "x", "( deep": "(" * N, "decorators": "@a\n" * (N // 3),
    "unfinished try": "try:\n" + " x\n" * (N // 3), "unfinished calls": "f(\n" * (N // 3), "~": "~" * N + "1",
    "sum": "1+" * (N // 2) + "1",
}  # fmt: skip
LONG_REFERENCE = " ".join(str(number * number % 997) for number in range(400))
DEMANDING = replace(QUESTION, reference=LONG_REFERENCE, number="4", constraints=EVERYTHING)


@pytest.mark.parametrize("text", [*FOR_ALL.values(), *FOR_PROSE.values()], ids=[*FOR_ALL, *FOR_PROSE])
def test_no_answer_to_a_question_breaks_the_checks(text):
    assert response_checks(answer(text), DEMANDING).keys() >= {"n_tokens", "same_language", "chrf", "parses"}


@pytest.mark.parametrize("text", [*FOR_ALL.values(), *FOR_CODE.values()], ids=[*FOR_ALL, *FOR_CODE])
def test_no_code_breaks_the_checks(text):
    assert response_checks(answer(text), FUNCTION)["parses"] in (True, False)
