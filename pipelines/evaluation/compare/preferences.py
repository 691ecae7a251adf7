"""Preference accuracies and margins on held-out pairs, before and after training, with intervals.

The implicit reward of an answer is beta * (log p of the policy - log p of the reference): R. Rafailov et al., Direct
Preference Optimization (NeurIPS 2023), section 4.
"""

import json
from collections.abc import Collection, Hashable, Iterable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from pipelines.evaluation.statistics.intervals import bootstrap_mean
from pipelines.evaluation.statistics.row_groups import Groups, group_of, groups_by_instruction, labels_of
from pipelines.evaluation.statistics.shares import paired_difference_of_shares, share

_PROMPTS = ("system", "instruction", "input", "prompt", "question", "messages", "conversations")
Scores = Mapping[str, np.ndarray]


def preference_metrics(before: Scores, after: Scores, beta: float, groups: Groups | None = None) -> dict[str, Any]:
    """Figures over the same n pairs before and after training, for run.json.

    Scores are summed log-probabilities in nats (`chosen`, `rejected`, `reference_chosen`, `reference_rejected`) and
    tokens (`n_chosen`, `n_rejected`), shape [n] each. `groups` has a label for each pair: pairs of one label are
    resampled together.

    `likelihood_accuracy` is the share of pairs whose chosen answer is more likely. It favors short answers; the
    `normalized` one (mean over tokens) does not. `reward_accuracy` is TRL's: the share of pairs whose chosen answer has
    the higher implicit reward. Before training policy and reference are equal, so every margin is 0 and every pair a
    tie: there is no accuracy yet, and the trained one is compared with `chance`. A tie counts as wrong, as in TRL.
    """
    margins = {"before": _margins(before, beta), "after": _margins(after, beta)}
    rewards = share(margins["after"] > 0, groups)
    low, high = rewards.ci95
    return {
        "n_pairs": rewards.n,
        "beta": beta,
        "likelihood_accuracy": _likelihood_accuracy(before, after, groups),
        "likelihood_accuracy_normalised": _likelihood_accuracy(_by_token(before), _by_token(after), groups),
        "reward_accuracy": {
            "before": {"value": None, "n": rewards.n, "n_ties": int((margins["before"] == 0).sum())},
            "after": {**rewards.to_json(), "n_ties": int((margins["after"] == 0).sum())},
            "chance": 0.5,
            "difference_from_chance": replace(
                rewards, value=rewards.value - 0.5, ci95=(low - 0.5, high - 0.5)
            ).to_json(),
        },
        "reward_margin": {name: _mean(values, groups) for name, values in margins.items()},
        "largest_gap_to_reference_before": float(
            max(np.abs(before[name] - before[f"reference_{name}"]).max() for name in ("chosen", "rejected"))
        ),
    }


def pair_groups(rows: Iterable[Mapping[str, Any]], dropped: Collection[int]) -> list[Hashable]:
    """A label for each pair of `rows` without those numbered `dropped` (from 0): the row's `group`, else one for equal
    prompts."""
    kept = [row for number, row in enumerate(rows) if number not in dropped]
    prompts = [json.dumps([row.get(name) for name in _PROMPTS], default=str) for row in kept]
    return labels_of(groups_by_instruction([group_of(row) for row in kept], prompts))


def preference_line(metrics: Mapping[str, Any]) -> str:
    """The figures as one line for the terminal."""
    likelihood, rewards = metrics["likelihood_accuracy"], metrics["reward_accuracy"]["after"]
    low, high = likelihood["difference"]["ci95"]
    reward_low, reward_high = rewards["ci95"]
    return (
        f"{metrics['n_pairs']} held-out pairs: the chosen answer is more likely in "
        f"{likelihood['before']['value']:.1%} before and {likelihood['after']['value']:.1%} after "
        f"({100 * likelihood['difference']['value']:+.1f} points, 95% interval {100 * low:+.1f} to {100 * high:+.1f}); "
        f"reward accuracy {rewards['value']:.1%} [{reward_low:.1%}, {reward_high:.1%}], where chance is 50%"
    )


def _margins(scores: Scores, beta: float) -> np.ndarray:
    chosen = scores["chosen"] - scores["reference_chosen"]
    return beta * (chosen - (scores["rejected"] - scores["reference_rejected"]))


def _by_token(scores: Scores) -> Scores:
    return {name: scores[name] / scores[f"n_{name}"] for name in ("chosen", "rejected")}


def _likelihood_accuracy(before: Scores, after: Scores, groups: Groups | None) -> dict[str, Any]:
    flags = {name: one["chosen"] > one["rejected"] for name, one in (("before", before), ("after", after))}
    difference = paired_difference_of_shares(flags["after"], flags["before"], groups).to_json()
    return {**{name: share(found, groups).to_json() for name, found in flags.items()}, "difference": difference}


def _mean(values: np.ndarray, groups: Groups | None) -> dict[str, Any]:
    if len(values) < 2:  # one pair has a margin, but no interval
        return {"value": float(values.mean()), "ci95": None, "n": len(values)}
    return bootstrap_mean(values, groups=groups).to_json()
