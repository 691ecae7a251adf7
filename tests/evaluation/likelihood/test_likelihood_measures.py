import json
import pickle
from pathlib import Path

import pytest

from pipelines.evaluation.likelihood.evaluation_data import EvaluationData
from pipelines.evaluation.likelihood.likelihood_measures import likelihood_measures, likelihood_scores
from pipelines.evaluation.prompts.prompt import Prompt
from pipelines.inference.generation import Answer
from pipelines.inference.loading import load_for_inference
from pipelines.modeling import PromptStyle
from tests.run_files import write_jsonl

PROMPTS = [
    Prompt(0, "Write find_max.", "", "def find_max(numbers):\n    return max(numbers)\n"), Prompt(1, "Say nothing."),
    Prompt(2, "Say it in German.", "blue", "blau, größer als alle anderen Wörter"), Prompt(3, "Short.", "", "ok"),
]  # fmt: skip
ANSWERS = [Answer(text, 4, True, ()) for text in ("one two", "", "return max(numbers)", "x")]
OF_REFERENCES = ["p_end", "p_end_inside", "next_token_accuracy", "calibration_error"]


@pytest.fixture
def data(tmp_path: Path) -> EvaluationData:
    contents: dict[str, list[dict[str, object]]] = {
        "general": [{"text": "some text"}, {"text": "and more of it"}],
        "capability": [{"good": "a b", "bad": "a c"}, {"prompt": "a", "choices": ["b", "c"], "answer": "A"}],
        "training_rows": [{"output": "def f():\n    return max(numbers)"}],
    }
    return EvaluationData.read(
        **{name: write_jsonl(tmp_path / f"{name}.jsonl", rows) for name, rows in contents.items()}
    )


def test_a_base_without_a_template_and_an_instruct_model_are_measured_alike(tiny_model_folder, untemplated, data):
    measured = {
        "base": likelihood_scores(load_for_inference(str(untemplated)), PROMPTS, PromptStyle.PLAIN, data),
        "instruct": likelihood_scores(load_for_inference(str(tiny_model_folder)), PROMPTS, PromptStyle.CHAT, data),
    }
    measured = pickle.loads(pickle.dumps(measured))
    answers = {"base": ANSWERS, "instruct": ANSWERS}
    tables, details = likelihood_measures(PROMPTS, measured, answers, data)
    names = ["general_bits_per_byte", "capability", "capability_per_byte", "longest_overlap", "repeats_training_row"]
    assert [one.name for one in tables] == OF_REFERENCES + names
    by_name = {one.name: one for one in tables}
    for name in ("general_bits_per_byte", "capability", "longest_overlap"):
        assert by_name[name].difference("instruct", "base").estimate.value == 0.0
    for name in OF_REFERENCES:
        assert by_name[name].figure("instruct").n == 3
    assert by_name["p_end"].figure("base") != by_name["p_end"].figure("instruct")

    details = json.loads(json.dumps(details, allow_nan=False))
    assert list(details) == [
        "likelihood_by_position", "reliability", "general", "capability", "training_rows", "longest_overlaps"
    ]  # fmt: skip
    assert details["training_rows"]["n"] == 1
    assert details["longest_overlaps"][0] == {
        "model": "base", "id": 2, "n_words": 2, "text": "return max(numbers)", "row": 1
    }  # fmt: skip


def test_without_references_and_files_nothing_applies(tiny_model_folder):
    prompts = [Prompt(0, "Say."), Prompt(1, "Say more.")]
    answers = {"base": ANSWERS[:2]}
    measured = {
        "base": likelihood_scores(
            load_for_inference(str(tiny_model_folder)), prompts, PromptStyle.CHAT, EvaluationData()
        )
    }
    tables, details = likelihood_measures(prompts, measured, answers, EvaluationData())
    assert [one.name for one in tables] == OF_REFERENCES
    assert [one.figure("base") for one in tables] == [None] * 4
    assert details == {}
