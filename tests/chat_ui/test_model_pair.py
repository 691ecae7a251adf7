"""Base and instruct model in one memory: each answers as it does alone."""

from pathlib import Path

import pytest
import torch
from peft import LoraConfig, get_peft_model

from pipelines.chat_ui.model_pair import ModelPair, load_pair
from pipelines.errors import UserError
from pipelines.inference.generation import Answer, SamplingPolicy, generate_answers
from pipelines.inference.loading import load_for_inference
from pipelines.modeling import LoadedModel, PromptStyle, load_tokenizer, render_prompt
from pipelines.modeling.loading import load_base_model, resize_embeddings
from tests.evaluation.chain_models import save_chain_model


@pytest.fixture(scope="module")
def base(tiny_model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base without a chat template."""
    folder = tmp_path_factory.mktemp("pair") / "base"
    load_base_model(str(tiny_model_folder)).save_pretrained(folder)
    tokenizer = load_tokenizer(str(tiny_model_folder))
    tokenizer.chat_template = None
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def adapter(base: Path, tiny_model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random matrices on the base, a template, and a token of its own that is new to the base."""
    folder = tmp_path_factory.mktemp("pair") / "adapter"
    tokenizer = load_tokenizer(str(tiny_model_folder))
    tokenizer.add_tokens(["<new>"])
    model = load_base_model(str(base))
    resize_embeddings(model, tokenizer)
    new_id = tokenizer.convert_tokens_to_ids("<new>")
    config = LoraConfig(r=2, target_modules="all-linear", init_lora_weights=False, trainable_token_indices=[new_id])
    torch.manual_seed(1)
    get_peft_model(model, config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def pair(base: Path, adapter: Path) -> ModelPair:
    return load_pair(str(base), str(adapter))


def answer_of(loaded: LoadedModel, style: PromptStyle) -> Answer:
    prompt = render_prompt(loaded.tokenizer, "Hello", style)
    return generate_answers(loaded, [prompt], SamplingPolicy(max_new_tokens=30))[0][0]


def test_each_model_answers_as_it_does_alone(pair, base, adapter):
    alone = answer_of(load_for_inference(str(base)), PromptStyle.PLAIN)
    adapted = answer_of(load_for_inference(str(base), str(adapter)), PromptStyle.CHAT)
    assert answer_of(pair.instruct, PromptStyle.CHAT) == adapted
    assert answer_of(pair.base, PromptStyle.PLAIN) == alone
    assert answer_of(pair.instruct, PromptStyle.PLAIN) != alone


def test_an_adapter_shares_the_weights_of_its_base(pair, base):
    assert pair.shares_weights
    one = load_pair(str(base), str(base))
    assert not one.shares_weights
    assert pair.n_bytes < one.n_bytes


def test_the_base_is_asked_plainly_or_behind_the_template_of_the_instruct_model(pair):
    assert pair.base_styles == [PromptStyle.PLAIN, PromptStyle.RAW, PromptStyle.CHAT]
    (base, style), (instruct, instruct_style) = pair.asked(PromptStyle.CHAT)
    assert base.tokenizer is instruct.tokenizer
    assert base.model is not instruct.model
    assert (style, instruct_style) == (PromptStyle.CHAT, PromptStyle.CHAT)
    assert pair.asked(PromptStyle.PLAIN)[0] == (pair.base, PromptStyle.PLAIN)


def test_without_a_template_both_get_plain_prompts(base):
    pair = load_pair(str(base), str(base))
    assert pair.base_styles == [PromptStyle.PLAIN, PromptStyle.RAW]
    assert pair.instruct_style is PromptStyle.PLAIN


def test_an_adapter_of_another_base_is_refused(adapter, tiny_model_folder, tmp_path):
    other = save_chain_model(tiny_model_folder, tmp_path / "other", ["find"], ends=True)
    with pytest.raises(UserError, match="was trained on"):
        load_pair(str(other), str(adapter))
