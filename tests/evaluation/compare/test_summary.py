"""One line each for form, correctness and what was lost, against every baseline, and what to be careful about."""

from dataclasses import replace

import numpy as np
import pytest

from pipelines.evaluation.compare.comparison import comparison_of
from pipelines.evaluation.compare.measuring import MeasuredModel
from pipelines.evaluation.compare.responses import responses_of
from pipelines.evaluation.compare.summary import comparison_table
from pipelines.evaluation.prompts.prompt import Prompt
from pipelines.evaluation.statistics.metric_definition import Aspect, Group, MetricDefinition
from pipelines.evaluation.statistics.metric_table import MetricTable
from pipelines.hub.model_names import Role
from pipelines.inference.generation import Answer
from pipelines.modeling import PromptStyle

GENERAL = MetricDefinition("general_bits_per_byte", "bits of text", "bits_per_byte", "lower", "bits", Group.BEYOND)
N = 60
PROMPTS = [
    Prompt(number, f"What is {number} plus {number}?", reference=f"It is {2 * number}.", group=f"group {number // 3}")
    for number in range(N)
]


def model(name: str, role: Role, texts: list[str], stopped: list[bool], style: PromptStyle) -> MeasuredModel:
    answers = [Answer(text, len(text.split()), stop, ()) for text, stop in zip(texts, stopped, strict=True)]
    return MeasuredModel(name, role, name, "sha256:0", style, answers, [], {})


RIGHT = [str(prompt.reference) for prompt in PROMPTS]
BASE = model("base", Role.BASE, ["I do not know that."] * N, [False] * N, PromptStyle.PLAIN)
INSTRUCT = model("instruct", Role.INSTRUCT, RIGHT, [True] * N, PromptStyle.CHAT)


def compared(*models: MeasuredModel, prompts: list[Prompt] = PROMPTS, further: tuple[MetricTable, ...] = ()) -> dict:
    return comparison_of(prompts, models, responses_of(prompts, models), further)


def test_each_aspect_names_one_measure_with_its_figures():
    base = np.random.default_rng(0).normal(1.0, 0.05, 30)
    bits, n_bytes = {"base": list(100 * base), "instruct": list(104 * base)}, [100] * 30
    general = MetricTable.of_ratios(GENERAL, bits, {"base": n_bytes, "instruct": n_bytes})
    record = compared(BASE, INSTRUCT, further=(general,))
    summary = record["summary"]["instruct"]
    named = [summary[one]["metric"] for one in ("form", "correctness", "lost")]
    assert named == ["stopped_by_itself", "exact_match", "general_bits_per_byte"]
    form = summary["form"]
    assert (form["value"], form["difference"], form["n"], form["n_groups"], form["verdict"]) == (1, 1, N, 20, "better")
    assert form["against"]["base"]["value"] == 0
    assert form["ci95"][0] < 1.0 == form["ci95"][1]
    assert form["text"].startswith("stops on its own 0.0% (base) -> 100.0%: +100.0 points [")
    assert form["text"].endswith("n = 60 in 20 groups, better")
    assert "p <= " in form["text"], "no permutation of 20 groups gives as large a difference"
    assert summary["lost"]["text"].endswith("n = 30, worse")
    for aspect in Aspect:
        assert f"{aspect}: {summary[aspect]['text']}" in record["sentences"]["instruct"]
        assert f"instruct, {aspect}: {summary[aspect]['text']}" in comparison_table(record)


def test_a_further_metric_that_is_worse_is_named():
    looping = replace(INSTRUCT, greedy=[Answer("so it is, so it is, so it is, so it is, so it is,", 15, True, ())] * N)
    form = compared(BASE, looping)["summary"]["instruct"]["form"]
    assert form["verdict"] == "better"
    assert {"repetition", "ends in a loop"} <= set(form["worse"])
    assert "; worse: repetition" in form["text"]


def test_a_metric_of_few_prompts_is_not_the_headline():
    """One prompt in ten has a reference of a few words; chrF is there for all."""
    long = "It is a sum that one can count on the fingers of two hands, which is "
    prompts = [replace(one, reference=(long if one.id % 10 else "") + str(one.reference)) for one in PROMPTS]
    record = compared(BASE, INSTRUCT, prompts=prompts)
    assert record["differences"]["instruct"]["exact_match"]["n"] == 6
    assert record["summary"]["instruct"]["correctness"]["metric"] == "chrf"


def test_a_further_baseline_has_differences_of_its_own_and_a_place_in_the_text():
    class Further(str):
        value = "base with examples"

    few_shot = replace(INSTRUCT, name="few-shot", role=Further())  # type: ignore[arg-type]
    record = compared(BASE, few_shot, INSTRUCT)
    assert record["differences"].keys() == record["summary"].keys() == {"instruct"}
    assert record["differences"]["instruct"]["exact_match"]["value"] == 1.0
    assert record["against"]["few-shot"]["differences"]["instruct"]["exact_match"]["value"] == 0.0
    against = record["summary"]["instruct"]["correctness"]["against"]
    assert {name: one["difference"] for name, one in against.items()} == {"base": 1.0, "few-shot": 0.0}
    text = record["summary"]["instruct"]["correctness"]["text"]
    assert "0.0% (base) -> 100.0%" in text
    assert "100.0% (few-shot) -> 100.0%: +0.0 points" in text
    assert record["against"]["few-shot"]["sentences"]["instruct"].startswith("no difference at all")


def test_values_side_by_side_and_their_difference_are_of_the_same_prompts():
    """The base has no text on half of the prompts; its repetition is compared on the others alone."""
    half = [text if place % 2 else "" for place, text in enumerate(RIGHT)]
    base = replace(BASE, greedy=[Answer(text, 3, True, ()) for text in half])
    record = compared(base, INSTRUCT)
    figures = [record["models"][name]["metrics"]["repetition"] for name in ("base", "instruct")]
    found = record["differences"]["instruct"]["repetition"]
    assert {one["n"] for one in [*figures, found]} == {N // 2}
    assert found["values"] == {"instruct": figures[1]["value"], "base": figures[0]["value"]}
    assert record["models"]["base"]["metrics"]["stopped_by_itself"]["value"] == 0.5, "an empty answer is no success"
    assert record["models"]["base"]["metrics"]["empty_answers"]["value"] == 0.5


@pytest.mark.parametrize(("models", "prompts", "expected"), [
    ((BASE, INSTRUCT), PROMPTS, []),
    ((BASE, replace(INSTRUCT, prompt_style=PromptStyle.PLAIN)), PROMPTS, ["no_chat_template"]),
    ((BASE, INSTRUCT), [replace(one, group=f"group {one.id // 10}") for one in PROMPTS], ["too_few_groups"]),
    ((BASE, INSTRUCT), [replace(one, counted=one.id < 19, group=None) for one in PROMPTS], ["few_prompts"]),
])  # fmt: skip
def test_each_warning_is_in_the_record_and_in_the_table(models, prompts, expected):
    record = compared(*models, prompts=prompts)
    assert [one["id"] for one in record["warnings"]] == expected
    for one in record["warnings"]:
        assert f"warning: {one['text']}" in comparison_table(record)


@pytest.mark.parametrize(("n_empty", "is_warned"), [(6, False), (7, True), (45, True)])
def test_more_than_a_tenth_of_empty_answers_is_a_warning(n_empty, is_warned):
    texts = [" \n"] * n_empty + RIGHT[n_empty:]
    instruct = replace(INSTRUCT, greedy=[Answer(text, 3, True, ()) for text in texts])
    warnings = compared(BASE, instruct)["warnings"]
    expected = {"id": "empty_answers", "text": f"{n_empty} of 60 greedy answers of instruct are empty"}
    assert warnings == ([expected] if is_warned else [])
