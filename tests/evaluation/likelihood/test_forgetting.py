from typing import Any

import pytest
import torch

from pipelines.evaluation.likelihood.forgetting import (
    CapabilityItem,
    CapabilityScore,
    capability_details,
    capability_scores,
    capability_tables,
    general_table,
)
from pipelines.evaluation.likelihood.likelihood import text_likelihoods
from pipelines.inference.loading import load_for_inference
from pipelines.modeling import LoadedModel
from tests.evaluation.chain_models import save_successors
from tests.evaluation.plain_likelihood import plain_log_probs, plain_nll

ITEMS = [
    CapabilityItem(None, ("max find", "max numbers"), 0, "pairs"),
    CapabilityItem(None, ("find max", "numbers max"), 0, "pairs"),
    CapabilityItem("What comes after max?\n\nQuestion: max\nAnswer:", ("find", "numbers numbers", "x"), 2),
    CapabilityItem("max ", ("find", "numbers"), 1, "others"),
]


def disturbed(loaded: LoadedModel) -> LoadedModel:
    """The model with noise on its weights, in place."""
    torch.manual_seed(0)
    with torch.no_grad():
        for weight in loaded.model.parameters():
            weight.add_(torch.randn_like(weight) * weight.std() * 0.3)
    return loaded


def test_a_model_whose_weights_were_disturbed_is_worse_on_general_text(shared_data):
    path = str(shared_data / "models" / "hf-stories260K")
    texts = [
        "Once upon a time, there was a little girl named Lily. She loved to play outside in the park.",
        "Tom and his mom went to the store. They wanted to buy a big red ball.",
        "One day, the dog saw a cat. The cat was sad because she lost her toy.",
        "",
    ]
    series = general_table(
        {
            "before": text_likelihoods(load_for_inference(path), texts),
            "after": text_likelihoods(disturbed(load_for_inference(path)), texts),
        }
    )
    difference = series.difference("after", "before")
    assert difference.estimate.n == 3
    assert difference.estimate.ci95[0] > 0.2
    assert difference.relative.value > 0.2


def test_log_p_of_a_choice_equals_a_plain_float64_loop(tiny):
    found = capability_scores(tiny, ITEMS)
    encode: Any = tiny.tokenizer
    for item, score in zip(ITEMS, found, strict=True):
        for choice, log_prob, n_bytes in zip(item.choices, score.log_probs, score.n_bytes, strict=True):
            assert n_bytes == len(choice)
            if item.context is None:
                assert log_prob == pytest.approx(-plain_nll(tiny, choice, tiny.tokenizer.eos_token_id), rel=1e-9)
                continue
            before = encode(item.context)["input_ids"]
            after = encode(choice if item.context.endswith(" ") else f" {choice}")["input_ids"]
            assert log_prob == pytest.approx(plain_log_probs(tiny, before + after, len(before)).sum(), rel=1e-9)


def test_a_model_that_knows_what_follows_is_right(tiny, tmp_path):
    tokenizer = tiny.tokenizer
    max_id, find_id = (tokenizer(text)["input_ids"][0] for text in (" max", " find"))
    folder = save_successors(tokenizer, tmp_path / "chain", {max_id: find_id})
    items = [
        CapabilityItem("the max", ("find", "numbers"), 0), CapabilityItem("the max", ("numbers", "find", "x"), 1),
        CapabilityItem(None, (" max find", " max numbers"), 0), CapabilityItem(None, (" max numbers", " max find"), 0),
    ]  # fmt: skip
    by_sum, by_byte = capability_tables(items, {"chain": capability_scores(load_for_inference(str(folder)), items)})
    assert by_sum.item_values("chain").tolist() == [1, 1, 1, 0]
    assert by_byte.item_values("chain")[:2].tolist() == [1, 1]
    assert by_byte.figure("chain").n == 2


def test_a_tie_is_not_right_and_bytes_can_change_the_choice():
    items = [CapabilityItem("q", ("a", "bbbb"), 1, "letters"), CapabilityItem("q", ("a", "b"), 0, "ties")]
    scores = [CapabilityScore((-2.0, -4.0), (1, 4)), CapabilityScore((-1.0, -1.0), (1, 1))]
    by_sum, by_byte = capability_tables(items, {"one": scores})
    assert by_sum.item_values("one").tolist() == [0, 0]
    assert by_byte.item_values("one").tolist() == [1, 0]


def test_the_details_have_chance_and_categories():
    scores = [CapabilityScore(tuple(-float(n) for n in range(len(item.choices))), (1, 1, 1)) for item in ITEMS]
    details = capability_details(ITEMS, {"one": scores})
    assert details["chance"] == pytest.approx((1 / 2 + 1 / 2 + 1 / 3 + 1 / 2) / 4)
    found = {name: (of["n"], of["models"]) for name, of in details["categories"].items()}
    assert found == {"(none)": (1, {"one": 0.0}), "others": (1, {"one": 0.0}), "pairs": (2, {"one": 1.0})}
