"""A model behind a server gives what it gives in process, and its answers are kept apart from any other engine's."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from data_prep.conversation import Conversation
from pipelines.endpoint.client import Endpoint
from pipelines.errors import UserError
from pipelines.hub.model_ref import ModelRef
from pipelines.inference.answer_store import AnswerStore
from pipelines.inference.generation import SamplingPolicy, generate_answers
from pipelines.inference.loading import load_for_inference
from pipelines.inference.served_model import ServedModel
from pipelines.modeling import LoadedModel, PromptStyle, render_prompt
from tests.evaluation.chain_models import lively_model
from tests.loopback_engine import LoopbackEngine, loopback_engine

TEXTS = ["Write find_max", "Name a color.", "Name a color.", "def f(x):\n        return x"]
CHATS = [Conversation([{"role": "user", "content": text}]) for text in TEXTS]
GREEDY = SamplingPolicy(max_new_tokens=24)
SAMPLED = SamplingPolicy(1.0, 0.9, num_samples=3, seed=5, max_new_tokens=8)


@pytest.fixture(scope="module")
def loaded(tiny_model_folder: Path) -> LoadedModel:
    return lively_model(tiny_model_folder, [0, 3])


@pytest.fixture
def engine(loaded):
    with loopback_engine(loaded) as engine:
        yield engine


def served(engine: LoopbackEngine, folder: Path, **options: object) -> ServedModel:
    return ServedModel("instruct", ModelRef(str(folder)), Endpoint(engine.url, max_tries=1, **options))


@pytest.mark.parametrize("style", list(PromptStyle))
def test_greedy_answers_of_a_server_are_those_in_process(loaded, engine, tiny_model_folder, style):
    answers, _ = served(engine, tiny_model_folder).answers(CHATS, style, GREEDY)
    rendered = [render_prompt(loaded.tokenizer, one, style) for one in CHATS]
    here = generate_answers(loaded, rendered, GREEDY)
    assert [[replace(one, token_ids=()) for one in own] for own in here] == answers
    assert {path for path, _ in engine.bodies} == {f"/v1/{'chat/' if style is PromptStyle.CHAT else ''}completions"}


def test_equal_prompts_are_asked_once_and_each_sample_has_a_seed_of_its_own(engine, tiny_model_folder):
    answers, _ = served(engine, tiny_model_folder).answers(CHATS, PromptStyle.CHAT, SAMPLED)
    assert len(engine.bodies) == 9
    assert len({body["seed"] for _, body in engine.bodies}) == 9
    assert answers[1] == answers[2]
    assert len({one.text for own in answers for one in own}) > 6
    again, _ = served(engine, tiny_model_folder).answers(CHATS, PromptStyle.CHAT, SAMPLED)
    assert again == answers


def test_an_interrupted_call_keeps_its_answers_and_asks_for_the_others_only(loaded, tiny_model_folder, tmp_path):
    store = AnswerStore(tmp_path / "s")
    with loopback_engine(loaded, n_left=2) as engine:
        model = served(engine, tiny_model_folder, n_at_once=1)
        with pytest.raises(UserError, match=r"call 3 of 3: .*no more"):
            model.answers(CHATS, PromptStyle.CHAT, GREEDY, store=store)
    assert len(store) == 2
    with loopback_engine(loaded) as other:
        model = served(other, tiny_model_folder)
        model.__dict__["engine"] = {"name": "unknown", "host": engine.url[7:-3], "model": "served"}  # as if still there
        answers, _ = model.answers(CHATS, PromptStyle.CHAT, GREEDY, store=AnswerStore(tmp_path / "s"))
        assert len(other.bodies) == 1
        assert answers == served(other, tiny_model_folder).answers(CHATS, PromptStyle.CHAT, GREEDY)[0]


@pytest.mark.parametrize("changed", ["host", "model", "name"])
def test_answers_of_another_engine_are_never_taken_from_the_store(engine, tiny_model_folder, tmp_path, changed):
    store, model = AnswerStore(tmp_path / "s"), served(engine, tiny_model_folder)
    model.answers(CHATS, PromptStyle.CHAT, GREEDY, store=store)
    assert len(engine.bodies) == 3
    other = served(engine, tiny_model_folder)
    other.__dict__["engine"] = {**model.engine, changed: "another"}
    other.answers(CHATS, PromptStyle.CHAT, GREEDY, store=store)
    assert len(engine.bodies) == 6


def test_answers_made_in_process_are_never_taken_for_a_servers(engine, tiny_model_folder, tmp_path):
    store = AnswerStore(tmp_path / "s")
    here = load_for_inference(str(tiny_model_folder), name="instruct", dtype=torch.float64)
    generate_answers(here, [render_prompt(here.tokenizer, one) for one in CHATS], GREEDY, store=store)
    served(engine, tiny_model_folder).answers(CHATS, PromptStyle.CHAT, GREEDY, store=store)
    assert (len(engine.bodies), len(store)) == (3, 6)


def test_a_server_with_another_template_is_reported(loaded, tiny_model_folder, capsys):
    with loopback_engine(loaded) as engine:
        served(engine, tiny_model_folder).answers(CHATS, PromptStyle.CHAT, GREEDY)
    assert capsys.readouterr().err == ""
    tokenizer = load_for_inference(str(tiny_model_folder)).tokenizer
    tokenizer.chat_template = "{% for m in messages %}{{ m.content }}<|im_end|>{% endfor %}"
    with loopback_engine(replace(loaded, tokenizer=tokenizer)) as engine:
        served(engine, tiny_model_folder).answers(CHATS, PromptStyle.CHAT, GREEDY)
    assert "3 of 3 prompts have another number of tokens on the server" in capsys.readouterr().err


def test_a_prompt_with_tools_is_sent_as_token_ids_so_that_no_call_is_cut_out_of_the_answer(engine, tiny_model_folder):
    tool = {"type": "function", "function": {"name": "add", "parameters": {}}}
    chat = Conversation([{"role": "user", "content": "1 + 1?"}], tools=[tool])
    model = served(engine, tiny_model_folder)
    model.__dict__["max_positions"] = None  # a description of tools is longer than the tiny model's
    model.answers([chat], PromptStyle.CHAT, GREEDY)
    [(path, body)] = engine.bodies
    assert path == "/v1/completions"
    assert body["prompt"] == render_prompt(model.tokenizer, chat)


def test_an_answer_ends_before_the_stop_text(engine, tiny_model_folder):
    model = served(engine, tiny_model_folder)
    [[whole]] = model.answers(CHATS[:1], PromptStyle.PLAIN, GREEDY)[0]
    middle = whole.text[4:6]
    [[cut]] = model.answers(CHATS[:1], PromptStyle.PLAIN, replace(GREEDY, stop_text=middle))[0]
    assert engine.bodies[-1][1]["stop"] == [middle]
    assert (cut.text, cut.stopped) == (whole.text[: whole.text.index(middle)].rstrip("\n"), True)


def test_a_prompt_that_fills_the_positions_is_answered_with_nothing_and_not_sent(engine, tiny_model_folder):
    model = served(engine, tiny_model_folder)
    long = Conversation([{"role": "user", "content": "a" * 4 * (model.max_positions or 0)}])
    [[answer]] = model.answers([long], PromptStyle.CHAT, GREEDY)[0]
    assert (answer.text, answer.stopped, engine.bodies) == ("", False, [])


def test_shown_prompts_have_the_probability_of_each_token_also_when_they_are_in_the_store(
    engine, tiny_model_folder, tmp_path
):
    store, model = AnswerStore(tmp_path / "s"), served(engine, tiny_model_folder)
    for _ in range(2):
        answers, choices = model.answers(CHATS, PromptStyle.CHAT, GREEDY, store=store, n_shown=1)
        assert list(choices) == [(0, 0)]
        assert tuple(one.token_id for one in choices[0, 0]) == answers[0][0].token_ids
        assert choices[0, 0][0].probability == 1.0
        assert choices[0, 0][0].alternatives[0][1] == pytest.approx(0.367879, abs=1e-6)
    assert len(engine.bodies) == 4


@pytest.mark.parametrize(
    ("engine_name", "expected"),
    [
        ("llama.cpp b9999", {"samplers": ["temperature", "top_p"], "top_k": 0, "min_p": 0.0}),
        ("vLLM 0.33.0", {"top_k": 0, "min_p": 0.0, "repetition_penalty": 1.0}),
        ("unknown", {}),
    ],
)
def test_an_engines_own_sampling_settings_are_turned_off(engine, tiny_model_folder, engine_name, expected):
    model = served(engine, tiny_model_folder)
    model.__dict__["engine"] = {"name": engine_name, "host": "h", "model": "m"}
    model.answers(CHATS[:1], PromptStyle.CHAT, SAMPLED)
    [body, *_] = [body for _, body in engine.bodies]
    assert expected.items() <= body.items()
    assert (body["temperature"], body["top_p"]) == (1.0, 0.9)
    if not expected:
        assert body.keys() == {"model", "messages", "temperature", "max_tokens", "top_p", "seed"}


def test_transformers_serve_is_told_to_sample_and_where_to_stop(engine, tiny_model_folder):
    model = served(engine, tiny_model_folder)
    model.__dict__["engine"] = {"name": "transformers serve", "host": "h", "model": "m"}
    model.answers(CHATS[:1], PromptStyle.CHAT, SAMPLED)
    sent = json.loads(engine.bodies[0][1]["generation_config"])
    assert (sent["do_sample"], sent["top_k"]) == (True, 0)
    assert sent["eos_token_id"] is not None
