"""Pairs as instructions: the prompt with its chosen answer."""

from collections.abc import Sequence

from data_prep.conversation import ALIASES, PROMPT_COLUMNS, content_text, holds_messages, read_preference
from data_prep.conversation.messages import parsed_json
from data_prep.dataset_folder import DatasetKind
from data_prep.sources.row_formats.row_format import ForeignFormat, Row, each_row, without

_PAIR = ("chosen", "rejected")
_ANY_OTHER = "\0"  # an answer that no chosen one equals
_PROMPT = (*ALIASES["instruction"], "input", "conversations", "messages", "system", "tools", "chat_template_kwargs")


def _recognizes(columns: Sequence[str], head: Sequence[Row]) -> bool:  # noqa: ARG001
    return {*columns} >= {*_PAIR} and not {*columns} & {*ALIASES["output"]}


def with_chosen_answer(row: Row) -> Row:
    """Return a pair as an instruction or a conversation, whatever its rejected answer. Raises `UnreadableRowError`."""
    chosen = row.get("chosen")
    if all(row.get(name) is None for name in PROMPT_COLUMNS) and holds_messages(chosen):
        turns = parsed_json(chosen)
        row = {**row, "prompt": turns[:-1], "chosen": turns[-1:]} if isinstance(turns, list) else row
    pair = read_preference({**row, "rejected": _ANY_OTHER})
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
