"""HH-RLHF: two whole dialogues as text, with `Human:` and `Assistant:` before each turn."""

import re
from collections.abc import Sequence
from typing import Any

from data_prep.conversation import UnreadableRowError
from data_prep.dataset_folder import DatasetKind
from data_prep.sources.row_formats.row_format import ForeignFormat, Row, each_row

_SIDES = ("chosen", "rejected")
_TURN = re.compile(r"(?:\A|\n\n)\s*(Human|Assistant):")
_ROLES = {"Human": "user", "Assistant": "assistant"}


def _recognizes(columns: Sequence[str], head: Sequence[Row]) -> bool:
    sides = [side for side in _SIDES if side in columns]
    texts = [row.get(side) for row in head for side in sides]
    return bool(sides) and bool(texts) and all(isinstance(text, str) and _is_dialogue(text) for text in texts)


def _is_dialogue(text: str) -> bool:
    return text.lstrip().startswith("Human:") and "\n\nAssistant:" in text


def dialogue(text: Any) -> list[dict[str, str]]:
    """Return the turns of one text. Raises `UnreadableRowError` if it does not begin with one."""
    if not isinstance(text, str) or not _TURN.match(text):
        raise UnreadableRowError("text_is_no_dialogue")
    parts = _TURN.split(text)
    return [
        {"role": _ROLES[speaker], "content": said.strip()}
        for speaker, said in zip(parts[1::2], parts[2::2], strict=True)
    ]


def _convert(row: Row, kind: DatasetKind) -> Row:
    if kind is DatasetKind.PREFERENCES:
        return {**row, **{side: dialogue(row.get(side)) for side in _SIDES}}
    return {**{name: value for name, value in row.items() if name != "chosen"}, "messages": dialogue(row.get("chosen"))}


HH_RLHF = ForeignFormat(
    "hh_rlhf",
    "chosen and rejected dialogues as text, with Human: and Assistant: before each turn",
    (DatasetKind.PREFERENCES, DatasetKind.INSTRUCTIONS),
    _recognizes,
    each_row(_convert),
)
