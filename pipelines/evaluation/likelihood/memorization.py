"""Answers that repeat training rows word for word. The base has not seen the rows: its figure is what chance gives.

Words are separated by white space and compared unchanged. Text of the prompt does not count: words of an answer in a
run of four or more that the prompt has too are gaps that no overlap crosses, so a quoted question or copied input is
not memorization.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from pipelines.evaluation.likelihood.evaluation_files import training_answers
from pipelines.evaluation.likelihood.shared_token_runs import SharedRun, longest_shared_runs
from pipelines.evaluation.prompts.prompt import Prompt
from pipelines.evaluation.statistics.metric_definition import Group, MetricDefinition
from pipelines.evaluation.statistics.metric_table import MetricTable
from pipelines.inference.generation import Answer

_MIN_COPIED_WORDS = 4  # in a run that the prompt has too; shorter ones are in any text
_MIN_REPEATED_WORDS = 8
_MIN_REPEATED_SHARE = 0.3
_N_SHOWN = 3  # longest overlaps of each model
_N_SHOWN_CHARACTERS = 200

LONGEST_OVERLAP = MetricDefinition(
    "longest_overlap", "longest overlap with a training row", "words", "neither",
    "consecutive words of the greedy answer that are also in one training row's answer, and not in the prompt; a "
    "model that learned a format shares words with it, so compare with the base, which has not seen the rows",
    Group.BEYOND,
)  # fmt: skip
REPEATS_TRAINING_ROW = MetricDefinition(
    "repeats_training_row", "answers that repeat a training row", "share", "lower",
    f"share of greedy answers of which {_MIN_REPEATED_SHARE:.0%}, and at least {_MIN_REPEATED_WORDS} words, are word "
    "for word in one training row's answer, in one run and not in the prompt",
    Group.BEYOND, is_flag=True,
)  # fmt: skip
Answers = Mapping[str, Sequence[Answer]]


def memorization_tables(prompts: Sequence[Prompt], answers: Answers, training_rows: Path) -> list[MetricTable]:
    """Length of the longest overlap of each greedy answer that is not empty, and whether it repeats a row."""
    lengths: dict[str, list[float | None]] = {}
    repeats: dict[str, list[bool | None]] = {}
    for model, runs in _runs_by_model(prompts, answers, training_rows).items():
        pairs = [(run, one.text) for run, one in zip(runs, answers[model], strict=True)]
        lengths[model] = [float(run.n_words) if text.strip() else None for run, text in pairs]
        repeats[model] = [_repeats(run, text) if text.strip() else None for run, text in pairs]
    return [
        MetricTable.of_values(LONGEST_OVERLAP, lengths, decoding="greedy"),
        MetricTable.of_values(REPEATS_TRAINING_ROW, repeats, decoding="greedy"),
    ]


def longest_overlaps(prompts: Sequence[Prompt], answers: Answers, training_rows: Path) -> list[dict[str, Any]]:
    """Each model's longest overlaps: prompt, number of words, the words, and a training row (from 1) with them."""
    shown = []
    for model, runs in _runs_by_model(prompts, answers, training_rows).items():
        for place in sorted(range(len(runs)), key=lambda place: -runs[place].n_words)[:_N_SHOWN]:
            run = runs[place]
            if run.text is not None:
                words = answers[model][place].text.split()[run.begin : run.begin + run.n_words]
                text = " ".join(words)[:_N_SHOWN_CHARACTERS]
                ids = {"model": model, "id": prompts[place].id}
                shown.append({**ids, "n_words": run.n_words, "text": text, "row": run.text + 1})
    return shown


def words_not_in_prompt(answer: str, prompt: str) -> list[str | None]:
    """The answer's words, None for those that it copied from the prompt in a run of four or more."""
    words: list[str | None] = list(answer.split())
    asked, n = prompt.split(), _MIN_COPIED_WORDS
    known = {tuple(asked[place : place + n]) for place in range(len(asked) - n + 1)}
    copied = [place for place in range(len(words) - n + 1) if tuple(words[place : place + n]) in known]
    for begin in copied:
        words[begin : begin + n] = [None] * n
    return words


def _runs_by_model(prompts: Sequence[Prompt], answers: Answers, training_rows: Path) -> dict[str, list[SharedRun]]:
    queries = tuple(
        tuple(words_not_in_prompt(answer.text, prompt.full_text))
        for found in answers.values()
        for prompt, answer in zip(prompts, found, strict=True)
    )
    runs = _runs(queries, training_rows)
    n = len(prompts)
    return {model: runs[number * n : (number + 1) * n] for number, model in enumerate(answers)}


@lru_cache(maxsize=1)  # the tables and the details of a comparison need the same runs
def _runs(queries: tuple[tuple[str | None, ...], ...], training_rows: Path) -> list[SharedRun]:
    return longest_shared_runs(queries, [text.split() for text in training_answers(training_rows)])


def _repeats(run: SharedRun, answer: str) -> bool:
    return run.n_words >= max(_MIN_REPEATED_WORDS, _MIN_REPEATED_SHARE * len(answer.split()))
