"""A conversation as plain text: for a base without a chat template, and for a judge."""

import json

from data_prep.conversation.messages import Message, content_text
from data_prep.conversation.model import Conversation

SYSTEM_ROLES = ("system", "developer")


def transcript(asked: Conversation) -> str:
    """The system text, the tools, then the turns; a single request has no heading, several have the names of their
    roles, with the assistant's last for a base to continue."""
    system = [content_text(one) for one in asked.messages if one["role"] in SYSTEM_ROLES]
    tools = [f"Tools:\n\n{json.dumps(asked.tools, ensure_ascii=False)}"] if asked.tools else []
    turns = [one for one in asked.messages if one["role"] not in SYSTEM_ROLES]
    if len(turns) == 1:
        return "\n\n".join([*system, *tools, content_text(turns[0])])
    said = [f"{one['role'].capitalize()}:\n\n{_said(one)}" for one in turns]
    return "\n\n".join([*system, *tools, *said, "Assistant:"])


def _said(message: Message) -> str:
    calls = [json.dumps(call["function"], ensure_ascii=False) for call in message.get("tool_calls") or ()]
    return "\n".join(filter(None, [content_text(message), *calls]))
