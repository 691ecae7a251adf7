"""Read rows of all common formats as a conversation, or as plain text with or without a prompt before it."""

from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Any

from data_prep.conversation.messages import (
    Message,
    UnreadableRowError,
    holds_messages,
    parsed_json,
    read_messages,
    text_or_parts,
)
from data_prep.conversation.model import Conversation, PlainText
from pipelines.errors import UserError

Row = Mapping[str, Any]


class RowFormat(StrEnum):
    """The columns in which a row has its question and answer."""

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


# what compare.py groups answers by and checks them with: its own columns, IFEval's, MBPP's and HumanEval's
CHECKED_COLUMNS = (
    "category", "references", "constraints", "tests", "numeric_answer",
    "key", "instruction_id_list", "kwargs", "test_list", "test_setup_code", "test_imports", "test", "entry_point",
)  # fmt: skip
# columns that data_prep keeps next to a conversation, with the provenance
NOT_OF_THE_CONVERSATION = (*CHECKED_COLUMNS, "source", "source_row", "group")


def row_format(columns: Sequence[str], text_field: str, name: str, *, text_field_is_written: bool = False) -> RowFormat:
    """Return the format of the dataset `name` by its columns. A `text_field` that the recipe sets, or that is not the
    default "text", wins over every other format.

    Raises `UserError` with the columns found and the known formats.
    """
    if (text_field_is_written or text_field != "text") and text_field in columns:
        return RowFormat.TEXT
    known = format_of_columns(columns)
    if known is not None and text_field != "text":
        raise UserError(
            f"{name} has no column {text_field} (dataset_text_field), only {', '.join(columns)}",
            f"correct dataset_text_field, or remove it to train on {' + '.join(_NEEDED[known])}",
        )
    if known is not None or text_field in columns:
        return known or RowFormat.TEXT
    formats = [" + ".join(needed) for needed in _NEEDED.values()]
    raise UserError(
        f"{name} has the columns {', '.join(columns)}, expected {', '.join(formats)} or {text_field}",
        "map them with data_prep/build_instructions.py --column_map instruction=...,output=..., or name the text "
        "column with dataset_text_field",
    )


def format_of_columns(columns: Iterable[str]) -> RowFormat | None:
    """Return the format of conversations that `columns` have, None if they have none."""
    found = set(columns)
    return next((known for known, needed in _NEEDED.items() if found.issuperset(needed)), None)


def unread_columns(columns: Iterable[str], kind: RowFormat, text_field: str = "text") -> list[str]:
    """Return the columns of a dataset of format `kind` that `read_row` does not read."""
    read = (text_field,) if kind is RowFormat.TEXT else _READ[kind]
    return [column for column in columns if column not in read]


def is_conversational(kind: RowFormat, rows: Iterable[Row], name: str = "the dataset") -> bool:
    """Whether `rows` are rendered by a chat template; plain text and pairs of text are not.

    Raises `UserError` if some pairs are messages and some are text: they end with different tokens.
    """
    if kind is not RowFormat.PROMPT_COMPLETION:
        return kind is not RowFormat.TEXT
    pairs = ((number, row.get("prompt"), row.get("completion")) for number, row in enumerate(rows, start=1))
    is_chat = {number: is_pair_of_messages(asked, answer) for number, asked, answer in pairs if asked or answer}
    if len(set(is_chat.values())) > 1:
        first = {chat: next(number for number in is_chat if is_chat[number] is chat) for chat in (True, False)}
        n_chat = sum(is_chat.values())
        raise UserError(
            f"{name} mixes {n_chat} rows of messages (row {first[True]}) and {len(is_chat) - n_chat} of text "
            f"(row {first[False]}) in prompt and completion",
            "write the texts as messages, or train on one of the two",
        )
    return any(is_chat.values())


def is_pair_of_messages(prompt: Any, completion: Any) -> bool:
    """Whether a prompt and its completion are messages: one is a list of messages, or both are the JSON of one."""
    both = (prompt, completion)
    return any(not isinstance(one, str) and holds_messages(one) for one in both) or all(map(holds_messages, both))


def read_row(row: Row, kind: RowFormat, text_field: str = "text") -> Conversation | PlainText:
    """Read `row` as a conversation or plain text. Raises `UnreadableRowError`."""
    if kind is RowFormat.TEXT:
        return PlainText("", _text(row.get(text_field)))
    first_trained = 0
    marks: tuple[bool | None, ...] = ()
    if kind is RowFormat.INSTRUCTION:
        messages = [*_history(row.get("history")), *_instruction_messages(row)]
    elif kind is RowFormat.PROMPT_COMPLETION:
        prompt, completion = row.get("prompt"), row.get("completion")
        if not is_pair_of_messages(prompt, completion):
            return PlainText(_text(prompt), _text(completion))
        before, _ = read_messages(_messages_of(prompt, "user")) if prompt else ([], ())
        after, marks = read_messages(_messages_of(completion, "assistant"))
        messages, first_trained = before + after, len(before)
        marks = (*[None] * len(before), *marks) if marks else ()
    else:
        messages, marks = read_messages(row.get(kind.value))
    system = row.get("system")
    if system and messages[0]["role"] != "system":
        messages = [{"role": "system", "content": text_or_parts(system)}, *messages]
        first_trained += first_trained > 0
        marks = (None, *marks) if marks else ()
    arguments = parsed_json(row.get("chat_template_kwargs")) or {}
    if not isinstance(arguments, Mapping):
        raise UnreadableRowError("chat_template_kwargs_is_no_object")
    return Conversation(messages, _tools(row.get("tools")), dict(arguments), first_trained, marks)


def _messages_of(value: Any, role: str) -> Any:
    """Wrap a text, or one message, into a list of messages."""
    if isinstance(value, str) and not holds_messages(value):
        return [{"role": role, "content": value}]
    value = parsed_json(value)
    return [value] if isinstance(value, Mapping) else value


def _instruction_messages(row: Row) -> list[Message]:
    instruction, given = _text(row.get("instruction")), _text(row.get("input"))
    request = f"{instruction}\n\n{given}" if given else instruction
    return [{"role": "user", "content": request}, {"role": "assistant", "content": _text(row.get("output"))}]


def _history(value: Any) -> list[Message]:
    """LLaMA-Factory's `history`: earlier [question, answer] pairs; or messages."""
    if holds_messages(value):
        return read_messages(value)[0]
    pairs = parsed_json(value) or []
    if not isinstance(pairs, list) or not all(isinstance(pair, list | tuple) and len(pair) == 2 for pair in pairs):
        raise UnreadableRowError("history_is_no_list_of_pairs")
    turns = [(role, text) for pair in pairs for role, text in zip(("user", "assistant"), pair, strict=True)]
    return [{"role": role, "content": _text(text)} for role, text in turns]


def _tools(value: Any) -> list[Any] | None:
    """Tools as JSON schemas in OpenAI's form, which templates expect; bare functions are wrapped."""
    tools = parsed_json(value)
    if not tools:
        return None
    tools = [tools] if isinstance(tools, Mapping) else tools
    if not isinstance(tools, list):
        raise UnreadableRowError("tools_are_no_list")
    return [_tool(tool) for tool in tools]


def _tool(value: Any) -> dict[str, Any]:
    """One tool; some datasets keep it, its function or its parameters as JSON text."""
    tool = parsed_json(value)
    tool = tool if not isinstance(tool, Mapping) or "function" in tool else {"type": "function", "function": tool}
    function = parsed_json(tool["function"]) if isinstance(tool, Mapping) else None
    if not isinstance(function, Mapping):
        raise UnreadableRowError("tool_is_no_object")
    if isinstance(function.get("parameters"), str):
        function = {**function, "parameters": parsed_json(function["parameters"])}
    return {**tool, "function": dict(function)}


def _text(value: Any) -> str:
    text = text_or_parts(value)
    if not isinstance(text, str):
        raise UnreadableRowError("content_is_not_text")
    return text
