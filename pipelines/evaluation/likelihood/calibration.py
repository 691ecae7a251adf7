"""Whether token probabilities are what they say: expected calibration error, reliability, next-token accuracy.

Teacher forced on the reference answers' text tokens. The confidence of a place is the probability p of the token that
the model holds most probable there, and the model is right there if that token is the reference's.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pipelines.evaluation.likelihood.reference_scores import ReferenceScores
from pipelines.evaluation.statistics.metric_definition import Group, MetricDefinition
from pipelines.evaluation.statistics.metric_table import MetricTable

N_BINS = 15
CALIBRATION_ERROR = MetricDefinition(
    "calibration_error",
    "calibration error of token probabilities",
    "share",
    "lower",
    f"mean distance between confidence and accuracy over {N_BINS} bins of the most probable token's probability, at "
    "the reference answer's text tokens; chance only adds to it, so even a perfect model is not at 0; not for a model "
    "that cuts text into other tokens than the base",
    Group.BEYOND,
)
NEXT_TOKEN_ACCURACY = MetricDefinition(
    "next_token_accuracy",
    "reference tokens that are the most probable",
    "share",
    "higher",
    "share of the reference answer's text tokens that the model holds most probable, given the reference before them; "
    "not for a model that cuts text into other tokens than the base",
    Group.LIKELIHOOD,
)
Scores = Mapping[str, Sequence[ReferenceScores | None]]


def calibration_series(scores: Scores) -> list[MetricTable]:
    """Next-token accuracy and expected calibration error over the reference answers.

    Both count by token, so a model that cuts the references into other tokens than the first one has neither.
    """
    scores = _on_the_tokens_of_the_first(scores)
    hits = {name: [None if one is None else float(one.hits.sum()) for one in found] for name, found in scores.items()}
    n_tokens = {name: [None if one is None else one.n_tokens for one in found] for name, found in scores.items()}
    sums = {name: np.array([_bin_sums(one) for one in found]) for name, found in scores.items()}
    return [
        MetricTable.of_ratios(NEXT_TOKEN_ACCURACY, hits, n_tokens),
        MetricTable.of_sums(CALIBRATION_ERROR, sums, expected_calibration_error),
    ]


def _on_the_tokens_of_the_first(scores: Scores) -> Scores:
    n_tokens = {name: [one and one.n_tokens for one in found] for name, found in scores.items()}
    wanted = next(iter(n_tokens.values()), [])
    return {name: found if n_tokens[name] == wanted else [None] * len(found) for name, found in scores.items()}


def expected_calibration_error(sums: np.ndarray) -> np.ndarray:
    """ECE = sum over bins b of n_b / n * |accuracy_b - confidence_b|, bins of equal width over (0, 1].

    `sums` (shape [3 * N_BINS, ...]) has for each bin the number of tokens, the sum of their confidences, and how many
    were right. C. Guo, G. Pleiss, Y. Sun, K. Weinberger, On Calibration of Modern Neural Networks (ICML 2017), eq. 3.
    """
    n_tokens, confidence, n_right = sums.reshape(3, N_BINS, *sums.shape[1:])
    return np.abs(n_right - confidence).sum(axis=0) / n_tokens.sum(axis=0)


def reliability(scores: Sequence[ReferenceScores | None]) -> list[dict[str, Any]]:
    """The bins that hold tokens: their bounds, number of tokens, mean confidence, and accuracy."""
    known = [_bin_sums(one) for one in scores if one is not None]
    if not known:
        return []
    n_tokens, confidence, n_right = np.sum(known, axis=0).reshape(3, N_BINS)
    return [
        {
            "begin": number / N_BINS,
            "end": (number + 1) / N_BINS,
            "n_tokens": int(n),
            "confidence": float(confidence[number] / n),
            "accuracy": float(n_right[number] / n),
        }
        for number, n in enumerate(n_tokens)
        if n
    ]


def _bin_sums(scores: ReferenceScores | None) -> np.ndarray:
    """One answer's part of the sums (shape [3 * N_BINS]); NaN where there is no reference."""
    if scores is None or not scores.n_tokens:
        return np.full(3 * N_BINS, np.nan)
    # bin m holds the confidences in ((m - 1) / N_BINS, m / N_BINS]; rounding may lift one a hair above 1
    bins = np.clip(np.ceil(scores.confidences * N_BINS).astype(int) - 1, 0, N_BINS - 1)
    weights = (np.ones(scores.n_tokens), scores.confidences, scores.hits)
    return np.concatenate([np.bincount(bins, weights=one, minlength=N_BINS) for one in weights])
