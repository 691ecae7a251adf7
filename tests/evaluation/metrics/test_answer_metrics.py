"""Every check as an `evaluate` module: hand-made cases, the same as `response_checks`, errors counted."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import evaluate
import pytest

import pipelines.evaluation.metrics
from pipelines.evaluation.answer_checks import RESPONSE_METRICS, response_checks
from pipelines.evaluation.answer_checks.constraints import given_constraints
from pipelines.evaluation.prompts.prompt_sets import Prompt
from pipelines.evaluation.statistics.intervals import bootstrap_mean, share
from pipelines.inference.generation import Answer

FOLDER = Path(pipelines.evaluation.metrics.__path__[0])
NAMES = [definition.name for definition in RESPONSE_METRICS]
FLAGS = {definition.name for definition in RESPONSE_METRICS if definition.is_flag}

LOOP = "round and round it goes, " * 4
QUESTION = "What is the capital of France, my friend?"
FUNCTION = "Write a Python function add(a, b)."
ADD = "def add(a, b):\n    return a + b"
ANSWERS = ["one two three four", "so so so so so so so so"]
REFERENCES = {"predictions": ["The sky!", "red sky", "x"], "references": ["sky", "blue sky", " "]}
RULES = [
    ["no_commas", {"kind": "n_words", "at_most": 2}],
    {"instruction_id_list": ["startend:quotation"], "kwargs": [{}]},
    [],
    ["unknown"],
]
TOKENS = {"predictions": [[5, 6, 2], [5, 6, 7, 8], [2]], "end_token_ids": [2, 3]}

# Inputs, the values by hand, and how many could not be checked.
CASES: dict[str, tuple[dict[str, Any], list[Any], int]] = {
    "empty_answers": ({"predictions": ["Paris.", "", " \n"]}, [False, True, True], 0),
    "stopped_by_itself": (TOKENS, [True, False, True], 0),
    "n_tokens": (TOKENS, [2, 4, 0], 0),
    "n_words": ({"predictions": [*ANSWERS, ""]}, [4, 8, 0], 0),
    "repetition": ({"predictions": ANSWERS}, [0.0, 0.8], 0),
    "distinct_1": ({"predictions": [*ANSWERS, ""]}, [1.0, 1 / 8, None], 0),
    "distinct_2": ({"predictions": [*ANSWERS, "x"]}, [1.0, 1 / 7, None], 0),
    "ends_in_loop": ({"predictions": [*ANSWERS, LOOP]}, [False, False, True], 0),
    "prompt_echo": ({"predictions": [QUESTION, "Paris"], "prompts": [QUESTION] * 2}, [1.0, 0.0], 0),
    "begins_with_prompt": (
        {"predictions": [QUESTION, "Paris", "Hi"], "prompts": [QUESTION, QUESTION, "Hi!"]},
        [True, False, None],
        0,
    ),
    "same_language": (
        {
            "predictions": [
                "I would say that it depends on the weather.",
                "Die Hauptstadt von Frankreich heißt Paris.",
                "Paris",
            ],
            "prompts": [QUESTION] * 3,
        },
        [True, False, None],
        0,
    ),
    "follows_all_constraints": (
        {"predictions": ["one, two", '"x"', "x", "x"], "constraints": RULES},
        [False, True, None, None],
        1,
    ),
    "constraints_followed": (
        {"predictions": ["one, two", '"x"', "x", "x"], "constraints": RULES},
        [0.5, 1.0, None, None],
        1,
    ),
    "exact_match": (REFERENCES, [True, False, None], 1),
    "token_f1": (REFERENCES, [1.0, 0.5, None], 1),
    "rouge_l": (REFERENCES, [2 / 3, 0.5, None], 1),
    "chrf": ({"predictions": ["sky", "abc", "x"], "references": ["sky", "xyz", ""]}, [1.0, 0.0, None], 1),
    "numeric_answer": (
        {"predictions": ["It is 1,200.", "3", "x"], "references": ["so\n#### 1200", "4", "seven"]},
        [True, False, None],
        1,
    ),
    "parses": ({"predictions": [ADD, "Sure!"]}, [True, False], 0),
    "defines_requested_name": (
        {"predictions": [ADD, "x = 1", ADD], "prompts": [FUNCTION, FUNCTION, QUESTION]},
        [True, False, None],
        0,
    ),
    "takes_requested_parameters": (
        {"predictions": [ADD, "def add(b, a): ...", ADD], "prompts": [FUNCTION, FUNCTION, QUESTION]},
        [True, False, None],
        0,
    ),
}


def loaded(name: str) -> evaluate.EvaluationModule:
    return evaluate.load(str(FOLDER / name), keep_in_memory=True)


def test_every_metric_of_a_page_has_a_module() -> None:
    assert CASES.keys() == {*NAMES, "distinct_1"}
    for name in CASES:
        assert (FOLDER / name / f"{name}.py").is_file()


@pytest.mark.parametrize("name", CASES)
def test_a_module_gives_the_figure_by_hand(name: str) -> None:
    inputs, values, n_errors = CASES[name]
    metric = loaded(name)
    found = metric.compute(**inputs, n_resamples=200)
    assert found["values"] == [value if value is None else pytest.approx(value) for value in values]
    known = [value for value in found["values"] if value is not None]
    estimate = share(known) if name in FLAGS else bootstrap_mean(known, n_resamples=200)
    assert (found["n"], found["value"], found["ci95"]) == (len(known), estimate.value, list(estimate.ci95))
    assert found["n_errors"] == n_errors
    for words in (metric.description, metric.inputs_description):
        assert len(words.strip()) > 20
    assert "predictions" in metric.inputs_description


@pytest.mark.parametrize("name", NAMES)
def test_a_module_gives_the_same_as_the_checks_of_a_comparison(name: str) -> None:
    inputs, _, _ = CASES[name]
    found = loaded(name).compute(**inputs, n_resamples=50)["values"]
    for place, value in enumerate(found):
        if value is not None:
            item = {column: entries[place] for column, entries in inputs.items() if column != "end_token_ids"}
            answer, prompt = as_answer_and_prompt(item, inputs.get("end_token_ids", ()))
            assert response_checks(answer, prompt)[name] == value


def as_answer_and_prompt(item: Mapping[str, Any], end_token_ids: Any) -> tuple[Answer, Prompt]:
    said, reference = item["predictions"], item.get("references")
    new_ids = said if isinstance(said, list) else [1]
    n_tokens = len(new_ids) - (new_ids[-1] in end_token_ids)
    answer = Answer(said if isinstance(said, str) else "x", n_tokens, new_ids[-1] in end_token_ids, tuple(new_ids))
    asked = item.get("prompts", FUNCTION if isinstance(said, str) and "references" not in item else QUESTION)
    number = reference.split()[-1] if reference and reference.split()[-1].isdigit() else None
    constraints = given_constraints(item["constraints"]) if "constraints" in item else ()
    return answer, Prompt(0, asked, reference=reference, number=number, constraints=constraints)


def test_constraints_are_also_counted_one_by_one() -> None:
    inputs, _, _ = CASES["constraints_followed"]
    found = loaded("constraints_followed").compute(**inputs, n_resamples=200)
    assert found["value"] == pytest.approx((0.5 + 1.0) / 2)
    assert (found["instruction_level"]["n"], found["instruction_level"]["value"]) == (3, pytest.approx(2 / 3))


def test_several_references_are_one_list_for_each_answer() -> None:
    found = loaded("token_f1").compute(predictions=["blue sky", "red"], references=[["red", "blue sky"], ["green"]])
    assert found["values"] == [1.0, 0.0]


def test_too_few_answers_have_a_value_without_an_interval() -> None:
    metric = loaded("repetition")
    assert metric.compute(predictions=["a b c d a b c d"]) == {
        "n": 1,
        "value": pytest.approx(0.2),
        "ci95": None,
        "n_errors": 0,
        "values": [pytest.approx(0.2)],
    }
    none = loaded("exact_match").compute(predictions=["x"], references=[""])
    assert none == {"n": 0, "value": None, "ci95": None, "n_errors": 1, "values": [None]}


def test_answers_that_no_utf_8_can_hold_are_checked() -> None:
    assert loaded("n_words").compute(predictions=["\ud800 x \0 y", "z"])["values"] == [2, 1]


def test_inputs_of_unequal_length_are_refused() -> None:
    with pytest.raises(ValueError, match=r"zip\(\) argument"):
        loaded("follows_all_constraints").compute(predictions=["a", "b"], constraints=[["json"]])
