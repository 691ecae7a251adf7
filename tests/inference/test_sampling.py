"""Drawing tokens: the tempered distribution, the nucleus, and policies that cannot be followed."""

from collections import Counter

import pytest
import torch

from pipelines.errors import UserError
from pipelines.inference.sampling import SamplingPolicy, SeededSampling


def drawn(logits: list[float], policy: SamplingPolicy, n: int = 20_000) -> Counter[int]:
    uniforms = torch.rand((n, 1), generator=torch.Generator().manual_seed(0))
    scores = SeededSampling(policy, uniforms, prompt_length=1)(torch.zeros((n, 1)), torch.tensor([logits] * n))
    return Counter(scores.argmax(dim=-1).tolist())


def test_samples_follow_the_tempered_distribution():
    logits, temperature, n = [1.0, -0.5, 2.0, 0.3], 0.7, 20_000
    expected = (torch.tensor(logits) / temperature).softmax(dim=-1)
    counts = drawn(logits, SamplingPolicy(temperature=temperature), n)
    for token, probability in enumerate(expected.tolist()):
        assert counts[token] / n == pytest.approx(probability, abs=4 * (probability * (1 - probability) / n) ** 0.5)


def test_top_p_keeps_the_smallest_set_that_holds_the_share():
    logits = torch.tensor([0.15, 0.5, 0.05, 0.3]).log().tolist()
    for top_p, tokens in ((0.75, {1, 3}), (0.85, {0, 1, 3}), (0.01, {1}), (1.0, {0, 1, 2, 3})):
        assert set(drawn(logits, SamplingPolicy(temperature=1.0, top_p=top_p))) == tokens
    # wider than the tokens that are sorted
    counts = drawn([0.0] * 200, SamplingPolicy(temperature=1.0, top_p=0.9))
    assert 178 <= len(counts) <= 181
    assert max(counts.values()) < 3 * 20_000 / 180


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"temperature": -1.0}, "temperature is -1.0, expected 0 (greedy) or more"),
        ({"temperature": float("nan")}, "temperature is nan, expected 0 (greedy) or more"),
        ({"top_p": 0.0}, "top_p is 0.0, expected above 0 and at most 1"),
        ({"top_p": 1.5}, "top_p is 1.5, expected above 0 and at most 1"),
        ({"num_samples": 0}, "num_samples is 0, expected 1 or more"),
        ({"max_new_tokens": 0}, "max_new_tokens is 0, expected 1 or more"),
        ({"num_samples": 2}, "temperature is 0 for 2 samples"),
    ],
)
def test_a_policy_that_cannot_be_followed_is_refused(values, message):
    with pytest.raises(UserError) as error:
        SamplingPolicy(**values)  # type: ignore[arg-type]
    assert str(error.value).startswith(message)
