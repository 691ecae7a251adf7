"""Conversations as lists of alternating texts, of objects with a request and an answer, or of messages."""

from collections.abc import Mapping, Sequence
from typing import Any

from data_prep.conversation import CONVERSATION_COLUMNS, UnreadableRowError, holds_messages
from data_prep.conversation.messages import parsed_json
from data_prep.dataset_folder import DatasetKind
from data_prep.sources.row_formats.row_format import (
    ForeignFormat,
    Row,
    asks_and_answers,
    each_row,
    fits_nearly_all,
    without,
)

# `data` is UltraChat's, `conversation` LMSYS's and XTuner's
_COLUMNS = (*CONVERSATION_COLUMNS, "conversation", "dialog", "dialogue", "utterances", "data")
_REQUESTS = ("human", "user", "input", "question", "prompt", "instruction")
_ANSWERS = ("assistant", "bot", "gpt", "output", "answer", "response")


def _recognizes(columns: Sequence[str], head: Sequence[Row]) -> bool:
    column = next((name for name in _COLUMNS if name in columns), None)
    if column is None or asks_and_answers(columns):
        return False
    if column in CONVERSATION_COLUMNS and any(holds_messages(row.get(column)) for row in head):
        return False  # our own columns
    return fits_nearly_all(head, lambda row: _messages(row.get(column)))


def _messages(value: Any) -> list[Any]:
    """Return the messages of a list. Raises `UnreadableRowError`."""
    turns = parsed_json(value) if isinstance(value, str) and value.lstrip().startswith("[") else value
    if holds_messages(turns) and isinstance(turns, list):
        return turns
    if isinstance(turns, list) and len(turns) > 1 and all(isinstance(one, str) for one in turns):
        return [{"role": ("user", "assistant")[place % 2], "content": text} for place, text in enumerate(turns)]
    if isinstance(turns, list) and turns and all(isinstance(one, Mapping) for one in turns):
        return [message for turn in turns for message in _pair(turn)]
    raise UnreadableRowError("turns_are_not_texts")


def _pair(turn: Mapping[str, Any]) -> list[dict[str, Any]]:
    asked = next((name for name in _REQUESTS if name in turn), None)
    answer = next((name for name in _ANSWERS if name in turn), None)
    if asked is None or answer is None:
        raise UnreadableRowError("turn_without_request_and_answer")
    system = [{"role": "system", "content": turn["system"]}] if turn.get("system") else []
    return [*system, {"role": "user", "content": turn[asked]}, {"role": "assistant", "content": turn[answer]}]


def _convert(row: Row, kind: DatasetKind) -> Row:  # noqa: ARG001
    column = next((name for name in _COLUMNS if row.get(name) is not None), None)
    if column is None:
        raise UnreadableRowError("no_messages")
    return {**without(row, (column,)), "messages": _messages(row[column])}


TURNS = ForeignFormat(
    "turns",
    "a list of alternating texts, of objects with a request and an answer, or of messages under another name",
    (DatasetKind.INSTRUCTIONS,),
    _recognizes,
    each_row(_convert),
)
