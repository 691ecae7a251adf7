"""The rolling batch: rows that are refilled, padding that is cut off, and models that need a cache of their own."""

import random
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from transformers import AutoTokenizer, GPT2Config, GPT2LMHeadModel

from pipelines.errors import UserError
from pipelines.inference.continuous_batching import ContinuousBatch, decode_continuous, new_cache
from pipelines.inference.decoding import decode_padded, plain_generation_config
from pipelines.inference.loading import load_for_inference
from pipelines.inference.sampling import Request, SamplingPolicy
from pipelines.modeling import LoadedModel
from tests.evaluation.chain_models import lively_model

GREEDY = SamplingPolicy(max_new_tokens=60)
SAMPLED = SamplingPolicy(temperature=1.0, top_p=0.9, seed=3, max_new_tokens=60)


@pytest.fixture(scope="module")
def lively(tiny_model_folder: Path) -> LoadedModel:
    """The tiny model in float64 with large weights; three tokens end an answer, so that lengths differ."""
    return lively_model(tiny_model_folder, list(range(0, 285, 12)))


def requests(n: int, seed: int = 0, n_new: int = 60) -> list[Request]:
    draw = random.Random(seed)
    lengths = [draw.choice([1, 2, 5, 20, 60, 120]) for _ in range(n)]
    prompts = [tuple(draw.randrange(5, 280) for _ in range(length)) for length in lengths]
    return [Request(prompt, number, draw.randint(n_new // 2, n_new)) for number, prompt in enumerate(prompts)]


def rolled(loaded: LoadedModel, asked: Sequence[Request], policy: SamplingPolicy, batch_size: int) -> dict:
    with torch.inference_mode(), plain_generation_config(loaded) as stop_ids:
        return dict(decode_continuous(loaded, asked, policy, stop_ids, batch_size))


@pytest.mark.parametrize("policy", [GREEDY, SAMPLED], ids=["greedy", "sampled"])
def test_answers_are_those_of_model_generate(lively, policy):
    asked = requests(40)
    with torch.inference_mode(), plain_generation_config(lively) as stop_ids:
        alone = dict(decode_padded(lively, asked, policy, stop_ids, 1))
    lengths = sorted(map(len, alone.values()))
    assert lengths[5] < 15
    assert lengths[-5] > 30  # some end early, some run to their limit
    assert {len(alone[one]) == one.n_new for one in asked} == {True, False}
    for batch_size in (1, 3, 16, 64):
        assert rolled(lively, asked, policy, batch_size) == alone


def test_rows_are_refilled_and_padding_is_cut_off(lively, monkeypatch):
    shapes = []
    scores = ContinuousBatch._scores

    def watched(self: ContinuousBatch, token_ids: torch.Tensor, mask: torch.Tensor, *rest: object) -> torch.Tensor:
        shapes.append(tuple(mask.shape))
        return scores(self, token_ids, mask, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(ContinuousBatch, "_scores", watched)
    asked = requests(60)
    answers = rolled(lively, asked, GREEDY, 8)
    n_steps, n_tokens = len(shapes), sum(map(len, answers.values()))
    assert n_steps < 1.5 * n_tokens / 8 + 60  # of 8 rows about all are at work, but for the last answers
    assert max(columns for _, columns in shapes) < 1.34 * (120 + 60) + 1
    assert min(columns for rows, columns in shapes[-10:]) < 90  # the 120 tokens of the first prompts are gone


def test_a_position_table_is_never_left_by_rows_that_have_ended(tiny_model_folder):
    torch.manual_seed(0)
    config = GPT2Config(vocab_size=285, n_positions=32, n_embd=16, n_layer=1, n_head=2, bos_token_id=0, eos_token_id=0)
    tokenizer = AutoTokenizer.from_pretrained(tiny_model_folder)
    loaded = LoadedModel("gpt2", "gpt2", GPT2LMHeadModel(config).eval(), tokenizer)
    assert new_cache(loaded) is not None
    asked = [Request(tuple(range(5, 35)), 0, 2), Request((5, 6), 0, 30), Request((7,), 0, 31)]
    answers = rolled(loaded, asked, SamplingPolicy(), 3)
    assert [len(answers[one]) for one in asked] == [2, 30, 31]


def test_logits_that_are_not_numbers_are_refused_in_one_line(tiny_model_folder):
    loaded = load_for_inference(str(tiny_model_folder))
    with torch.no_grad():
        loaded.model.get_input_embeddings().weight[7] = float("nan")
    for policy in (GREEDY, SAMPLED):
        for decode in (decode_continuous, decode_padded):
            with pytest.raises(UserError, match="the logits for the next token are NaN"), torch.inference_mode():
                list(decode(loaded, [Request((5, 7), 0, 4)], policy, [0], 2))
