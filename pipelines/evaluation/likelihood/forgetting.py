"""What a model may have forgotten: general text, and questions that the base could answer. No chat template in either:
they measure what the base could do, in the form in which it could do it."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipelines.evaluation.likelihood.capability_items import CapabilityItem
from pipelines.evaluation.likelihood.likelihood import DocumentLikelihood, passage_likelihoods, text_likelihoods
from pipelines.evaluation.perplexity.documents import Documents
from pipelines.evaluation.statistics.metric_definition import Group, MetricDefinition
from pipelines.evaluation.statistics.metric_table import MetricTable
from pipelines.inference.log_probabilities import TokenSequence, log_probabilities
from pipelines.inference.processes import measured_by_all
from pipelines.modeling import LoadedModel, PromptStyle, render_answer, render_prompt

GENERAL_BITS_PER_BYTE = MetricDefinition(
    "general_bits_per_byte",
    "bits per byte of general text",
    "bits_per_byte",
    "lower",
    "bits that the model needs for a byte of text that has nothing to do with the task, without a chat template; more "
    "than the base needs is forgetting",
    Group.BEYOND,
)
CAPABILITY = MetricDefinition(
    "capability",
    "base capability: right by log-likelihood",
    "share",
    "higher",
    "share of items whose right text is the most probable (summed log p), without a chat template; less than the "
    "base's is forgetting",
    Group.BEYOND,
    is_flag=True,
)
CAPABILITY_PER_BYTE = MetricDefinition(
    "capability_per_byte",
    "base capability: right by log-likelihood per byte",
    "share",
    "higher",
    "share of multiple-choice items whose right choice has the highest log p per byte, so that short choices are not "
    "preferred, without a chat template",
    Group.BEYOND,
    is_flag=True,
)


@dataclass(frozen=True)
class CapabilityScore:
    """Summed log p in nats of each of an item's choices, and their bytes of UTF-8."""

    log_probs: tuple[float, ...]
    n_bytes: tuple[int, ...]


def capability_scores(
    loaded: LoadedModel, items: Sequence[CapabilityItem], *, batch_size: int = 8
) -> list[CapabilityScore]:
    """log p of every choice given its context, of a sentence without context as `text_likelihoods` has it.

    A context that does not fit is cut at its left. Raises as `text_likelihoods`.
    """
    sentences = [choice for item in items if item.context is None for choice in item.choices]
    alone = iter(text_likelihoods(loaded, sentences, batch_size=batch_size, measured_by=measured_by_all))
    sequences = [
        _continuation(loaded, item.context, choice) for item in items if item.context for choice in item.choices
    ]
    behind = iter(log_probabilities(loaded, sequences, batch_size=batch_size, measured_by=measured_by_all))
    scores = []
    for item in items:
        if item.context is None:
            log_probs = tuple(-next(alone).nll_nats for _ in item.choices)
        else:
            log_probs = tuple(float(next(behind).sum()) for _ in item.choices)
        scores.append(CapabilityScore(log_probs, tuple(len(choice.encode("utf-8")) for choice in item.choices)))
    return scores


def general_likelihoods(loaded: LoadedModel, documents: Documents, *, batch_size: int = 8) -> list[DocumentLikelihood]:
    """Likelihood of each document, as perplexity.py measures it. Raises as `text_likelihoods`."""
    likelihoods = passage_likelihoods if documents.follow_on else text_likelihoods
    return likelihoods(loaded, documents.items, batch_size=batch_size, measured_by=measured_by_all)


def general_series(likelihoods: Mapping[str, Sequence[DocumentLikelihood]]) -> MetricTable:
    """Bits per byte over the general documents; one of which no byte could be scored does not apply."""
    known = {name: [one if one.n_bytes else None for one in found] for name, found in likelihoods.items()}
    return MetricTable.of_ratios(
        GENERAL_BITS_PER_BYTE,
        {name: [one.nll_nats / math.log(2) if one else None for one in found] for name, found in known.items()},
        {name: [one.n_bytes if one else None for one in found] for name, found in known.items()},
    )


def capability_series(
    items: Sequence[CapabilityItem], scores: Mapping[str, Sequence[CapabilityScore]]
) -> list[MetricTable]:
    """Which items each model has right: by log p, and for multiple choice by log p per byte too."""
    by_sum = {
        name: [_is_right(item, one.log_probs) for item, one in zip(items, found, strict=True)]
        for name, found in scores.items()
    }
    by_byte = {
        name: [_is_right_per_byte(item, one) for item, one in zip(items, found, strict=True)]
        for name, found in scores.items()
    }
    return [MetricTable.of_values(CAPABILITY, by_sum), MetricTable.of_values(CAPABILITY_PER_BYTE, by_byte)]


def capability_details(
    items: Sequence[CapabilityItem], scores: Mapping[str, Sequence[CapabilityScore]]
) -> dict[str, Any]:
    """What chance would have right, and by category the number of items and each model's share of right ones."""
    by_category: dict[str, list[int]] = {}
    for place, item in enumerate(items):
        by_category.setdefault(item.category or "(none)", []).append(place)
    return {
        "chance": sum(1 / len(item.choices) for item in items) / len(items),
        "categories": {
            category: {
                "n": len(places),
                "models": {
                    name: sum(_is_right(items[place], found[place].log_probs) for place in places) / len(places)
                    for name, found in scores.items()
                },
            }
            for category, places in sorted(by_category.items())
        },
    }


def _continuation(loaded: LoadedModel, context: str, choice: str) -> TokenSequence:
    """`choice` behind `context` and a space, unless either brings white space along."""
    joint = "" if context[-1:].isspace() or choice[:1].isspace() else " "
    before = render_prompt(loaded.tokenizer, context, style=PromptStyle.RAW)
    answer = render_answer(loaded.tokenizer, joint + choice, PromptStyle.PLAIN)
    return TokenSequence([*before, *answer.token_ids[: answer.n_text_tokens]], first_scored=len(before))


def _is_right(item: CapabilityItem, scores: Sequence[float]) -> bool:
    """Whether the right choice is ahead of all others; a tie is not right."""
    return all(scores[item.answer] > one for place, one in enumerate(scores) if place != item.answer)


def _is_right_per_byte(item: CapabilityItem, score: CapabilityScore) -> bool | None:
    if item.context is None:
        return None
    return _is_right(item, [total / n for total, n in zip(score.log_probs, score.n_bytes, strict=True)])
