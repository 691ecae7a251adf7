"""A prompt: a request to a model, and what an answer to it is checked against."""

from collections.abc import Hashable, Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from data_prep.conversation import SYSTEM_ROLES, Conversation, Message, PlainText, transcript
from pipelines.evaluation.metrics.checked_answer import CheckedAnswer
from pipelines.evaluation.metrics.constraints import Constraint
from pipelines.evaluation.metrics.numeric_answer import marked_number
from pipelines.evaluation.metrics.python_answer import RequestedFunction, requested_function
from pipelines.evaluation.prompts.code_tests import CodeTests

if TYPE_CHECKING:
    from pipelines.inference.generation import Answer  # imports torch


@dataclass(frozen=True)
class Response:
    """An answer's text, which is scored, and what comes before it: a request, or a whole context, and the reasoning
    (`thought`)."""

    asked: str | Conversation | PlainText
    text: str
    thought: str = ""


@dataclass(frozen=True)
class Prompt:
    """A request to a model, and what an answer to it is checked against.

    `instruction` and `input` are the request; `context` is everything that a model gets before it answers, None where
    that is only the request. `reference` is the row's answer, None without one, and `thought` the reasoning before it;
    `references` are further right answers; `number` is the expected number, as 42, 0.5 or 3/4; `constraints` can be
    verified without a reference; `tests` are run after the answer's code. Prompts of one `group` (a document, a module,
    the turns of a conversation, an instruction) depend on each other and are resampled together; None is a group of its
    own.

    Only `counted` prompts enter the figures; one that the user typed is answered and shown, and not counted.
    """

    id: int
    instruction: str
    input: str = ""
    reference: str | None = None
    category: str | None = None
    counted: bool = True
    references: tuple[str, ...] = ()
    number: str | None = None
    constraints: tuple[Constraint, ...] = ()
    tests: CodeTests | None = None
    context: Conversation | PlainText | None = None
    group: str | None = None
    thought: str = ""

    @property
    def dependence(self) -> Hashable:
        """A label that the prompts of one group share."""
        return self.id if self.group is None else self.group

    @property
    def asked(self) -> Conversation | PlainText:
        """Everything that a model gets before it answers."""
        request = f"{self.instruction}\n\n{self.input}" if self.input else self.instruction
        return self.context or Conversation([{"role": "user", "content": request}])

    @property
    def full_text(self) -> str:
        """Everything before the answer, as plain text."""
        return self.asked.prompt if isinstance(self.asked, PlainText) else transcript(self.asked)

    @property
    def messages(self) -> list[Message] | None:
        """The messages that a model gets, None for plain text outside any chat template."""
        return None if isinstance(self.asked, PlainText) else self.asked.messages

    @property
    def has_system(self) -> bool:
        """Whether a system message comes first."""
        return any(message["role"] in SYSTEM_ROLES for message in (self.messages or ())[:1])

    @property
    def has_earlier_turns(self) -> bool:
        """Whether there is an earlier assistant turn."""
        return any(message["role"] == "assistant" for message in self.messages or ())

    @property
    def response(self) -> Response | None:
        """The reference as a response to score, None without one."""
        return Response(self.asked, self.reference, self.thought) if self.reference else None

    @property
    def requested(self) -> RequestedFunction | None:
        """The Python function that the instruction asks for, None if it asks for none."""
        return requested_function(self.instruction)

    @property
    def asks_for_code(self) -> bool:
        """Whether the instruction names a Python function or the answer is tested by running it."""
        return self.tests is not None or self.requested is not None

    def checked(self, answer: "Answer") -> CheckedAnswer:
        """The answer with all that the metrics check it against."""
        references = self.references if self.reference is None else (self.reference, *self.references)
        number = marked_number(self.reference) if self.number is None and self.reference is not None else self.number
        return CheckedAnswer(
            answer.text, answer.n_tokens, answer.stopped, self.instruction, self.input, references, number,
            self.constraints, self.requested, self.tests is not None,
        )  # fmt: skip

    def with_system(self, system: str | None) -> "Prompt":
        """The prompt with `system` as its system message, unless it has one of its own or is plain text."""
        asked = self.asked
        if not system or isinstance(asked, PlainText) or self.has_system:
            return self
        messages = [{"role": "system", "content": system}, *asked.messages]
        return replace(self, context=replace(asked, messages=messages))


def are_plain_text(asked: Iterable[str | Conversation | PlainText]) -> bool:
    """Whether all were trained as plain text: then every model gets them unchanged."""
    return all(isinstance(one, PlainText) for one in asked)
