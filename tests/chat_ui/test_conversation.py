"""One prompt put to both models: scenes, the stop, and what is refused."""

from dataclasses import replace
from pathlib import Path

import pytest

from pipelines.chat_ui.conversation import Exchange, Question, put_to_both
from pipelines.chat_ui.model_pair import ModelPair, load_pair
from pipelines.errors import UserError
from pipelines.inference.generation import SamplingPolicy
from pipelines.modeling import PromptStyle
from tests.evaluation.chain_models import save_chain_model


@pytest.fixture(scope="module")
def pair(tiny_model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> ModelPair:
    """A random base, and an instruct model that says ` find max` and stops."""
    folder = tmp_path_factory.mktemp("conversation") / "instruct"
    return load_pair(str(tiny_model_folder), str(save_chain_model(tiny_model_folder, folder, [" find max"], ends=True)))


def question(instruction: str = "Hello", policy: SamplingPolicy | None = None) -> Question:
    return Question(instruction, "and this", PromptStyle.PLAIN, policy or SamplingPolicy(max_new_tokens=20))


def test_the_last_scene_has_both_answers_with_each_tokens_probability_and_five_rivals(pair):
    *before, last = put_to_both(pair, question(), lambda: False)
    assert last.is_last
    assert not any(scene.is_last for scene in before)
    assert not last.was_stopped
    assert last.base.read == "Hello\n\nand this\n\n"
    assert "<|im_start|>user\nHello\n\nand this<|im_end|>" in last.instruct.read
    assert last.instruct.progress.answers[0].text == " find max"
    assert last.instruct.choices
    assert last.base.choices
    [tokens] = last.instruct.choices
    assert [one.token for one in tokens] == [" find", " max", "<|im_end|>"]
    assert all(one.probability > 0.99 and len(one.alternatives) == 5 for one in tokens)
    assert [len(one) for one in last.base.choices] == [20]


def test_a_system_text_comes_first_and_each_model_reads_its_own_earlier_answers(pair):
    asked = replace(question(), system="Be brief.", earlier=(Exchange("Hi", "base says", "instruct says"),))
    *_, last = put_to_both(pair, asked, lambda: False)
    assert last.base.read == (
        "Be brief.\n\nUser:\n\nHi\n\nAssistant:\n\nbase says\n\nUser:\n\nHello\n\nand this\n\nAssistant:\n\n"
    )
    read = last.instruct.read
    parts = ["system\nBe brief.", "user\nHi", "assistant\ninstruct says", "user\nHello\n\nand this"]
    assert read.startswith("".join(f"<|im_start|>{part}<|im_end|>\n" for part in parts))
    assert "base says" not in read


def test_a_stop_ends_both_and_still_shows_the_probabilities_of_what_was_said(pair):
    policy = SamplingPolicy(max_new_tokens=200)
    told_at_once = list(put_to_both(pair, question(policy=policy), lambda: True))
    assert [scene.was_stopped for scene in told_at_once] == [False, True]
    last = told_at_once[-1]
    assert last.base.choices
    n_said = len(last.base.progress.answers[0].token_ids)
    assert 0 < n_said < 200
    assert [len(one) for one in last.base.choices] == [n_said]


def test_a_stop_after_the_end_changes_nothing(pair):
    *_, last = put_to_both(pair, question(policy=SamplingPolicy(max_new_tokens=1)), lambda: True)
    assert not last.was_stopped


def test_an_empty_prompt_and_one_too_long_are_refused(pair):
    with pytest.raises(UserError, match="the prompt is empty"):
        question(" \n")
    with pytest.raises(UserError, match="expected fewer than 256 for the base model"):
        list(put_to_both(pair, question("find max " * 150), lambda: False))
