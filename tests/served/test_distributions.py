"""What a served answer tells: which of its places are certain, and the interval of their KL."""

import math

import pytest

from pipelines.endpoint.completion import Completion, TokenLogprob
from pipelines.served.distributions import Told, divergence, told_by

TOLD = [TokenLogprob(bytes([65 + number]), number, -0.5) for number in (1, 2, 3, 4)]
END = TokenLogprob(b"", 5, -0.5)  # as llama.cpp spells it
OWN = [1, 2, 9, 3, 4]  # the engine left out 9, a part of a character


@pytest.mark.parametrize(
    ("told", "finish_reason", "n_tokens", "n_certain"),
    [
        (TOLD, "length", 4, 4), (TOLD, "length", 5, 2), (TOLD, "stop", 4, 4), (TOLD, "stop", 6, 2),
        (TOLD, "stop", 5, 4),  # an engine that does not tell the end token
        ([*TOLD, END], "stop", 5, 5), ([*TOLD, END], "stop", 6, 2),
    ],
)  # fmt: skip
def test_places_after_a_left_out_token_do_not_count(told, finish_reason, n_tokens, n_certain):
    completion = Completion("text", finish_reason, 7, n_tokens, told, [[one] for one in told])
    assert told_by(completion, [0], {}, OWN).token_ids == [1, 2, 3, 4, 5][:n_certain]


def with_kl(logprobs: list[float], group: str | None = None) -> Told:
    """Places where a model that is sure of token 1 is told another log-probability: a KL of minus that."""
    return Told([0], [1] * len(logprobs), [{1: one} for one in logprobs], group)


def test_the_interval_of_the_kl_resamples_answers_of_one_group_together():
    alone = [with_kl([-0.01 * number] * 2) for number in range(1, 13)]
    grouped = [with_kl([-0.01 * number] * 2, f"group {number // 7}") for number in range(1, 13)]
    sure = [[{1: 0.0}] * 2 for _ in alone]
    found, of_groups = divergence(alone, sure), divergence(grouped, sure)
    assert found.kl_mean == of_groups.kl_mean == pytest.approx(0.065)
    low, high = found.kl_ci95
    assert 0.04 < low < 0.055 < 0.075 < high < 0.09
    assert of_groups.kl_ci95[1] - of_groups.kl_ci95[0] > 1.4 * (high - low)
    assert of_groups.n_groups == 2


def test_one_answer_gives_no_interval():
    found = divergence([with_kl([-0.1])], [[{1: 0.0}]])
    assert math.isclose(found.kl_mean, 0.1)
    assert found.kl_ci95 is None
