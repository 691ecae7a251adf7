"""Pairs as instructions: the prompt with its chosen answer."""

from collections.abc import Sequence

from data_prep.conversation import ALIASES, content_text, read_preference
from data_prep.dataset_folder import DatasetKind
from data_prep.sources.row_formats.row_format import ForeignFormat, Row, each_row, without

_PAIR = ("chosen", "rejected")
_PROMPT = (*ALIASES["instruction"], "input", "conversations", "messages", "system", "tools", "chat_template_kwargs")


def _recognizes(columns: Sequence[str], head: Sequence[Row]) -> bool:  # noqa: ARG001
    return {*columns} >= {*_PAIR} and not {*columns} & {*ALIASES["output"]}


def with_chosen_answer(row: Row) -> Row:
    """Return a pair as an instruction or a conversation. Raises `UnreadableRowError`."""
    pair = read_preference(row)
    others = without(row, ("chosen", *_PROMPT))
    if pair.is_plain and len(pair.prompt) == 1:
        return {**others, "instruction": content_text(pair.prompt[0]), "output": content_text(pair.chosen)}
    more = {"tools": pair.tools, "chat_template_kwargs": pair.template_arguments}
    return {**others, "messages": [*pair.prompt, pair.chosen], **{name: value for name, value in more.items() if value}}


CHOSEN_ANSWERS = ForeignFormat(
    "chosen_answers",
    "chosen and rejected answers, of which the chosen one is kept",
    (DatasetKind.INSTRUCTIONS,),
    _recognizes,
    each_row(lambda row, kind: with_chosen_answer(row)),  # noqa: ARG005
)
