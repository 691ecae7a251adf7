"""What every row is read into: a conversation, or plain text outside any chat template."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from data_prep.conversation.messages import Message, content_text

SYSTEM_ROLES = ("system", "developer")


class TrainOn(StrEnum):
    """Which assistant turns are in the loss. A turn with `weight: 0` never is.

    ALL_TURNS: every turn. LAST_TURN: the last turn of each row. MARKED: turns with `weight: 1` or `train: true`.
    """

    ALL_TURNS = "all_turns"
    LAST_TURN = "last_turn"
    MARKED = "marked"


@dataclass(frozen=True)
class Conversation:
    """Messages in the form that chat templates expect, the tools they may call and the template's arguments.

    Assistant turns before number `first_trained` are context. `marks` is empty or has an entry for each message: the
    row's own mark (True: trained, False: context), or None.
    """

    messages: list[Message]
    tools: list[Any] | None = None
    template_arguments: dict[str, Any] = field(default_factory=dict)
    first_trained: int = 0
    marks: tuple[bool | None, ...] = ()

    @property
    def assistant_turns(self) -> list[int]:
        """Return the numbers of the assistant's messages. A greeting as the first message is context."""
        return [place for place, message in enumerate(self.messages) if place and message["role"] == "assistant"]

    def trained_turns(self, train_on: TrainOn = TrainOn.ALL_TURNS) -> list[int]:
        """Return the numbers of the messages that are in the loss."""
        turns = [place for place in self.assistant_turns if place >= self.first_trained]
        if train_on is TrainOn.LAST_TURN:
            turns = turns[-1:]
        marks: Sequence[bool | None] = self.marks or [None] * len(self.messages)
        return [
            place
            for place in turns
            if marks[place] is not False and (train_on is not TrainOn.MARKED or marks[place] is True)
        ]

    def marked(self, train_on: TrainOn) -> "Conversation":
        """Return the conversation with a mark for every message: True for those that `train_on` puts into the loss."""
        turns = self.trained_turns(train_on)
        return replace(self, first_trained=0, marks=tuple(place in turns for place in range(len(self.messages))))

    def as_row(self) -> dict[str, Any]:
        """Return the row of a dataset folder: `messages`, and `tools` and `chat_template_kwargs` if it has any. Marks
        become `weight`s, 0 for assistant turns that are context."""
        marks = list(self.marks) or [None] * len(self.messages)
        for place in self.assistant_turns:
            if place < self.first_trained:
                marks[place] = False
        messages = [
            message if mark is None else {**message, "weight": int(mark)}
            for message, mark in zip(self.messages, marks, strict=True)
        ]
        others = {"tools": self.tools, "chat_template_kwargs": self.template_arguments}
        return {"messages": messages, **{name: value for name, value in others.items() if value}}

    def before(self, turn: int) -> "Conversation":
        """Return the context of message number `turn`: what a model reads before it answers."""
        return replace(self, messages=self.messages[:turn], marks=self.marks[:turn])


@dataclass(frozen=True)
class PlainText:
    """Text outside any template: `completion` is in the loss, a `prompt` before it is not."""

    prompt: str
    completion: str


def transcript(asked: Conversation) -> str:
    """Return a conversation as plain text, for a base without a chat template and for a judge.

    System text, tools, then the turns. A single request has no heading; several turns have their roles as headings, and
    "Assistant:" comes last for a base to continue.
    """
    system = [content_text(one) for one in asked.messages if one["role"] in SYSTEM_ROLES]
    tools = [f"Tools:\n\n{json.dumps(asked.tools, ensure_ascii=False)}"] if asked.tools else []
    turns = [one for one in asked.messages if one["role"] not in SYSTEM_ROLES]
    if len(turns) == 1:
        return "\n\n".join([*system, *tools, content_text(turns[0])])
    texts = [f"{one['role'].capitalize()}:\n\n{_text_and_calls(one)}" for one in turns]
    return "\n\n".join([*system, *tools, *texts, "Assistant:"])


def _text_and_calls(message: Message) -> str:
    calls = [json.dumps(call["function"], ensure_ascii=False) for call in message.get("tool_calls") or ()]
    return "\n".join(filter(None, [content_text(message), *calls]))
