"""Read one row of any format: the request of each turn, and what an answer is checked against."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from data_prep.conversation import (
    Conversation,
    PlainText,
    RowFormat,
    UnreadableRowError,
    content_text,
    read_row,
    thought_of,
)
from pipelines.errors import UserError
from pipelines.evaluation.metrics.constraints import constraints_of
from pipelines.evaluation.metrics.numeric_answer import number_of
from pipelines.evaluation.prompts.code_tests import code_tests_of
from pipelines.files import is_utf8

_TEXTS = ("instruction", "input", "output", "category")


@dataclass(frozen=True)
class AskedRow:
    """A request of a row: its texts, the context that a model gets (None: only the request), the reference, and the
    reasoning before it (`thought`)."""

    instruction: str
    input: str
    context: Conversation | PlainText | None
    reference: str | None
    thought: str = ""

    @property
    def asked(self) -> str | Conversation | PlainText:
        """Everything that a model gets before it answers."""
        return self.context or "\n\n".join(filter(None, [self.instruction, self.input]))

    @property
    def response(self) -> "Response | None":
        """The reference as a response to score, None without one that has text."""
        has_text = self.reference is not None and self.reference.strip()
        return Response(self.asked, self.reference or "", self.thought) if has_text else None


@dataclass(frozen=True)
class Response:
    """An answer's text, which is scored, and what comes before it: a user's request, or a whole context, and the
    reasoning (`thought`)."""

    asked: str | Conversation | PlainText
    text: str
    thought: str = ""


def are_plain_text(asked: Iterable[str | Conversation | PlainText]) -> bool:
    """Whether all were trained as plain text: then every model gets them unchanged."""
    return all(isinstance(one, PlainText) for one in asked)


def asked_rows(row: dict[str, Any], where: str) -> list[AskedRow]:
    """Read one entry for each trained assistant turn of `row`, and one without a reference for a request at its end.

    A row without either (all turns are marked as untrained) has one entry: its last turn's context. `prompt` alone is
    a request, as text or as messages. Raises `UserError` for a row without a request, or that cannot be read.
    """
    read = read_asked(row, where)
    if isinstance(read, PlainText):
        _refuse_unasked(read.prompt, row, where)
        return [AskedRow(read.prompt, "", read, read.completion or None)]
    asks_at_end = read.messages[-1]["role"] != "assistant"
    turns = read.trained_turns() + ([len(read.messages)] if asks_at_end else [])
    if not turns:
        turns = read.assistant_turns[-1:] or [len(read.messages)]
        read = Conversation(read.messages, read.tools, read.template_arguments)
        return [_asked_before(read, turn, row, where, has_reference=False) for turn in turns]
    return [_asked_before(read, turn, row, where, has_reference=turn < len(read.messages)) for turn in turns]


def read_asked(row: dict[str, Any], where: str) -> Conversation | PlainText:
    """Read `row` in any of the formats, including the answer if it has one. Raises `UserError`."""
    _refuse_wrong_texts(row, where)
    given = {name: value for name, value in row.items() if value is not None}
    kind = RowFormat.INSTRUCTION
    if "messages" in given:
        kind = RowFormat.MESSAGES
    elif "conversations" in given:
        kind = RowFormat.SHAREGPT
    elif "prompt" in given and "completion" in given:
        kind = RowFormat.PROMPT_COMPLETION
    elif isinstance(given.get("prompt"), list):
        kind, given = RowFormat.MESSAGES, {**given, "messages": given["prompt"]}
    elif not str(given.get("instruction") or given.get("prompt") or "").strip():
        _refuse_unasked("", row, where)
    else:
        given = {**given, "instruction": given.get("instruction") or given["prompt"], "output": given.get("output", "")}
    try:
        read = read_row(given, kind)
    except UnreadableRowError as error:
        raise UserError(f"{where} cannot be read: {error}", "correct the row, or leave it out") from error
    for text in _texts_of(read):
        _refuse_broken(text, kind.value, where)
    if kind is RowFormat.INSTRUCTION and isinstance(read, Conversation) and not content_text(read.messages[-1]):
        return read.before(len(read.messages) - 1)
    return read


def checks_of(row: dict[str, Any], where: str) -> dict[str, Any]:
    """Read what answers are checked against, by the fields of `Prompt`: `references`, `numeric_answer`, `constraints`
    (or IFEval's columns), `tests` (or MBPP's, HumanEval's). Raises `UserError` for one that cannot be read."""
    return {
        "references": _references(row, where),
        "number": _number(row, where),
        "constraints": constraints_of(row, where),
        "tests": code_tests_of(row),
    }


def _asked_before(read: Conversation, turn: int, row: dict[str, Any], where: str, *, has_reference: bool) -> AskedRow:
    context = read.before(turn)
    reference = content_text(read.messages[turn]) if has_reference else None
    of_users = [one for one in context.messages if one["role"] == "user"]
    request = content_text(of_users[-1]) if of_users else ""
    if not any(content_text(one).strip() for one in context.messages):
        _refuse_unasked("", row, where)
    alone = context.messages == [{"role": "user", "content": request}] and not context.template_arguments
    columns = [str(row.get(name) or "") for name in ("instruction", "input")]
    instruction, given = columns if columns[0] and request == "\n\n".join(filter(None, columns)) else (request, "")
    thought = thought_of(read.messages[turn]) if reference else ""
    return AskedRow(instruction, given, None if alone and not context.tools else context, reference or None, thought)


def _texts_of(read: Conversation | PlainText) -> Iterator[str]:
    if isinstance(read, PlainText):
        yield from (read.prompt, read.completion)
        return
    for message in read.messages:
        yield from (
            content_text(message),
            thought_of(message),
            json.dumps(message.get("tool_calls"), ensure_ascii=False),
        )


def _refuse_wrong_texts(row: dict[str, Any], where: str) -> None:
    names = [*_TEXTS, *(("prompt",) if not isinstance(row.get("prompt"), list) else ())]
    for name in names:
        value = row.get(name)
        if not (value is None or isinstance(value, str)):
            raise UserError(f"{name!r} in {where} is a {type(value).__name__}, expected text", "write it as a string")
        _refuse_broken(value or "", name, where)


def _refuse_broken(text: str, name: str, where: str) -> None:
    if not is_utf8(text):
        problem = f"{name!r} in {where} has half of a surrogate pair, which is not valid text"
        raise UserError(problem, "remove it, or write the whole character")


def _refuse_unasked(request: str, row: dict[str, Any], where: str) -> None:
    if request.strip():
        return
    named = [name for name in ("instruction", "prompt", "messages", "conversations") if name in row]
    found = f"an empty {named[0]!r}" if named else f"the columns {', '.join(map(str, row)) or '(none)'}"
    raise UserError(
        f"{where} has {found}, expected `instruction`, `prompt` or `messages`",
        "name the columns instruction, input, output, or prompt, or messages",
    )


def _references(row: dict[str, Any], where: str) -> tuple[str, ...]:
    given = row.get("references")
    if given is None:
        return ()
    if not isinstance(given, list) or not all(isinstance(one, str) for one in given):
        raise UserError(
            f"'references' in {where} is {repr(given)[:60]}, expected a list of texts",
            'write it as ["..."] in JSONL: a CSV file has no lists',
        )
    return tuple(one for one in given if one.strip())


def _number(row: dict[str, Any], where: str) -> str | None:
    given = row.get("numeric_answer")
    if given is None:
        return None
    written = format(Decimal(repr(given)), "f") if isinstance(given, float) else str(given)
    if isinstance(given, bool) or not isinstance(given, str | int | float) or number_of(written) is None:
        raise UserError(
            f"'numeric_answer' in {where} is {repr(given)[:60]}, expected a number", "write it as 42, 0.5 or 3/4"
        )
    return written
