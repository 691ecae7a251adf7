"""UltraFeedback and its kin: several answers to one request, each with a score."""

from collections.abc import Mapping, Sequence
from typing import Any

from data_prep.conversation import UnreadableRowError
from data_prep.conversation.messages import parsed_json
from data_prep.dataset_folder import DatasetKind
from data_prep.sources.row_formats.row_format import (
    ForeignFormat,
    Row,
    asks_and_answers,
    each_row,
    first_of,
    fits_nearly_all,
    number,
    without,
)

_ANSWERS = ("completions", "responses", "generations", "answers", "candidates")
_TEXTS = ("response", "completion", "text", "content", "output", "answer")
# UltraFeedback's overall_score is known to be wrong for some answers; the mean of its ratings is not
_SCORES = ("fine-grained_score", "fine_grained_score", "overall_score", "score", "rating", "reward", "pm_score")
_LISTS_OF_SCORES = ("scores", "ratings", "rewards")


def _recognizes(columns: Sequence[str], head: Sequence[Row]) -> bool:
    if {"chosen", "rejected"} <= {*columns} or asks_and_answers(columns):
        return False
    return any(name in columns for name in _ANSWERS) and fits_nearly_all(head, lambda row: _scored(row)[1])


def _scored(row: Row) -> tuple[str, list[tuple[float, Any]]]:
    """Return the column of the answers, and each answer with its score; answers without a score are left out."""
    column = next((name for name in _ANSWERS if row.get(name) is not None), None)
    answers = (parsed_json(row[column]) or []) if column else None
    if column is None or not isinstance(answers, list):
        raise UnreadableRowError("answers_are_no_list")
    if all(isinstance(one, Mapping) for one in answers):
        found = [(first_of(one, _SCORES), first_of(one, _TEXTS)) for one in answers]
    else:
        scores = parsed_json(first_of(row, _LISTS_OF_SCORES))
        if not isinstance(scores, list) or len(scores) != len(answers):
            raise UnreadableRowError("not_one_score_for_each_answer")
        found = list(zip(scores, answers, strict=True))
    read = [(number(score), text) for score, text in found]
    return column, [(score, text) for score, text in read if score is not None and text]


def _convert(row: Row, kind: DatasetKind) -> Row:
    column, scored = _scored(row)
    others = without(row, (column, *_LISTS_OF_SCORES))
    if not scored:
        raise UnreadableRowError("no_scored_answer")
    best = max(scored, key=lambda one: one[0])  # the first of equals
    if kind is not DatasetKind.PREFERENCES:
        return {**others, "output": best[1]}
    worst = min(scored, key=lambda one: one[0])
    if len(scored) < 2 or best[0] == worst[0]:
        raise UnreadableRowError("fewer_than_two_scored_answers" if len(scored) < 2 else "scores_are_equal")
    return {**others, "chosen": best[1], "rejected": worst[1]}


ULTRAFEEDBACK = ForeignFormat(
    "ultrafeedback",
    "a request and a list of answers with scores: the best, or the best against the worst",
    (DatasetKind.PREFERENCES, DatasetKind.INSTRUCTIONS),
    _recognizes,
    each_row(_convert),
)
