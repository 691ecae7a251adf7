"""The row model: system, turns, tools, tool calls, reasoning, template arguments. Every row format is read into it."""

from data_prep.conversation.messages import (
    Message,
    UnreadableRowError,
    content_text,
    read_messages,
    thought_of,
)
from data_prep.conversation.model import Conversation, PlainText, TrainOn
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
    "SYSTEM_ROLES",
    "Conversation",
    "Message",
    "PlainText",
    "Row",
    "RowFormat",
    "TrainOn",
    "UnreadableRowError",
    "content_text",
    "is_conversational",
    "read_messages",
    "read_row",
    "row_format",
    "thought_of",
    "transcript",
    "unread_columns",
]
