"""Reference answers under a model: P(end), next-token accuracy, calibration error, likelihood by position.

Teacher forcing: each position is predicted from the prompt, in the model's own style, and the reference before it.
"""

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from transformers import PreTrainedModel

from pipelines.evaluation.likelihood.likelihood import response_sequence
from pipelines.evaluation.prompts.prompt import Prompt
from pipelines.evaluation.statistics.intervals import bootstrap_ratio
from pipelines.evaluation.statistics.metric_definition import Group, MetricDefinition
from pipelines.evaluation.statistics.metric_table import MetricTable
from pipelines.evaluation.statistics.row_groups import Groups
from pipelines.inference.log_probabilities import TokenSequence, scored_places
from pipelines.inference.processes import measured_by_all
from pipelines.modeling import LoadedModel, PromptStyle, stop_token_ids


@dataclass(frozen=True, eq=False)
class ReferenceScores:
    """A reference answer of n text tokens under a model.

    `log_probs` (shape [n]) are the natural log probabilities of its tokens, `confidences` (shape [n]) the probability
    of the most probable token at each position and `hits` (shape [n]) whether that is the reference's. `p_end` (shape
    [n + 1]) is the probability that the answer ends at each position: all end tokens together, the last entry after the
    whole answer; None for a model without an end token.
    """

    log_probs: np.ndarray
    confidences: np.ndarray
    hits: np.ndarray
    p_end: np.ndarray | None

    @property
    def n_tokens(self) -> int:
        """Text tokens of the answer, without the end."""
        return len(self.log_probs)


def reference_scores(
    loaded: LoadedModel, prompts: Sequence[Prompt], style: PromptStyle, *, batch_size: int | None = None
) -> list[ReferenceScores | None]:
    """Score each prompt's reference answer after the prompt in `style`; None where there is none.

    A prompt that does not fit together with its answer is cut at its left, and an answer that does not fit on its own
    is read in windows, as for its likelihood; but the position after the answer must fit too. Raises `UserError` for a
    model whose outputs are not finite.
    """
    responses = {place: response for place, prompt in enumerate(prompts) if (response := prompt.response)}
    sequences = {place: response_sequence(loaded, one, style) for place, one in responses.items()}
    for sequence in sequences.values():  # this token only marks the position where the answer ends: no model reads it
        sequence.token_ids.append(int(loaded.tokenizer.eos_token_id or 0))
    found = dict(zip(sequences, _scores(loaded, list(sequences.values()), batch_size), strict=True))
    return [one if (one := found.get(place)) and one.n_tokens else None for place in range(len(prompts))]


def _scores(loaded: LoadedModel, sequences: Sequence[TokenSequence], batch_size: int | None) -> list[ReferenceScores]:
    stops = stop_token_ids(loaded.tokenizer, cast(PreTrainedModel, loaded.model))

    def columns(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        log_probs = logits.log_softmax(dim=-1)
        top = log_probs.max(dim=-1)
        known = [token_id for token_id in stops if token_id < logits.shape[-1]]
        p_end = log_probs[:, known].exp().sum(dim=-1)
        own = log_probs.gather(1, targets[:, None])[:, 0]
        return torch.stack([own, top.values.exp(), (top.indices == targets).to(own.dtype), p_end], dim=1)

    tables = scored_places(loaded, sequences, columns, batch_size=batch_size, measured_by=measured_by_all)
    return [
        ReferenceScores(table[:-1, 0], table[:-1, 1], table[:-1, 2] > 0, table[:, 3] if stops else None)
        for table in tables
    ]


N_BINS = 15
_FIRST_END = 4  # tokens in the first bucket; each later one ends at twice the position of the one before
_MIN_ANSWERS = 2  # one answer has no interval

P_END = MetricDefinition(
    "p_end", "P(end) where the reference ends", "share", "higher",
    "probability of the model's end tokens together, after the whole reference answer",
    Group.STOPPING,
)  # fmt: skip
P_END_INSIDE = MetricDefinition(
    "p_end_inside", "P(end) inside the reference", "share", "neither",
    "probability of the model's end tokens together where the reference answer continues, mean over all those "
    "positions; a model that never ends is at 0, so read it together with P(end) where the reference ends",
    Group.STOPPING,
)  # fmt: skip
CALIBRATION_ERROR = MetricDefinition(
    "calibration_error", "calibration error of token probabilities", "share", "lower",
    f"mean distance between confidence and accuracy over {N_BINS} bins of the most probable token's probability, at "
    "the reference answer's text tokens; sampling noise raises it, so even a perfect model is not at 0; not measured "
    "for a model whose tokenizer splits the text differently from the base's",
    Group.BEYOND,
)  # fmt: skip
NEXT_TOKEN_ACCURACY = MetricDefinition(
    "next_token_accuracy", "reference tokens that are the most probable", "share", "higher",
    "share of the reference answer's text tokens that are the model's most probable one, given the reference before "
    "them; not measured for a model whose tokenizer splits the text differently from the base's",
    Group.LIKELIHOOD,
)  # fmt: skip
Scores = Mapping[str, Sequence[ReferenceScores | None]]


def end_tables(scores: Scores) -> list[MetricTable]:
    """P(end) at the end of each reference answer, and at the positions of its tokens, the first included."""
    ends = {name: [one if one is None else one.p_end for one in found] for name, found in scores.items()}
    return [
        MetricTable.of_values(
            P_END, {name: [None if p is None else float(p[-1]) for p in found] for name, found in ends.items()}
        ),
        MetricTable.of_ratios(
            P_END_INSIDE,
            {name: [None if p is None else float(p[:-1].sum()) for p in found] for name, found in ends.items()},
            {name: [None if p is None else len(p) - 1 for p in found] for name, found in ends.items()},
        ),
    ]


def calibration_tables(scores: Scores) -> list[MetricTable]:
    """Next-token accuracy and expected calibration error over the reference answers. Both count tokens, so a model
    whose tokenizer splits the references differently from the first one's has neither."""
    lengths = {name: [one and one.n_tokens for one in found] for name, found in scores.items()}
    first = next(iter(lengths.values()), [])
    scores = {name: found if lengths[name] == first else [None] * len(found) for name, found in scores.items()}
    hits = {name: [None if one is None else float(one.hits.sum()) for one in found] for name, found in scores.items()}
    n_tokens = {name: [None if one is None else one.n_tokens for one in found] for name, found in scores.items()}
    sums = {name: np.array([_bin_sums(one) for one in found]) for name, found in scores.items()}
    return [
        MetricTable.of_ratios(NEXT_TOKEN_ACCURACY, hits, n_tokens),
        MetricTable.of_sums(CALIBRATION_ERROR, sums, expected_calibration_error),
    ]


def expected_calibration_error(sums: np.ndarray) -> np.ndarray:
    """ECE = sum over bins b of n_b / n * |accuracy_b - confidence_b|, bins of equal width over (0, 1].

    `sums` (shape [3 * N_BINS, ...]) has for each bin the number of tokens, the sum of their confidences (probability of
    the most probable token), and the number of right ones (the most probable token is the reference's). C. Guo, G.
    Pleiss, Y. Sun, K. Weinberger, On Calibration of Modern Neural Networks (ICML 2017), eq. 3.
    """
    n_tokens, confidence, n_right = sums.reshape(3, N_BINS, *sums.shape[1:])
    return np.abs(n_right - confidence).sum(axis=0) / n_tokens.sum(axis=0)


def reliability(scores: Sequence[ReferenceScores | None]) -> list[dict[str, Any]]:
    """The bins that have tokens: their bounds, number of tokens, mean confidence, and accuracy."""
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


def likelihood_by_position(scores: Scores, groups: Groups | None = None) -> dict[str, list[dict[str, Any]]]:
    """For each model its bits per token in the buckets 0-3, 4-7, 8-15, 16-31, ... of the answer's tokens.

    `begin` counts from 0, `end` is exclusive. The buckets are the same for all models. The last is open (`end` None):
    the last one that at least two answers of each model reach. Bits per token compare models of one vocabulary only.
    `groups` has a label for each prompt, see `row_groups`.
    """
    known = {
        model: [(one, groups[place] if groups else place) for place, one in enumerate(found) if one is not None]
        for model, found in scores.items()
    }
    lengths = [sorted((one.n_tokens for one, _ in found), reverse=True) for found in known.values()]
    if not lengths or min(map(len, lengths)) < _MIN_ANSWERS:
        return {}
    n_reached = min(own[_MIN_ANSWERS - 1] for own in lengths)
    begins = [0]
    while (begin := max(_FIRST_END, begins[-1] * 2)) < n_reached:
        begins.append(begin)
    buckets = list(zip(begins, [*begins[1:], None], strict=True))
    return {model: [_bucket(found, begin, end) for begin, end in buckets] for model, found in known.items()}


def _bucket(scores: Sequence[tuple[ReferenceScores, Hashable]], begin: int, end: int | None) -> dict[str, Any]:
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


def _bin_sums(scores: ReferenceScores | None) -> np.ndarray:
    """One answer's part of the sums (shape [3 * N_BINS]); NaN where there is no reference."""
    if scores is None or not scores.n_tokens:
        return np.full(3 * N_BINS, np.nan)
    # bin m has the confidences in ((m - 1) / N_BINS, m / N_BINS]; rounding can raise one slightly above 1
    bins = np.clip(np.ceil(scores.confidences * N_BINS).astype(int) - 1, 0, N_BINS - 1)
    weights = (np.ones(scores.n_tokens), scores.confidences, scores.hits)
    return np.concatenate([np.bincount(bins, weights=one, minlength=N_BINS) for one in weights])
