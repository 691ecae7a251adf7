"""HH-RLHF: two whole dialogues as text, with `Human:` and `Assistant:` before each turn."""

import re
from collections.abc import Sequence
from typing import Any

from data_prep.conversation import UnreadableRowError
from data_prep.dataset_folder import DatasetKind
from data_prep.sources.row_formats.chosen_answers import with_chosen_answer
from data_prep.sources.row_formats.row_format import ForeignFormat, Row, each_row, fits_nearly_all

_SIDES = ("chosen", "rejected")
_TURN = re.compile(r"(?:\A\s*|\n\n)(Human|Assistant):")
_ROLES = {"Human": "user", "Assistant": "assistant"}


def _recognizes(columns: Sequence[str], head: Sequence[Row]) -> bool:
    if "chosen" not in columns:
        return False
    side = "prompt" if "prompt" in columns else "chosen"
    return fits_nearly_all(head, lambda row: _is_dialogue(row.get(side)))


def _is_dialogue(text: Any) -> bool:
    return isinstance(text, str) and text.lstrip().startswith("Human:") and "\n\nAssistant:" in text


def _dialogue(text: Any) -> list[dict[str, str]]:
    """Return the turns of one text. Raises `UnreadableRowError` if it does not begin with one."""
    if not isinstance(text, str) or not _TURN.match(text):
        raise UnreadableRowError("text_is_no_dialogue")
    parts = _TURN.split(text)
    turns = zip(parts[1::2], parts[2::2], strict=True)
    return [{"role": _ROLES[speaker], "content": said.strip()} for speaker, said in turns]


def _convert(row: Row, kind: DatasetKind) -> Row:
    read = dict(row)
    if row.get("prompt") is not None:
        turns = _dialogue(row["prompt"])
        read["prompt"] = turns if turns[-1]["content"] else turns[:-1]  # "Assistant:" asks for the answer
    for side in _SIDES:
        text = row.get(side)
        if row.get("prompt") is None or _is_dialogue(text):
            read[side] = _dialogue(text)
        elif isinstance(text, str):
            read[side] = text.strip()
    return read if kind is DatasetKind.PREFERENCES else with_chosen_answer(read)


HH_RLHF = ForeignFormat(
    "hh_rlhf",
    "chosen and rejected dialogues as text, with Human: and Assistant: before each turn",
    (DatasetKind.PREFERENCES, DatasetKind.INSTRUCTIONS),
    _recognizes,
    each_row(_convert),
)
