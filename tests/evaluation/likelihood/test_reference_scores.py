"""P(end), calibration and likelihood by position against loops in float64 that read one token at a time."""

import math
import pickle
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pipelines.evaluation.likelihood.reference_metrics import (
    ReferenceScores,
    calibration_tables,
    end_tables,
    expected_calibration_error,
    likelihood_by_position,
    reference_scores,
    reliability,
)
from pipelines.evaluation.prompts.prompt import Prompt
from pipelines.inference.loading import load_for_inference
from pipelines.modeling import LoadedModel, PromptStyle, render_prompt
from pipelines.modeling.assistant_masks import inner_token_ids
from tests.evaluation.chain_models import save_chain_model, save_successors, token_ids_of

PROMPTS = [
    Prompt(0, "Write find_max.", "", "def find_max(numbers):\n    return max(numbers)\n"), Prompt(1, "Say nothing."),
    Prompt(2, "Say it in German.", "blue", "blau, größer als alle anderen Wörter"), Prompt(3, "Short.", "", "ok"),
    Prompt(4, "A prompt that does not fit. " * 40, "", "max(numbers) is the answer"),
]  # fmt: skip
STYLES = [PromptStyle.CHAT, PromptStyle.PLAIN]


@pytest.fixture(scope="module")
def tiny(tiny_model_folder: Path) -> LoadedModel:
    """The tiny model in float64, with louder weights: its confidences are of every size."""
    loaded = load_for_inference(str(tiny_model_folder), dtype="float64")
    decoder: Any = loaded.model.model
    with torch.no_grad():
        decoder.norm.weight.mul_(35)
        for layer in decoder.layers:
            layer.mlp.down_proj.weight.mul_(300)
            layer.mlp.gate_proj.weight.mul_(10)
            layer.mlp.up_proj.weight.mul_(10)
    return loaded


def plain_distributions(loaded: LoadedModel, prompt: Prompt, style: PromptStyle) -> tuple[np.ndarray, list[int]]:
    """The distribution at each place of the reference and behind it (float64), and the reference's tokens."""
    request = render_prompt(loaded.tokenizer, prompt.asked, style)
    answer = inner_token_ids(loaded.tokenizer, str(prompt.reference))
    begin = max(0, len(request) + len(answer) + 1 - loaded.max_positions)
    rows = []
    with torch.no_grad():
        for n in range(len(answer) + 1):
            context = torch.tensor([[*request, *answer[:n]][begin:]])
            logits = loaded.model(input_ids=context).logits[0, -1].numpy()
            rows.append(np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum())
    return np.array(rows), answer


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("batch_size", [1, 3])
def test_every_number_equals_a_plain_float64_loop(tiny, style, batch_size):
    found = reference_scores(tiny, PROMPTS, style, batch_size=batch_size)
    assert found[1] is None
    stops = [tiny.tokenizer.convert_tokens_to_ids(token) for token in ("<|endoftext|>", "<|im_end|>")]
    for prompt, scores in zip(PROMPTS, found, strict=True):
        if scores is None:
            assert prompt.reference is None
            continue
        rows, answer = plain_distributions(tiny, prompt, style)
        assert scores.n_tokens == len(answer)
        np.testing.assert_allclose(scores.p_end, [row[stops[0]] + row[stops[1]] for row in rows], rtol=1e-8)
        np.testing.assert_allclose(
            scores.log_probs, [math.log(row[t]) for row, t in zip(rows, answer, strict=False)], rtol=1e-8
        )
        np.testing.assert_allclose(scores.confidences, [row.max() for row in rows[:-1]], rtol=1e-8)
        assert scores.hits.tolist() == [row.argmax() == token for row, token in zip(rows, answer, strict=False)]


@pytest.mark.parametrize("name", ["tiny", "stories"])
def test_the_calibration_error_equals_a_plain_loop_over_tokens(name, request):
    loaded: LoadedModel = request.getfixturevalue(name)
    story = "Once upon a time, there was a little girl named Lily. She loved to play outside in the park."
    prompts = [*PROMPTS[:4], Prompt(5, "Tell me a story.", "", story)]
    found = reference_scores(loaded, prompts, PromptStyle.PLAIN)
    places = []
    for prompt in prompts:
        if prompt.reference:
            rows, answer = plain_distributions(loaded, prompt, PromptStyle.PLAIN)
            places += [(max(row), row.argmax() == token) for row, token in zip(rows, answer, strict=False)]
    error, n_bins = 0.0, 0
    for number in range(15):
        own = [(p, hit) for p, hit in places if number / 15 < p <= (number + 1) / 15]
        if own:
            n_bins += 1
            confidence, accuracy = sum(p for p, _ in own) / len(own), sum(hit for _, hit in own) / len(own)
            error += len(own) / len(places) * abs(accuracy - confidence)
    assert n_bins > 8
    assert name == "tiny" or sum(hit for _, hit in places) > 10
    accuracy_series, error_series = calibration_tables({"one": found})
    figure = error_series.figure("one")
    assert (figure.value, figure.n) == (pytest.approx(error, rel=1e-9), 4)
    assert accuracy_series.figure("one").value == pytest.approx(sum(hit for _, hit in places) / len(places), rel=1e-12)
    bins = reliability(found)
    assert len(bins) == n_bins
    assert sum(one["n_tokens"] for one in bins) == len(places)
    gaps = [one["n_tokens"] / len(places) * abs(one["accuracy"] - one["confidence"]) for one in bins]
    assert error == pytest.approx(sum(gaps))


def scores_of(confidences: Sequence[float], hits: Sequence[bool]) -> ReferenceScores:
    return ReferenceScores(np.zeros(len(hits)), np.array(confidences), np.array(hits), None)


def test_confidences_on_a_bins_bound_belong_to_the_bin_below_it():
    [first, last] = reliability([scores_of([1 / 15, 1.0, 1.0 + 1e-7], [True, True, False])])
    assert (first["begin"], first["n_tokens"], first["accuracy"]) == (0.0, 1, 1.0)
    assert (last["end"], last["n_tokens"], last["accuracy"]) == (1.0, 2, 0.5)


def test_a_model_as_sure_as_it_is_right_has_no_calibration_error_and_a_sure_one_that_is_wrong_has_all():
    calibrated = scores_of([0.75] * 4, [True, True, True, False])
    wrong = scores_of([1.0] * 4, [False] * 4)
    _, series = calibration_tables({"calibrated": [calibrated, calibrated], "wrong": [wrong, wrong]})
    assert [series.figure(name).value for name in ("calibrated", "wrong")] == [0.0, 1.0]  # type: ignore[union-attr]
    sums = np.zeros((45, 7))
    sums[3], sums[18], sums[33] = 10, 2.5, 4
    np.testing.assert_allclose(expected_calibration_error(sums), np.full(7, 0.15))


def test_the_position_buckets_equal_a_plain_loop_over_tokens(tiny):
    found = reference_scores(tiny, PROMPTS, PromptStyle.PLAIN)
    bits: dict[int, list[float]] = {}
    for prompt in PROMPTS:
        if prompt.reference:
            rows, answer = plain_distributions(tiny, prompt, PromptStyle.PLAIN)
            for place, (row, token) in enumerate(zip(rows, answer, strict=False)):
                begin = 0 if place < 4 else min(16, 2 ** int(math.log2(place)))
                bits.setdefault(begin, []).append(-math.log2(row[token]))
    [buckets] = likelihood_by_position({"tiny": found}).values()
    assert [(one["begin"], one["end"]) for one in buckets] == [(0, 4), (4, 8), (8, 16), (16, None)]
    assert [one["n_tokens"] for one in buckets] == [len(bits[one["begin"]]) for one in buckets]
    for one in buckets:
        assert one["bits_per_token"] == pytest.approx(sum(bits[one["begin"]]) / len(bits[one["begin"]]), rel=1e-9)
        assert one["ci95"][0] <= one["bits_per_token"] <= one["ci95"][1]


def test_without_two_references_there_is_no_likelihood_by_position():
    assert likelihood_by_position({"one": [None, scores_of([1.0], [True])]}) == {}
    assert likelihood_by_position({}) == {}


@pytest.mark.parametrize("kind", ["learned", "never", "always"])
def test_p_end_shows_whether_a_model_learned_to_stop(kind, tiny_model_folder, tmp_path, tiny):
    if kind == "always":
        [end] = token_ids_of(tiny_model_folder, "<|im_end|>")
        tokens = [*token_ids_of(tiny_model_folder, "\n"), *token_ids_of(tiny_model_folder, "def find")]
        folder = save_successors(tiny.tokenizer, tmp_path / "m", dict.fromkeys(tokens, end))
    else:
        folder = save_chain_model(tiny_model_folder, tmp_path / "m", ["def find"], ends=kind == "learned")
    prompts = [Prompt(0, "Say it.", "", "def find"), Prompt(1, "Again.", "", "def find")]
    scores = reference_scores(load_for_inference(str(folder)), prompts, PromptStyle.CHAT)
    figures = [one.figure("one") for one in end_tables({"one": scores})]
    at_end, inside = (one.value for one in figures if one is not None)
    assert (at_end > 0.999, inside > 0.999) == (kind != "never", kind == "always")
    assert (at_end < 0.001, inside < 0.001) == (kind == "never", kind != "always")


def test_the_ends_of_a_base_without_a_template_are_its_own(tiny, tiny_model_folder):
    bare = load_for_inference(str(tiny_model_folder), dtype="float64")
    bare.tokenizer.chat_template = None
    bare = replace(bare, model=tiny.model)
    [scores] = reference_scores(bare, PROMPTS[3:4], PromptStyle.PLAIN)
    rows, _ = plain_distributions(tiny, PROMPTS[3], PromptStyle.PLAIN)
    np.testing.assert_allclose(scores.p_end, rows[:, tiny.tokenizer.eos_token_id], rtol=1e-8)
    assert pickle.loads(pickle.dumps(scores)).p_end.tolist() == scores.p_end.tolist()


def test_figures_by_token_are_not_compared_with_a_model_that_cuts_other_tokens():
    def scored(n_tokens: int) -> ReferenceScores:
        return ReferenceScores(*(np.full(n_tokens + extra, 0.5) for extra in (0, 0, 0, 1)))

    same, other = [scored(4), scored(6)], [scored(4), scored(9)]
    for series in calibration_tables({"base": same, "twin": same, "stranger": other}):
        assert series.difference("twin", "base") is not None
        assert series.figure("stranger") is None
        assert series.difference("stranger", "base") is None
