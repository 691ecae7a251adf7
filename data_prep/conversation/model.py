"""A conversation, or plain text outside any chat template: what every row is read into."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from data_prep.conversation.messages import Message


class TrainOn(StrEnum):
    """Which assistant turns are in the loss. A turn that the row marks as untrained (`weight: 0`) never is.

    ALL_TURNS: every one. LAST_TURN: the last one of each row. MARKED: those that the row marks (`weight: 1` or
    `train: true`).
    """

    ALL_TURNS = "all_turns"
    LAST_TURN = "last_turn"
    MARKED = "marked"


@dataclass(frozen=True)
class Conversation:
    """Messages in the form that chat templates expect, the tools they may call and the template's arguments.

    Assistant turns before number `first_trained` are context. `marks` has an entry for each message (or none at all):
    True and False are the row's own mark, None is no mark.
    """

    messages: list[Message]
    tools: list[Any] | None = None
    template_arguments: dict[str, Any] = field(default_factory=dict)
    first_trained: int = 0
    marks: tuple[bool | None, ...] = ()

    @property
    def uses_tools(self) -> bool:
        """Whether tools are offered or called."""
        return bool(self.tools) or any(message.get("tool_calls") for message in self.messages)

    @property
    def assistant_turns(self) -> list[int]:
        """Numbers of the assistant's messages. A greeting at the very beginning, which answers nothing, is context."""
        return [place for place, message in enumerate(self.messages) if place and message["role"] == "assistant"]

    def trained_turns(self, train_on: TrainOn = TrainOn.ALL_TURNS) -> list[int]:
        """Numbers of the messages that are in the loss."""
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
        """The same conversation with a mark for every message: True for those that `train_on` puts into the loss."""
        turns = self.trained_turns(train_on)
        return replace(self, first_trained=0, marks=tuple(place in turns for place in range(len(self.messages))))

    def as_row(self) -> dict[str, Any]:
        """The row of a dataset folder: `messages` and, where the conversation has them, `tools` and
        `chat_template_kwargs`. Marks are `weight`s, 0 for the assistant turns that are context."""
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
        """The context of message number `turn`: all that a model is given before it answers."""
        return replace(self, messages=self.messages[:turn], marks=self.marks[:turn])


@dataclass(frozen=True)
class PlainText:
    """Text outside any template: `completion` is in the loss, a `prompt` before it is not."""

    prompt: str
    completion: str
