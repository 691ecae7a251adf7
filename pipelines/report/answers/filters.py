"""What the page can be filtered by: flips of each check, answers that did not stop, and categories."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipelines.report.answers.answers import Prompt
from pipelines.report.comparison_record import Comparison


@dataclass(frozen=True)
class Choice:
    """One entry of a filter: `tag` is what the page's script looks for, `n` how many prompts have it."""

    tag: str
    label: str
    n: int


@dataclass(frozen=True)
class Filters:
    """`flips` is (model, its choices); both are empty where there is nothing to choose; `tags` is prompt id -> tags."""

    flips: tuple[tuple[str, tuple[Choice, ...]], ...]
    categories: tuple[Choice, ...]
    tags: Mapping[Any, str]


def filters_of(prompts: Sequence[Prompt], comparison: Comparison) -> Filters:
    """Only choices that would show something; tags are numbers, so that no name of a record becomes one."""
    tags: dict[Any, set[str]] = {prompt.id: set() for prompt in prompts}
    groups = []
    for number, model in enumerate(comparison.models):
        found = _stopping(prompts, number, tags) if number else []
        if number >= comparison.n_baselines:
            found = _flips(prompts, comparison, number, tags) + found
        if found:
            groups.append((model.name, tuple(found)))
    names = list(dict.fromkeys(prompt.category for prompt in prompts if prompt.category and not prompt.is_extra))
    categories = []
    for index, name in enumerate(names):
        ids = [prompt.id for prompt in prompts if prompt.category == name and not prompt.is_extra]
        categories.append(_choice(f"c{index}", name, ids, tags))
    return Filters(
        flips=tuple(groups),
        categories=tuple(categories) if len(categories) > 1 else (),
        tags={key: " ".join(sorted(found)) for key, found in tags.items()},
    )


def _flips(prompts: Sequence[Prompt], comparison: Comparison, number: int, tags: dict[Any, set[str]]) -> list[Choice]:
    flips = comparison.models[number].flips
    labels = {measure.name: measure.full_label for measure in comparison.measures}
    better = [prompt.id for prompt in prompts if prompt.answers[number].improved]
    worse = [prompt.id for prompt in prompts if prompt.answers[number].worsened]
    choices = [
        _choice(f"b{number}", "better on any check", better, tags),
        _choice(f"w{number}", "worse on any check", worse, tags),
    ]
    for index, (metric, sides) in enumerate(flips.items()):
        for side, word in enumerate(("gained", "lost")):
            found = [prompt.id for prompt in prompts if prompt.id in sides[side]]
            choices.append(_choice(f"f{number}-{side}-{index}", f"{word}: {labels.get(metric, metric)}", found, tags))
    return [choice for choice in choices if choice.n]


def _stopping(prompts: Sequence[Prompt], number: int, tags: dict[Any, set[str]]) -> list[Choice]:
    answers = [(prompt.id, prompt.answers[number].greedy) for prompt in prompts]
    running = [row_id for row_id, greedy in answers if greedy is not None and not greedy.stopped]
    return [_choice(f"u{number}", "did not stop on its own", running, tags)] if running else []


def _choice(tag: str, label: str, ids: Sequence[Any], tags: dict[Any, set[str]]) -> Choice:
    for row_id in ids:
        tags[row_id].add(tag)
    return Choice(tag, label, len(ids))
