"""Likelihood by position: how many bits a model needs for the first tokens of an answer, and for later ones."""

import math
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np

from pipelines.evaluation.likelihood.reference_scores import ReferenceScores
from pipelines.evaluation.statistics.intervals import bootstrap_ratio
from pipelines.evaluation.statistics.row_groups import Groups

_FIRST_END = 4  # tokens in the first bucket; each later one ends at twice the position of the one before
_MIN_ANSWERS = 2  # one answer has no interval


def likelihood_by_position(
    scores: Mapping[str, Sequence[ReferenceScores | None]], groups: Groups | None = None
) -> dict[str, list[dict[str, Any]]]:
    """For each model its bits per token in the buckets 0-3, 4-7, 8-15, 16-31, ... of the answer's tokens.

    `begin` counts from 0, `end` is the position behind the bucket. The buckets are the same for all models. The last
    is open (`end` None): it is the last that at least two answers of each model reach. Bits per token compare only
    models of one vocabulary. `groups` has a label for each prompt, see `row_groups`.
    """
    known = {
        model: [(one, groups[place] if groups else place) for place, one in enumerate(found) if one is not None]
        for model, found in scores.items()
    }
    lengths = [sorted((one.n_tokens for one, _ in found), reverse=True) for found in known.values()]
    if not lengths or min(map(len, lengths)) < _MIN_ANSWERS:
        return {}
    buckets = _buckets(min(own[_MIN_ANSWERS - 1] for own in lengths))
    return {model: [_figure(found, begin, end) for begin, end in buckets] for model, found in known.items()}


def _buckets(n_reached: int) -> list[tuple[int, int | None]]:
    begins = [0]
    while (begin := max(_FIRST_END, begins[-1] * 2)) < n_reached:
        begins.append(begin)
    return list(zip(begins, [*begins[1:], None], strict=True))


def _figure(scores: Sequence[tuple[ReferenceScores, Hashable]], begin: int, end: int | None) -> dict[str, Any]:
    parts = [(part, group) for one, group in scores if len(part := one.log_probs[begin:end])]
    bits, n_tokens = [-float(np.sum(part)) / math.log(2) for part, _ in parts], [len(part) for part, _ in parts]
    estimate = bootstrap_ratio(bits, n_tokens, groups=[group for _, group in parts])
    return {
        "begin": begin,
        "end": end,
        "n_tokens": sum(n_tokens),
        "bits_per_token": estimate.value,
        "ci95": list(estimate.ci95),
        "n_groups": estimate.n_groups or estimate.n,
    }
