"""Prompts for a comparison or for generation: read from a dataset folder or a file, checked, sampled, numbered."""

import random
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data_prep.conversation import SYSTEM_ROLES, Conversation, Message, PlainText, transcript
from data_prep.dataset_folder import is_dataset_folder, read_manifest, read_rows
from pipelines.errors import UserError
from pipelines.evaluation.metrics.checked_answer import CheckedAnswer
from pipelines.evaluation.metrics.constraints import Constraint
from pipelines.evaluation.metrics.numeric_answer import marked_number
from pipelines.evaluation.metrics.python_answer import RequestedFunction, requested_function
from pipelines.evaluation.prompts.code_tests import CodeTests
from pipelines.evaluation.prompts.prompt_rows import AskedRow, Response, asked_rows, checks_of
from pipelines.evaluation.statistics.row_groups import group_of, groups_by_instruction
from pipelines.files import sha256_of_file

if TYPE_CHECKING:
    from pipelines.inference.generation import Answer  # imports torch

EXTRA = "extra"


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
    def request(self) -> str:
        """The instruction and the input as one text, as a user's message has them."""
        return f"{self.instruction}\n\n{self.input}" if self.input else self.instruction

    @property
    def asked(self) -> Conversation | PlainText:
        """Everything that a model gets before it answers."""
        return self.context or Conversation([{"role": "user", "content": self.request}])

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
        return CheckedAnswer(
            answer.text,
            answer.n_tokens,
            answer.stopped,
            self.instruction,
            self.input,
            self.references if self.reference is None else (self.reference, *self.references),
            marked_number(self.reference) if self.number is None and self.reference is not None else self.number,
            self.constraints,
            self.requested,
            self.tests is not None,
        )

    def with_system(self, system: str | None) -> "Prompt":
        """The prompt with `system` as its system message, unless it has one of its own or is plain text."""
        asked = self.asked
        if not system or isinstance(asked, PlainText) or self.has_system:
            return self
        messages = [{"role": "system", "content": system}, *asked.messages]
        return replace(self, context=replace(asked, messages=messages))


def typed_prompts(instructions: Sequence[str]) -> list[Prompt]:
    """Prompts that the user typed, numbered from 0; no figure counts them. Raises `UserError` for an empty one."""
    if not all(text.strip() for text in instructions):
        raise UserError("a --prompt is empty", "write a request after --prompt")
    return [Prompt(number, text, category=EXTRA, counted=False) for number, text in enumerate(instructions)]


def read_prompts(path: Path, split: str = "test", *, first_id: int = 0, all_turns: bool = False) -> list[Prompt]:
    """Read the prompts of a dataset folder's split or of a file of any row format, numbered from `first_id`.

    The reference of a conversation is its last trained assistant turn, after the turns before it; with `all_turns` each
    trained turn gives a prompt, all of one group. Rows without `group` are grouped by `groups_by_instruction`. Raises
    `UserError` for a row without a request, or that cannot be read.
    """
    prompts: list[Prompt] = []
    for number, row in enumerate(read_rows(path, split), start=1):
        where = f"row {number} of {path}"
        prompts += prompts_of_row(row, first_id + len(prompts), number, where, all_turns=all_turns)
    alone = [None if one.context else one.instruction for one in prompts]
    groups = groups_by_instruction([one.group for one in prompts], alone)
    return [replace(one, group=group) for one, group in zip(prompts, groups, strict=True)]


def held_out_prompts(
    path: Path, split: str, *, limit: int | None, seed: int, first_id: int = 0, all_turns: bool = False
) -> list[Prompt]:
    """Read the prompts of a comparison, or draw `limit` with `seed`, since the first can all be of one source.

    Raises `UserError` as `read_prompts`, and for fewer than two, which have no interval.
    """
    prompts = read_prompts(path, split, first_id=first_id, all_turns=all_turns)
    if limit is not None and limit < len(prompts):
        prompts = sorted(random.Random(seed).sample(prompts, max(0, limit)), key=lambda prompt: prompt.id)
    if len(prompts) < 2:
        raise UserError(
            f"only {len(prompts)} prompt to measure, expected two or more", "give more --prompts or a higher --limit"
        )
    return prompts


def prompts_of_row(
    row: dict[str, Any], first_id: int, number: int, where: str, *, all_turns: bool = False
) -> Iterator[Prompt]:
    """Read the prompt of a row, or that of each turn. The row's checks belong to its last turn.

    Raises `UserError` as `read_prompts`.
    """
    asked: list[AskedRow] = asked_rows(row, where)
    group = group_of(row)
    kept = asked if all_turns else asked[-1:]
    if group is None and len(kept) > 1:
        group = f"row {number}"
    for place, one in enumerate(kept):
        yield Prompt(
            first_id + place,
            one.instruction,
            one.input,
            one.reference,
            row.get("category") or None,
            context=one.context,
            group=group,
            thought=one.thought,
            **(checks_of(row, where) if one is asked[-1] else {}),
        )


def describe_prompts(path: Path, split: str, prompts: Sequence[Prompt]) -> dict[str, Any]:
    """The record of the prompts' source; `n` is the number of counted ones, `n_with_system` and
    `n_with_earlier_turns` of those with more than a request."""
    folder = is_dataset_folder(path)
    return {
        "path": str(path),
        "split": split if folder else None,
        "sha256": read_manifest(path)["content_sha256"][split] if folder else sha256_of_file(path),
        "n": sum(prompt.counted for prompt in prompts),
        "n_with_system": sum(prompt.counted and prompt.has_system for prompt in prompts),
        "n_with_earlier_turns": sum(prompt.counted and prompt.has_earlier_turns for prompt in prompts),
    }
