"""Answers that repeat training rows word for word. The base has not seen the rows: its figure is what chance gives.

Words are separated by white space and compared unchanged. Text of the prompt does not count: words of an answer in a
run of four or more that the prompt has too are gaps that no overlap crosses, so a quoted question or copied input is
not memorization.
"""

from collections.abc import Mapping, Sequence
from typing import Any

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


def memorization(
    prompts: Sequence[Prompt], answers: Mapping[str, Sequence[Answer]], training_answers: Sequence[str]
) -> tuple[list[MetricTable], list[dict[str, Any]]]:
    """Measure the longest overlap of each greedy answer that is not empty, and whether it repeats a row. Returns each
    model's longest overlaps too: prompt, number of words, the words, and a training row (from 1)."""
    queries = [
        words_not_in_prompt(answer.text, prompt.full_text)
        for found in answers.values()
        for prompt, answer in zip(prompts, found, strict=True)
    ]
    runs = iter(longest_shared_runs(queries, [text.split() for text in training_answers]))
    lengths: dict[str, list[float | None]] = {}
    repeats: dict[str, list[bool | None]] = {}
    shown: list[dict[str, Any]] = []
    for model, found in answers.items():
        own = [(next(runs), answer.text) for answer in found]
        lengths[model] = [float(run.n_words) if text.strip() else None for run, text in own]
        repeats[model] = [_repeats(run, text) if text.strip() else None for run, text in own]
        for place in sorted(range(len(own)), key=lambda place: -own[place][0].n_words)[:_N_SHOWN]:
            run, text = own[place]
            if run.text is not None:
                words = " ".join(text.split()[run.begin : run.begin + run.n_words])[:_N_SHOWN_CHARACTERS]
                ids = {"model": model, "id": prompts[place].id}
                shown.append({**ids, "n_words": run.n_words, "text": words, "row": run.text + 1})
    tables = [
        MetricTable.of_values(LONGEST_OVERLAP, lengths, decoding="greedy"),
        MetricTable.of_values(REPEATS_TRAINING_ROW, repeats, decoding="greedy"),
    ]
    return tables, shown


def words_not_in_prompt(answer: str, prompt: str) -> list[str | None]:
    """The answer's words, None for those that it copied from the prompt in a run of four or more."""
    words: list[str | None] = list(answer.split())
    asked, n = prompt.split(), _MIN_COPIED_WORDS
    known = {tuple(asked[place : place + n]) for place in range(len(asked) - n + 1)}
    copied = [place for place in range(len(words) - n + 1) if tuple(words[place : place + n]) in known]
    for begin in copied:
        words[begin : begin + n] = [None] * n
    return words


def _repeats(run: SharedRun, answer: str) -> bool:
    return run.n_words >= max(_MIN_REPEATED_WORDS, _MIN_REPEATED_SHARE * len(answer.split()))
