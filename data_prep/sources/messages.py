"""Chat messages in a column of a preference set to the one text that they come to, where they come to one."""

from collections.abc import Mapping
from typing import Any

_ROLES = {"human": "user", "user": "user", "gpt": "assistant", "assistant": "assistant"}


def text_of_messages(value: Mapping[str, Any] | list[Any], speaker: str) -> str | None:
    """What `speaker` (user or assistant) says in `value`: a message, or messages of which the last is the speaker's.

    A message is `{"role", "content"}`, `{"from", "value"}` or its text alone. An answer may stand behind the user's one
    message, which is its prompt. None for anything longer, such as a system prompt or several turns: one column of text
    would lose what was said before.
    """
    messages = value if isinstance(value, list) else [value]
    roles = [_role(message, speaker) for message in messages]
    if roles not in ([speaker], ["user", "assistant"][: 2 if speaker == "assistant" else 1]):
        return None
    said = messages[-1]
    text = said.get("content", said.get("value")) if isinstance(said, Mapping) else said
    return text if isinstance(text, str) else None


def _role(message: Any, speaker: str) -> str | None:
    if isinstance(message, Mapping):
        return _ROLES.get(str(message.get("role") or message.get("from") or speaker))
    return speaker
