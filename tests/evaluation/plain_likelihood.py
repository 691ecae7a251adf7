"""Plain forms for tests: the likelihood by one forward pass for each token, and the permutation test on means."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import ArrayLike

from pipelines.evaluation.statistics.significance import permutation_test_of_sums
from pipelines.modeling import LoadedModel


def plain_log_probs(
    loaded: LoadedModel, token_ids: Sequence[int], first_scored: int, begin_of: Callable[[int], int] = lambda _: 0
) -> np.ndarray:
    """log p of each token from `first_scored` on, given those from `begin_of(its place)` on, in float64 throughout."""
    found = []
    with torch.no_grad():
        for place in range(first_scored, len(token_ids)):
            logits = loaded.model(input_ids=torch.tensor([token_ids[begin_of(place) : place]])).logits[0, -1]
            assert logits.dtype == torch.float64
            found.append(float(logits[token_ids[place]] - logits.logsumexp(0)))
    return np.array(found)


def plain_nll(loaded: LoadedModel, text: str, condition: int) -> float:
    """Nats of the whole text after the token `condition`."""
    text_ids = loaded.tokenizer(text, add_special_tokens=False, split_special_tokens=True)["input_ids"]
    return -float(plain_log_probs(loaded, [condition, *text_ids], 1).sum())


def paired_permutation_p_value(a: ArrayLike, b: ArrayLike, **options) -> float:
    first, second = (np.asarray(values, dtype=np.float64)[:, None] for values in (a, b))
    return permutation_test_of_sums(first, second, lambda sums: sums[0] / len(first), **options).p_value
