"""samples.jsonl of a run: what the model answered to the same prompts as training went on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipelines.report.visible_text import Excerpt, excerpt, one_line

MAX_PROMPTS = 8
MAX_STEPS = 12
MAX_CHARACTERS = 800


@dataclass(frozen=True)
class SampleAtStep:
    """An answer given after so many optimizer steps."""

    step: str
    answer: Excerpt
    stopped: bool


@dataclass(frozen=True)
class TrainingSample:
    """One prompt, as the model saw it, with its answers in order of steps."""

    title: str
    prompt: Excerpt
    answers: tuple[SampleAtStep, ...]


def training_samples(rows: Sequence[Mapping[str, Any]]) -> list[TrainingSample]:
    """The first prompts with their answers, of many evaluations the last. Raises KeyError where a row is broken."""
    by_prompt: dict[str, list[SampleAtStep]] = {}
    for row in rows:
        found = SampleAtStep(f"{row['step']:,}", excerpt(row["answer"], MAX_CHARACTERS), bool(row["stopped"]))
        by_prompt.setdefault(row["prompt"], []).append(found)
    chosen = list(by_prompt.items())[:MAX_PROMPTS]
    return [
        TrainingSample(one_line(prompt, 120), excerpt(prompt, MAX_CHARACTERS), tuple(answers[-MAX_STEPS:]))
        for prompt, answers in chosen
    ]
