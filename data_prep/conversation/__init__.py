"""The row model: system, turns, tools, tool calls, reasoning, template arguments. Every row format is read into it."""

from data_prep.conversation.columns import ALIASES, CONVERSATION_COLUMNS
from data_prep.conversation.messages import (
    Message,
    UnreadableRowError,
    content_text,
    holds_messages,
    read_messages,
    scalar_text,
    thought_of,
    unknown_role_reason,
    unread_message_keys,
)
from data_prep.conversation.model import SYSTEM_ROLES, Conversation, PlainText, TrainOn, transcript
from data_prep.conversation.preferences import (
    EQUAL_ANSWERS,
    PROMPT_COLUMNS,
    Preference,
    read_preference,
    unread_preference_columns,
)
from data_prep.conversation.rows import (
    CHECKED_COLUMNS,
    NOT_OF_THE_CONVERSATION,
    Row,
    RowFormat,
    format_of_columns,
    is_conversational,
    is_pair_of_messages,
    read_row,
    row_format,
    unread_columns,
)
from data_prep.conversation.trailing_turns import trailing_turn_start
