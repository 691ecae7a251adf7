"""Answers that grow: the same tokens as generate_answers gives, a turn at a time."""

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from pipelines.chat_ui.streaming import Progress, in_turn, stream_answers
from pipelines.inference.generation import SamplingPolicy, generate_answers
from pipelines.inference.loading import load_for_inference
from pipelines.modeling import LoadedModel, PromptStyle, load_tokenizer, render_prompt
from tests.evaluation.chain_models import save_chain_model, save_successors

A_STEP = 1e-9  # a turn of so many seconds is one token


@pytest.fixture(scope="module")
def tiny(tiny_model_folder: Path) -> LoadedModel:
    return load_for_inference(str(tiny_model_folder))


def prompt_of(loaded: LoadedModel, text: str = "Hello") -> list[int]:
    return render_prompt(loaded.tokenizer, text, PromptStyle.CHAT)


@pytest.mark.parametrize(
    "policy", [SamplingPolicy(max_new_tokens=40), SamplingPolicy(1.5, 0.9, 3, seed=7, max_new_tokens=40)]
)
def test_the_last_answers_are_those_of_generate_answers(tiny, policy):
    [expected] = generate_answers(tiny, [prompt_of(tiny)], policy)
    *_, last = stream_answers(tiny, prompt_of(tiny), policy)
    assert last.is_done
    assert list(last.answers) == expected


def test_answers_grow_by_one_token_a_step_and_keep_what_they_had(tiny):
    progress = list(stream_answers(tiny, prompt_of(tiny), SamplingPolicy(max_new_tokens=12), A_STEP))
    token_ids = [one.answers[0].token_ids for one in progress]
    assert [len(ids) for ids in token_ids] == list(range(1, 13))
    assert all(later[: len(ids)] == ids for ids, later in pairwise(token_ids))
    assert [one.is_done for one in progress] == [False] * 11 + [True]
    assert not progress[-1].answers[0].stopped
    assert progress[-1].is_finished(0)
    assert progress[-1].tokens_per_second == pytest.approx(12 / progress[-1].seconds)


def test_an_answer_that_ends_waits_for_the_others_and_does_not_grow(tiny):
    policy = SamplingPolicy(3.0, 1.0, 6, seed=1, max_new_tokens=150)
    [expected] = generate_answers(tiny, [prompt_of(tiny)], policy)
    lengths = {len(one.token_ids) for one in expected}
    assert len(lengths) > 1, "the samples should end at different steps"
    *_, last = stream_answers(tiny, prompt_of(tiny), policy)
    assert list(last.answers) == expected


def test_an_end_token_ends_the_answer_and_is_no_text(tiny_model_folder, tmp_path):
    loaded = load_for_inference(str(save_chain_model(tiny_model_folder, tmp_path, [" find max"], ends=True)))
    *_, last = stream_answers(loaded, prompt_of(loaded), SamplingPolicy(max_new_tokens=50))
    [answer] = last.answers
    assert (answer.text, answer.n_tokens, answer.stopped, len(answer.token_ids)) == (" find max", 2, True, 3)


def test_a_character_is_shown_once_all_its_bytes_are_there(tiny_model_folder, tmp_path):
    tokenizer = load_tokenizer(str(tiny_model_folder))
    newline, first, second, end = tokenizer.convert_tokens_to_ids(["Ċ", "Ã", "©", "<|im_end|>"])  # é is two bytes
    folder = save_successors(tokenizer, tmp_path / "m", {newline: first, first: second, second: end})
    loaded = load_for_inference(str(folder))
    texts = [one.answers[0].text for one in stream_answers(loaded, prompt_of(loaded), SamplingPolicy(), A_STEP)]
    assert texts == ["", "é", "é"]


def test_a_long_prompt_leaves_less_room(tiny):
    prompt = prompt_of(tiny) * 20
    prompt = prompt[: (tiny.max_positions or 0) - 3]
    *_, last = stream_answers(tiny, prompt, SamplingPolicy(max_new_tokens=50))
    assert [len(one.token_ids) for one in last.answers] == [3]
    assert last.n_room == 3
    *_, full = stream_answers(tiny, prompt + prompt[:3], SamplingPolicy(max_new_tokens=50))
    assert (full.answers[0].token_ids, full.n_room, full.is_done) == ((), 0, True)


def test_two_models_speak_in_turn_until_both_are_done():
    def stream(n_turns: int) -> Iterator[Progress]:
        yield from (Progress((), number, 0, number == n_turns) for number in range(1, n_turns + 1))

    turns = [tuple(int(one.seconds) for one in both) for both in in_turn([stream(4), stream(2)])]
    assert turns == [(1, 1), (2, 1), (2, 2), (3, 2), (4, 2)]
