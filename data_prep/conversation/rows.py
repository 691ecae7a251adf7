"""Rows of the formats that are in use, as one: a conversation, or plain text with or without a prompt before it."""

from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Any

from data_prep.conversation.messages import Message, UnreadableRowError, parsed_json, read_messages, text_or_parts
from data_prep.conversation.model import Conversation, PlainText
from pipelines.errors import UserError

Row = Mapping[str, Any]


class RowFormat(StrEnum):
    """How a row says what is asked and what is answered."""

    INSTRUCTION = "instruction"
    MESSAGES = "messages"
    SHAREGPT = "conversations"
    PROMPT_COMPLETION = "prompt"
    TEXT = "text"


_NEEDED = {
    RowFormat.MESSAGES: ("messages",),
    RowFormat.SHAREGPT: ("conversations",),
    RowFormat.PROMPT_COMPLETION: ("prompt", "completion"),
    RowFormat.INSTRUCTION: ("instruction", "output"),
}
_OF_ANY_CONVERSATION = ("system", "tools", "chat_template_kwargs")
_READ = {
    RowFormat.MESSAGES: ("messages", *_OF_ANY_CONVERSATION),
    RowFormat.SHAREGPT: ("conversations", *_OF_ANY_CONVERSATION),
    RowFormat.PROMPT_COMPLETION: ("prompt", "completion", *_OF_ANY_CONVERSATION),
    RowFormat.INSTRUCTION: ("instruction", "input", "output", "history", *_OF_ANY_CONVERSATION),
}


def row_format(columns: Sequence[str], text_field: str, name: str) -> RowFormat:
    """The format of the dataset `name` by its columns.

    Raises `UserError` with the columns found and the formats known.
    """
    for known, needed in _NEEDED.items():
        if all(column in columns for column in needed):
            return known
    if text_field in columns:
        return RowFormat.TEXT
    formats = [" + ".join(needed) for needed in _NEEDED.values()]
    raise UserError(
        expected=f"columns of a known format in {name}: {', '.join(formats)} or {text_field}",
        got=", ".join(columns),
        remedy="map them with data_prep/build_instructions.py --column_map instruction=...,output=..., or name the "
        "text column with dataset_text_field",
    )


def unread_columns(columns: Iterable[str], kind: RowFormat, text_field: str = "text") -> list[str]:
    """Columns of a dataset of format `kind` that `read_row` does not read."""
    read = (text_field,) if kind is RowFormat.TEXT else _READ[kind]
    return [column for column in columns if column not in read]


def is_conversational(kind: RowFormat, row: Row) -> bool:
    """Whether rows like `row` are rendered by a chat template; prompts and completions of plain text are not."""
    if kind is RowFormat.PROMPT_COMPLETION:
        return not isinstance(row["prompt"], str)
    return kind is not RowFormat.TEXT


def read_row(row: Row, kind: RowFormat, text_field: str = "text") -> Conversation | PlainText:
    """`row` as a conversation or plain text. Raises `UnreadableRowError`."""
    if kind is RowFormat.TEXT:
        return PlainText("", _text(row[text_field]))
    if kind is RowFormat.PROMPT_COMPLETION and isinstance(row["prompt"], str):
        return PlainText(row["prompt"], _text(row["completion"]))
    first_trained = 0
    marks: tuple[bool | None, ...] = ()
    if kind is RowFormat.INSTRUCTION:
        messages = [*_history(row.get("history")), *_instruction_messages(row)]
    elif kind is RowFormat.PROMPT_COMPLETION:
        before, _ = read_messages(row["prompt"])
        after, marks = read_messages(row["completion"])
        messages, first_trained = before + after, len(before)
        marks = (*[None] * len(before), *marks) if marks else ()
    else:
        messages, marks = read_messages(row["messages"] if kind is RowFormat.MESSAGES else row["conversations"])
    system = row.get("system")
    if system and messages[0]["role"] != "system":
        messages = [{"role": "system", "content": text_or_parts(system)}, *messages]
        first_trained += first_trained > 0
        marks = (None, *marks) if marks else ()
    arguments = parsed_json(row.get("chat_template_kwargs")) or {}
    if not isinstance(arguments, Mapping):
        raise UnreadableRowError("chat_template_kwargs_is_no_object")
    return Conversation(messages, _tools(row.get("tools")), dict(arguments), first_trained, marks)


def _instruction_messages(row: Row) -> list[Message]:
    instruction, given = _text(row["instruction"]), _text(row.get("input"))
    request = f"{instruction}\n\n{given}" if given else instruction
    return [{"role": "user", "content": request}, {"role": "assistant", "content": _text(row["output"])}]


def _history(value: Any) -> list[Message]:
    """LLaMA-Factory's `history`: [question, answer] pairs that came before."""
    pairs = parsed_json(value) or []
    if not isinstance(pairs, list) or not all(isinstance(pair, list | tuple) and len(pair) == 2 for pair in pairs):
        raise UnreadableRowError("history_is_no_list_of_pairs")
    turns = [(role, said) for pair in pairs for role, said in zip(("user", "assistant"), pair, strict=True)]
    return [{"role": role, "content": _text(said)} for role, said in turns]


def _tools(value: Any) -> list[Any] | None:
    """Tools as JSON schemas in OpenAI's form, which templates expect; bare functions are wrapped into it."""
    tools = parsed_json(value)
    if not tools:
        return None
    if not isinstance(tools, list):
        raise UnreadableRowError("tools_are_no_list")
    tools = [parsed_json(tool) for tool in tools]  # some sets keep each schema as text
    if not all(isinstance(tool, Mapping) for tool in tools):
        raise UnreadableRowError("tool_is_no_object")
    return [tool if "function" in tool else {"type": "function", "function": tool} for tool in tools]


def _text(value: Any) -> str:
    text = text_or_parts(value)
    if not isinstance(text, str):
        raise UnreadableRowError("content_is_not_text")
    return text
