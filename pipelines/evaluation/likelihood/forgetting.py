"""Forgetting: likelihood of general text, and capability items (minimal pairs, multiple choice). No chat template."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipelines.errors import UserError
from pipelines.evaluation.likelihood.documents import Documents
from pipelines.evaluation.likelihood.likelihood import DocumentLikelihood, passage_likelihoods, text_likelihoods
from pipelines.evaluation.statistics.metric_definition import Group, MetricDefinition
from pipelines.evaluation.statistics.metric_table import MetricTable
from pipelines.evaluation.statistics.row_groups import group_of
from pipelines.files import is_utf8
from pipelines.inference.log_probabilities import TokenSequence, log_probabilities
from pipelines.inference.processes import measured_by_all
from pipelines.modeling import LoadedModel, PromptStyle, render_answer, render_prompt


@dataclass(frozen=True)
class CapabilityItem:
    """Choices of which number `answer` is right: continuations of `context`, or whole sentences where it is None. Items
    of one `group` depend on each other."""

    context: str | None
    choices: tuple[str, ...]
    answer: int
    category: str | None = None
    group: str | None = None


def capability_item(row: Mapping[str, Any], where: str) -> CapabilityItem:
    """Read the item in a row.

    Either `good` and `bad`, two sentences; or `choices` (a list) and `answer` (its index from 0, or its letter) with
    `context` or `prompt`, which the choice continues, or `question`, which becomes "Question: ...\\nAnswer:" after the
    `context`. A space comes before a choice. Keeps `category` (or `subject`) and `group`. Raises `UserError` otherwise.
    """
    category = row.get("category") or row.get("subject")
    named = None if category is None else str(category)
    if "good" in row or "bad" in row:
        good, bad = row.get("good"), row.get("bad")
        if not (isinstance(good, str) and isinstance(bad, str) and good and bad) or good == bad:
            raise _error(where, "needs two different texts in `good` and `bad`")
        _check_utf8([good, bad], where)
        return CapabilityItem(None, (good, bad), 0, named, group_of(row))
    choices = row.get("choices")
    if not isinstance(choices, list) or len(choices) < 2 or not all(isinstance(one, str) and one for one in choices):
        found = f"the columns {', '.join(map(str, row)) or '(none)'}" if choices is None else repr(choices)[:80]
        raise _error(where, f"has {found}, expected `good` and `bad`, or a list of two or more texts in `choices`")
    context = _context(row, where)
    _check_utf8([context, *choices], where)
    answer = _answer(row.get("answer"), len(choices), where)
    return CapabilityItem(context, tuple(choices), answer, named, group_of(row))


def _context(row: Mapping[str, Any], where: str) -> str:
    parts = {name: row.get(name) or "" for name in ("context", "prompt", "question")}
    if not all(isinstance(text, str) for text in parts.values()) or not any(parts.values()):
        raise _error(where, "needs a text in `question`, `context` or `prompt`")
    before = "\n\n".join(text for text in (parts["context"], parts["prompt"]) if text)
    if not parts["question"]:
        return before
    return f"{before}\n\nQuestion: {parts['question']}\nAnswer:".lstrip("\n")


def _answer(answer: Any, n_choices: int, where: str) -> int:
    place = -1
    if isinstance(answer, int) and not isinstance(answer, bool):
        place = answer
    elif isinstance(answer, str) and answer.strip().isdecimal():
        place = int(answer)
    elif isinstance(answer, str) and len(answer.strip().upper()) == 1:
        place = ord(answer.strip().upper()) - ord("A")
    if not 0 <= place < n_choices:
        raise _error(where, f"has the answer {answer!r}, expected an index from 0 to {n_choices - 1}, or its letter")
    return place


def _check_utf8(texts: Sequence[str], where: str) -> None:
    if not all(map(is_utf8, texts)):
        raise _error(where, "has half of a surrogate pair, which is not valid text")


def _error(where: str, problem: str) -> UserError:
    return UserError(f"{where} {problem}", "fix that row of --capability")


GENERAL_BITS_PER_BYTE = MetricDefinition(
    "general_bits_per_byte", "bits per byte of general text", "bits_per_byte", "lower",
    "bits that the model needs for a byte of text unrelated to the task, without a chat template; more than the base "
    "needs is forgetting",
    Group.BEYOND,
)  # fmt: skip
CAPABILITY = MetricDefinition(
    "capability", "base capability: right by log-likelihood", "share", "higher",
    "share of items whose right text is the most probable (summed log p), without a chat template; less than the "
    "base's is forgetting",
    Group.BEYOND, is_flag=True,
)  # fmt: skip
CAPABILITY_PER_BYTE = MetricDefinition(
    "capability_per_byte", "base capability: right by log-likelihood per byte", "share", "higher",
    "share of multiple-choice items whose right choice has the highest log p per byte, which does not favor short "
    "choices, without a chat template",
    Group.BEYOND, is_flag=True,
)  # fmt: skip


@dataclass(frozen=True)
class CapabilityScore:
    """Summed log p in nats of each of an item's choices, and their bytes of UTF-8."""

    log_probs: tuple[float, ...]
    n_bytes: tuple[int, ...]


def capability_scores(loaded: LoadedModel, items: Sequence[CapabilityItem]) -> list[CapabilityScore]:
    """log p of every choice given its context, of a sentence without context as in `text_likelihoods`. A context that
    does not fit is cut at its left. Raises as `text_likelihoods`."""
    sentences = [choice for item in items if item.context is None for choice in item.choices]
    alone = iter(text_likelihoods(loaded, sentences, measured_by=measured_by_all))
    sequences = [
        _continuation(loaded, item.context, choice) for item in items if item.context for choice in item.choices
    ]
    after = iter(log_probabilities(loaded, sequences, measured_by=measured_by_all))
    scores = []
    for item in items:
        if item.context is None:
            log_probs = tuple(-next(alone).nll_nats for _ in item.choices)
        else:
            log_probs = tuple(float(next(after).sum()) for _ in item.choices)
        scores.append(CapabilityScore(log_probs, tuple(len(choice.encode("utf-8")) for choice in item.choices)))
    return scores


def general_likelihoods(loaded: LoadedModel, documents: Documents) -> list[DocumentLikelihood]:
    """Likelihood of each document, as perplexity.py measures it. Raises as `text_likelihoods`."""
    likelihoods = passage_likelihoods if documents.follow_on else text_likelihoods
    return likelihoods(loaded, documents.items, measured_by=measured_by_all)


def general_table(likelihoods: Mapping[str, Sequence[DocumentLikelihood]]) -> MetricTable:
    """Bits per byte over the general documents that have a scored byte."""
    return MetricTable.of_ratios(
        GENERAL_BITS_PER_BYTE,
        {name: [one.bits for one in found] for name, found in likelihoods.items()},
        {name: [one.n_bytes for one in found] for name, found in likelihoods.items()},
    )


def capability_tables(
    items: Sequence[CapabilityItem], scores: Mapping[str, Sequence[CapabilityScore]]
) -> list[MetricTable]:
    """The items that each model has right: by log p, and for multiple choice by log p per byte too."""
    by_sum: dict[str, list[bool]] = {}
    by_byte: dict[str, list[bool | None]] = {}
    for name, found in scores.items():
        pairs = list(zip(items, found, strict=True))
        by_sum[name] = [_is_right(item, one) for item, one in pairs]
        by_byte[name] = [
            _is_right(item, one, per_byte=True) if item.context is not None else None for item, one in pairs
        ]
    return [MetricTable.of_values(CAPABILITY, by_sum), MetricTable.of_values(CAPABILITY_PER_BYTE, by_byte)]


def capability_details(
    items: Sequence[CapabilityItem], scores: Mapping[str, Sequence[CapabilityScore]]
) -> dict[str, Any]:
    """The share right by chance, and by category the number of items and each model's share right."""
    by_category: dict[str, list[int]] = {}
    for place, item in enumerate(items):
        by_category.setdefault(item.category or "(none)", []).append(place)
    return {
        "chance": sum(1 / len(item.choices) for item in items) / len(items),
        "categories": {
            category: {
                "n": len(places),
                "models": {
                    name: sum(_is_right(items[place], found[place]) for place in places) / len(places)
                    for name, found in scores.items()
                },
            }
            for category, places in sorted(by_category.items())
        },
    }


def _continuation(loaded: LoadedModel, context: str, choice: str) -> TokenSequence:
    """`choice` after `context` and a space, unless either has white space there."""
    joint = "" if context[-1:].isspace() or choice[:1].isspace() else " "
    before = render_prompt(loaded.tokenizer, context, style=PromptStyle.RAW)
    answer = render_answer(loaded.tokenizer, joint + choice, PromptStyle.PLAIN)
    return TokenSequence([*before, *answer.token_ids[: answer.n_text_tokens]], first_scored=len(before))


def _is_right(item: CapabilityItem, score: CapabilityScore, *, per_byte: bool = False) -> bool:
    """Whether the right choice has the highest score; a tie is not right."""
    scores: Sequence[float] = score.log_probs
    if per_byte:
        scores = [total / n for total, n in zip(scores, score.n_bytes, strict=True)]
    return all(scores[item.answer] > one for place, one in enumerate(scores) if place != item.answer)
