"""The row model: system, turns, tools, tool calls, reasoning, template arguments. Every row format is read into it."""

from data_prep.conversation.messages import (
    Message,
    UnreadableRowError,
    content_text,
    holds_messages,
    read_messages,
    scalar_text,
    thought_of,
    unread_message_keys,
)
from data_prep.conversation.model import Conversation, PlainText, TrainOn
from data_prep.conversation.preferences import EQUAL_ANSWERS, PROMPT_COLUMNS, Preference, read_preference
from data_prep.conversation.rows import (
    Row,
    RowFormat,
    is_conversational,
    read_row,
    row_format,
    unread_columns,
)
from data_prep.conversation.transcript import SYSTEM_ROLES, transcript

__all__ = [
    "EQUAL_ANSWERS",
    "PROMPT_COLUMNS",
    "SYSTEM_ROLES",
    "Conversation",
    "Message",
    "PlainText",
    "Preference",
    "Row",
    "RowFormat",
    "TrainOn",
    "UnreadableRowError",
    "content_text",
    "holds_messages",
    "is_conversational",
    "read_messages",
    "read_preference",
    "read_row",
    "row_format",
    "scalar_text",
    "thought_of",
    "transcript",
    "unread_columns",
    "unread_message_keys",
]
