"""From what two models did to figures, differences and records."""

import json
import math
from dataclasses import replace
from typing import Any

import pytest

from pipelines.evaluation.compare.comparison import comparison_of
from pipelines.evaluation.compare.measuring import MeasuredModel
from pipelines.evaluation.compare.metric_tables import answer_tables
from pipelines.evaluation.compare.responses import responses_of
from pipelines.evaluation.compare.summary import comparison_table
from pipelines.evaluation.likelihood.likelihood import DocumentLikelihood
from pipelines.evaluation.prompts.prompt import Prompt
from pipelines.evaluation.prompts.prompt_sets import typed_prompts
from pipelines.evaluation.statistics.shares import paired_difference_of_shares
from pipelines.hub.model_names import Role
from pipelines.inference.generation import Answer
from pipelines.modeling import PromptStyle

GOOD, OTHER, CUT = "def f(x):\n    return x", "def g(x):\n    return x", "def f(x):\n    return ("
PROMPTS = [
    *typed_prompts(["Write a Python function f(x)"]),
    Prompt(1, "Write a Python function f(x).", "", "def f(x): ...", "code"),
    Prompt(2, "Write a Python function f(x).", "", "def f(x): pass", "code"),
    Prompt(3, "Name a color.", "", "red", "talk"), Prompt(4, "Say something.", "", None, "talk"),
]  # fmt: skip


def answer(text: str, stopped: bool) -> Answer:
    n_tokens = len(text.split())
    return Answer(text, n_tokens, stopped, tuple(range(n_tokens + stopped)))


def model(
    role: Role,
    texts: list[tuple[str, bool]],
    nats: dict[PromptStyle, list[float | None]],
    samples: list[list[tuple[str, bool]]] | None = None,
) -> MeasuredModel:
    likelihoods = {
        style: [None if one is None else DocumentLikelihood(one, 3, 10) for one in found]
        for style, found in nats.items()
    }
    return MeasuredModel(
        name=role.value, role=role, path=f"models/{role.value}", fingerprint="sha256:0",
        prompt_style=PromptStyle.PLAIN if role is Role.BASE else PromptStyle.CHAT,
        greedy=[answer(*one) for one in texts],
        samples=[[answer(*one) for one in several] for several in samples or []], likelihoods=likelihoods,
    )  # fmt: skip


BASE = model(
    Role.BASE,
    [(GOOD, True), (CUT, False), (OTHER, False), ("red red red red red red", False), ("hm", True)],
    {PromptStyle.PLAIN: [99.0, 20.0, 30.0, 10.0, None], PromptStyle.CHAT: [1.0, 24.0, 33.0, 9.0, None]},
    [[(GOOD, True)] * 2, [(OTHER, True), (GOOD, False)], [(OTHER, True), (OTHER, False)]] + [[("x", True)] * 2] * 2,
)
INSTRUCT = model(
    Role.INSTRUCT,
    [(CUT, False), (GOOD, True), (GOOD, True), ("red", True), ("Hello there.", True)],
    {PromptStyle.CHAT: [99.0, 12.0, 15.0, 9.0, None]},
    [[(CUT, False)] * 2, [(GOOD, True), (GOOD, True)], [(GOOD, True), (OTHER, True)]] + [[("x", True)] * 2] * 2,
)


def compared(*models: MeasuredModel) -> dict[str, Any]:
    record = comparison_of(PROMPTS, models, responses_of(PROMPTS, models))
    json.dumps(record, allow_nan=False)
    return record


@pytest.fixture(scope="module")
def record() -> dict[str, Any]:
    return compared(BASE, INSTRUCT)


def value(record: dict[str, Any], name: str, metric: str) -> tuple[float, int]:
    figure = record["models"][name]["metrics"][metric]
    assert figure["ci95"][0] <= figure["value"] <= figure["ci95"][1]
    return pytest.approx(figure["value"]), figure["n"]


def test_figures_rest_on_the_counted_prompts_to_which_the_metric_applies(record):
    assert value(record, "base", "stopped_by_itself") == (1 / 4, 4)
    assert value(record, "instruct", "stopped_by_itself") == (1.0, 4)
    assert value(record, "base", "parses") == (1 / 2, 2)
    assert value(record, "base", "defines_requested_name") == (0.0, 2)
    assert value(record, "instruct", "takes_requested_parameters") == (1.0, 2)
    assert value(record, "base", "n_tokens") == ((4 + 4 + 6 + 1) / 4, 4)
    assert value(record, "base", "repetition") == ((2 / 3) / 4, 4)


def test_a_sampled_figure_is_the_mean_over_prompts_of_the_mean_over_samples(record):
    assert value(record, "base", "defines_requested_name_sampled") == (1 / 4, 2)
    assert value(record, "instruct", "defines_requested_name_sampled") == (3 / 4, 2)
    assert record["metric_definitions"]["parses_sampled"]["decoding"] == "sampled"
    assert record["metric_definitions"]["parses"]["decoding"] == "greedy"
    assert record["metric_definitions"]["response_bits_per_byte"]["decoding"] is None


def test_bits_per_byte_are_the_bits_of_all_answers_over_all_their_bytes(record):
    assert value(record, "base", "response_bits_per_byte") == (60 / math.log(2) / 30, 3)
    assert value(record, "instruct", "response_bits_per_byte") == (36 / math.log(2) / 30, 3)
    difference = record["differences"]["instruct"]["response_bits_per_byte"]
    assert difference["value"] == pytest.approx(-24 / math.log(2) / 30)
    assert difference["relative"]["value"] == pytest.approx(-24 / 60)
    assert difference["relative"]["ci95"][0] <= -24 / 60 <= difference["relative"]["ci95"][1]
    assert "relative" not in record["differences"]["instruct"]["parses"]


@pytest.mark.parametrize("better", [PromptStyle.PLAIN, PromptStyle.CHAT])
def test_the_base_is_compared_in_the_prompt_style_that_suits_it_better(better):
    worse = PromptStyle.CHAT if better is PromptStyle.PLAIN else PromptStyle.PLAIN
    plain, chat = BASE.likelihoods[PromptStyle.PLAIN], BASE.likelihoods[PromptStyle.CHAT]
    base = replace(BASE, likelihoods={better: plain, worse: chat})
    record = compared(base, INSTRUCT)
    assert value(record, "base", "response_bits_per_byte") == (60 / math.log(2) / 30, 3)
    assert record["base_prompt_styles"][better.value]["value"] == pytest.approx(60 / math.log(2) / 30)
    assert record["base_prompt_styles"][worse.value]["value"] == pytest.approx(66 / math.log(2) / 30)
    headlines = {style: one["is_headline"] for style, one in record["base_prompt_styles"].items()}
    assert headlines == {better.value: True, worse.value: False}
    first = responses_of(PROMPTS, [base, INSTRUCT])[1]
    assert first["answers"]["base"]["response_bits_per_byte"] == pytest.approx(20 / math.log(2) / 10)


def test_differences_are_instruct_minus_base_on_the_same_prompts(record):
    found = record["differences"]["instruct"]
    assert found["stopped_by_itself"]["value"] == pytest.approx(3 / 4)
    assert found["n_tokens"]["value"] == pytest.approx((4 + 4 + 1 + 2) / 4 - (4 + 4 + 6 + 1) / 4)
    expected = paired_difference_of_shares([True, True], [False, True]).to_json()
    assert {key: found["parses"][key] for key in expected} == expected
    low, high = found["defines_requested_name"]["ci95"]
    assert low < found["defines_requested_name"]["value"] == 1.0 == high


def test_samples_that_all_agree_have_no_interval_of_width_zero():
    agreeing = [replace(one, samples=[[answer("x", True)] * 2] * 5) for one in (BASE, INSTRUCT)]
    record = compared(*agreeing)
    assert record["models"]["base"]["metrics"]["stopped_by_itself_sampled"]["ci95"][0] < 0.6
    assert record["differences"]["instruct"]["stopped_by_itself_sampled"]["ci95"][0] < -0.3


def test_a_metric_that_applies_to_no_prompt_is_not_reported():
    record = comparison_of(PROMPTS[3:], parts := [cut(BASE, 3), cut(INSTRUCT, 3)], responses_of(PROMPTS[3:], parts))
    assert "parses" not in record["models"]["base"]["metrics"]
    assert "parses" not in record["metric_definitions"]
    assert "response_bits_per_byte" not in record["metric_definitions"]  # one reference has no interval
    assert "stopped_by_itself" in record["metric_definitions"]


def cut(measured: MeasuredModel, start: int) -> MeasuredModel:
    return replace(
        measured, greedy=measured.greedy[start:], samples=[],
        likelihoods={style: found[start:] for style, found in measured.likelihoods.items()},
    )  # fmt: skip


def test_a_response_line_holds_the_prompt_and_every_answer_with_its_checks():
    lines = responses_of(PROMPTS, [BASE, INSTRUCT])
    assert [line["id"] for line in lines] == [0, 1, 2, 3, 4]
    assert [line["counted"] for line in lines] == [False, True, True, True, True]
    assert lines[0]["category"] == "extra"
    assert lines[1]["requested"] == {"name": "f", "parameters": ["x"]}
    assert lines[3]["requested"] is None
    assert lines[3]["constraints"] == []
    base = lines[1]["answers"]["base"]
    assert base["greedy"]["text"] == CUT
    assert base["greedy"]["checks"]["parses"] is False
    assert base["greedy"]["checks"]["defines_requested_name"] is False
    assert [sample["text"] for sample in base["samples"]] == [OTHER, GOOD]
    assert lines[4]["answers"]["instruct"]["response_bits_per_byte"] is None


def test_each_difference_has_its_p_value_its_wins_and_its_word(record):
    found = record["differences"]["instruct"]
    assert found["stopped_by_itself"]["p_value"] == 0.25
    assert found["stopped_by_itself"]["verdict"] == "no difference shown"
    assert found["stopped_by_itself"]["p_holm"] == 1.0
    assert [found["stopped_by_itself"][key] for key in ("n_wins", "n_ties", "n_losses")] == [3, 1, 0]
    assert [found["repetition"][key] for key in ("n_wins", "n_ties", "n_losses")] == [1, 3, 0]  # lower is better
    assert "n_wins" not in found["n_tokens"]
    assert found["stopped_by_itself"]["p_at_floor"] is True, "2 / 2^3: three prompts differ"
    assert found["stopped_by_itself"]["values"] == {"instruct": 1.0, "base": 0.25}
    assert "metrics is not below 0.05" in found["stopped_by_itself"]["why"]


def test_flips_name_the_prompts_on_which_a_check_turned(record):
    flips = record["flips"]["instruct"]
    assert flips["stopped_by_itself"] == {"gained": [1, 2, 3], "lost": []}
    assert flips["parses"] == {"gained": [1], "lost": []}
    assert "n_tokens" not in flips
    assert compared(INSTRUCT, replace(BASE, name="b", role=Role.INSTRUCT))["flips"]["b"]["parses"]["lost"] == [1]


def test_each_category_has_figures_of_its_own(record):
    categories = record["categories"]
    assert {name: one["n"] for name, one in categories.items()} == {"code": 2, "talk": 2}
    assert categories["code"]["models"]["base"]["stopped_by_itself"]["value"] == 0
    assert categories["talk"]["models"]["base"]["stopped_by_itself"]["value"] == 0.5
    assert categories["code"]["differences"]["instruct"]["stopped_by_itself"]["value"] == 1.0
    assert "parses" not in categories["talk"]["models"]["base"]
    prompts = [replace(one, category="all") for one in PROMPTS]
    assert comparison_of(prompts, [BASE, INSTRUCT], responses_of(prompts, [BASE, INSTRUCT]))["categories"] == {}


def test_the_table_shows_each_metric_with_models_and_difference_side_by_side(record):
    lines = comparison_table(record).splitlines()
    assert lines[0].split() == ["metric", "base", "instruct", "instruct", "-", "base", "(95%", "interval)", "p", "n"]
    [stops] = [line for line in lines if line.startswith("stops on its own  ")]
    assert stops.split()[4:7] == ["25.0%", "100.0%", "+75.0%"]
    assert stops.endswith("1.000  4  no difference shown")
    [bits] = [line for line in lines if line.startswith("response bits per byte")]
    assert bits.split()[4:7] == ["2.885", "1.731", "-1.154"]
    assert ", -40.0%" in bits
    assert lines[-1] == "instruct, lost: not measured: give --general or --capability"


def test_pass_at_k_is_counted_once_and_has_an_interval_where_all_fail_or_all_pass():
    prompts = [Prompt(number, "Write a Python function f(x).") for number in range(12)]
    lines = []
    for prompt in prompts:
        checks = {
            name: {"passes_tests": passed, "runs": True} for name, passed in (("base", False), ("instruct", True))
        }
        answers = {name: {"greedy": {"checks": {}}, "samples": [{"checks": one}] * 5} for name, one in checks.items()}
        lines.append({"id": prompt.id, "category": None, "answers": answers})
    series = {one.name: one for one in answer_tables(lines, ["base", "instruct"])}
    assert "passes_tests_sampled" not in series
    figure, difference = series["pass_at_1"].figure("base"), series["pass_at_1"].difference("instruct", "base")
    assert figure.value == 0
    assert figure.ci95[1] > 0.2
    assert difference.estimate.ci95[0] < 0.7
    assert series["pass_at_5"].decoding == "sampled"
