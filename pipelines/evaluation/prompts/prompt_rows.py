"""Read one row of any format: the request of each turn, and what an answer is checked against."""

import json
from collections.abc import Iterator
from decimal import Decimal
from typing import Any, NoReturn

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
from pipelines.evaluation.prompts.prompt import Prompt
from pipelines.files import is_utf8

_TEXTS = ("instruction", "input", "output", "category")


def turns_of_row(row: dict[str, Any], where: str) -> list[Prompt]:
    """Read a prompt for each trained assistant turn of `row`, and one without a reference for a request at its end.

    A row without either (all turns are marked as untrained) has one prompt: its last turn's context. `prompt` alone is
    a request, as text or as messages. Raises `UserError` for a row without a request, or that cannot be read.
    """
    read = _read_row(row, where)
    if isinstance(read, PlainText):
        if not read.prompt.strip():
            _raise_unasked(row, where)
        return [Prompt(0, read.prompt, "", read.completion or None, context=read)]
    asks_at_end = read.messages[-1]["role"] != "assistant"
    turns = read.trained_turns() + ([len(read.messages)] if asks_at_end else [])
    if turns:
        return [_turn(read, turn, row, where, has_reference=turn < len(read.messages)) for turn in turns]
    turns = read.assistant_turns[-1:] or [len(read.messages)]
    read = Conversation(read.messages, read.tools, read.template_arguments)
    return [_turn(read, turn, row, where, has_reference=False) for turn in turns]


def checks_of(row: dict[str, Any], where: str) -> dict[str, Any]:
    """Read what answers are checked against, by the fields of `Prompt`: `references`, `numeric_answer`, `constraints`
    (or IFEval's columns), `tests` (or MBPP's, HumanEval's). Raises `UserError` for one that cannot be read."""
    return {
        "references": _references(row, where),
        "number": _number(row, where),
        "constraints": constraints_of(row, where),
        "tests": code_tests_of(row),
    }


def _read_row(row: dict[str, Any], where: str) -> Conversation | PlainText:
    """Read `row` in any of the formats, including the answer if it has one. Raises `UserError`."""
    for name in (*_TEXTS, *(("prompt",) if not isinstance(row.get("prompt"), list) else ())):
        value = row.get(name)
        if not (value is None or isinstance(value, str)):
            raise UserError(f"{name!r} in {where} is a {type(value).__name__}, expected text", "write it as a string")
        _check_utf8(value or "", name, where)
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
        _raise_unasked(row, where)
    else:
        given = {**given, "instruction": given.get("instruction") or given["prompt"], "output": given.get("output", "")}
    try:
        read = read_row(given, kind)
    except UnreadableRowError as error:
        raise UserError(f"{where} cannot be read: {error}", "correct the row, or leave it out") from error
    for text in _texts_of(read):
        _check_utf8(text, kind.value, where)
    if kind is RowFormat.INSTRUCTION and isinstance(read, Conversation) and not content_text(read.messages[-1]):
        return read.before(len(read.messages) - 1)
    return read


def _turn(read: Conversation, turn: int, row: dict[str, Any], where: str, *, has_reference: bool) -> Prompt:
    context = read.before(turn)
    reference = content_text(read.messages[turn]) if has_reference else None
    of_users = [one for one in context.messages if one["role"] == "user"]
    request = content_text(of_users[-1]) if of_users else ""
    if not any(content_text(one).strip() for one in context.messages):
        _raise_unasked(row, where)
    alone = context.messages == [{"role": "user", "content": request}] and not context.template_arguments
    columns = [str(row.get(name) or "") for name in ("instruction", "input")]
    instruction, given = columns if columns[0] and request == "\n\n".join(filter(None, columns)) else (request, "")
    thought = thought_of(read.messages[turn]) if reference else ""
    context_or_none = None if alone and not context.tools else context
    return Prompt(0, instruction, given, reference or None, context=context_or_none, thought=thought)


def _texts_of(read: Conversation | PlainText) -> Iterator[str]:
    if isinstance(read, PlainText):
        yield from (read.prompt, read.completion)
        return
    for message in read.messages:
        calls = json.dumps(message.get("tool_calls"), ensure_ascii=False)
        yield from (content_text(message), thought_of(message), calls)


def _check_utf8(text: str, name: str, where: str) -> None:
    if not is_utf8(text):
        problem = f"{name!r} in {where} has half of a surrogate pair, which is not valid text"
        raise UserError(problem, "remove it, or write the whole character")


def _raise_unasked(row: dict[str, Any], where: str) -> NoReturn:
    named = [name for name in ("instruction", "prompt", "messages", "conversations") if name in row]
    found = f"an empty {named[0]!r}" if named else f"the columns {', '.join(map(str, row)) or '(none)'}"
    problem = f"{where} has {found}, expected `instruction`, `prompt` or `messages`"
    raise UserError(problem, "name the columns instruction, input, output, or prompt, or messages")


def _references(row: dict[str, Any], where: str) -> tuple[str, ...]:
    given = row.get("references")
    if given is None:
        return ()
    if not isinstance(given, list) or not all(isinstance(one, str) for one in given):
        problem = f"'references' in {where} is {repr(given)[:60]}, expected a list of texts"
        raise UserError(problem, 'write it as ["..."] in JSONL: a CSV file has no lists')
    return tuple(one for one in given if one.strip())


def _number(row: dict[str, Any], where: str) -> str | None:
    given = row.get("numeric_answer")
    if given is None:
        return None
    written = format(Decimal(repr(given)), "f") if isinstance(given, float) else str(given)
    if isinstance(given, bool) or not isinstance(given, str | int | float) or number_of(written) is None:
        problem = f"'numeric_answer' in {where} is {repr(given)[:60]}, expected a number"
        raise UserError(problem, "write it as 42, 0.5 or 3/4")
    return written
