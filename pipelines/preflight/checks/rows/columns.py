"""Checks of the columns: empty requests, empty answers, placeholders."""

import re
from collections import Counter
from collections.abc import Iterator

from data_prep.conversation import ALIASES, CONVERSATION_COLUMNS
from pipelines.preflight.check_context import CheckContext, SampledRow, Stage
from pipelines.preflight.checks.evidence import (
    Check,
    evidence_of_splits,
    head,
    rows_of_splits,
    severity_by_share,
    wanted_answers,
)
from pipelines.records.finding import Finding, Severity

_FEW = 0.001  # of the rows: fewer are a note
_FEW_EMPTY = 0.01  # of the answers: most of them are dropped and do no harm
_ERROR_SHARE = 0.1  # of the rows: this many are a fault of the whole set
_LABEL_SHARE = 0.01  # of the answers: "None" in fewer is a real answer

_EMPTY_REASONS = {"empty_output", "empty_chosen", "empty_rejected"}  # in the ledger: such rows are dropped
_NOTHING = re.compile(r"\s*(?:\.{1,3}|…|-{1,3}|–|—|_{1,3})?\s*")  # "?" and "+" may be answers; Morse code is longer

# Columns that rows are read from; next to messages only the system prompt is read.
_PROMPT_COLUMNS = (*ALIASES["instruction"], "input", "system")
_ANSWER_COLUMNS = ("output", "completion", "chosen", "rejected")
_NO_INPUT = re.compile(r"<no ?(?:input|output)>", re.IGNORECASE)  # the mark of self-instruct's generator
# What pandas, JavaScript, Arrow and generators write for a missing value. "None" may be a real answer.
_NO_VALUE = {"nan", "none", "null", "n/a", "<na>", "undefined", "no input", "noinput", "todo", "[object object]"}
_NO_ANSWER = {"nan", "<na>", "noinput", "no input", "[object Object]"}
_MAYBE_NO_ANSWER = {"None", "null", "N/A", "undefined", "TODO", "[]", "{}"}
_LONGEST = 16  # characters of the words above
_PROSE_SHARE = 0.9  # of the other answers are longer

_VARIABLE = re.compile(r"\{\{([A-Za-z]\w*(?: \w+){0,3})\}\}")  # {{name}}; Jinja's and Ansible's have spaces inside
_CODE = re.compile(r"```|\{%|</|^\s*- name:|\$\{|=>", re.MULTILINE)
_VARIABLE_SHARE = 0.05  # of the answers that have the same one

Found = list[tuple[str, SampledRow, str]]  # split, row, excerpt


def empty_instructions(context: CheckContext) -> Iterator[Finding]:
    """EMPTY_INSTRUCTIONS: rows with an answer and without a request."""
    if context.stage is Stage.PRETRAIN or not context.is_conversational:
        return  # plain text has no request
    rows = rows_of_splits(context)
    found = [
        (split, row, f"prompt {row.asked!r}, {_answered(row)}") for split, row in rows
        if row.reason == "empty_prompt" or (any(row.answers) and row.messages and not _asks(row))
    ]  # fmt: skip
    if found:
        yield Finding(
            "EMPTY_INSTRUCTIONS",
            severity_by_share(len(found), len(rows), error=_ERROR_SHARE),
            summary=f"{len(found)} of {len(rows)} rows have an answer but no request",
            why="the model learns to give these answers to any prompt",
            remedy="remove these rows, or name the request's column: `python data_prep/build_instructions.py "
            "--column_map instruction=COLUMN`",
            evidence=evidence_of_splits(found),
            n_rows=len(found),
        )


def _asks(row: SampledRow) -> bool:
    """Whether a turn of the user or a tool has more than white space and dashes."""
    texts = [str(one.get("content") or "") for one in row.messages if one["role"] in ("user", "tool")] or [row.asked]
    return any(not _NOTHING.fullmatch(text) for text in texts)


def _answered(row: SampledRow) -> str:
    return f"answer: {head(row.answers[0], 60)}" if row.answers else str(row.reason)


def empty_answers(context: CheckContext) -> Iterator[Finding]:
    """EMPTY_ANSWERS: rows without an answer, or with only dots and dashes."""
    if context.stage is Stage.PRETRAIN:
        return
    rows = rows_of_splits(context)
    found = [
        (split, row, f"prompt: {head(row.asked, 120)}") for split, row in rows
        if row.reason in _EMPTY_REASONS
        or any(one and _NOTHING.fullmatch(one) for one in wanted_answers(row, context.stage))
    ]  # fmt: skip
    if found:
        n_dropped = sum(row.reason in _EMPTY_REASONS for _, row, _ in found)
        yield Finding(
            "EMPTY_ANSWERS",
            severity_by_share(len(found), len(rows), error=_ERROR_SHARE, warning=_FEW_EMPTY),
            summary=f"{len(found)} of {len(rows)} rows have an empty answer; {n_dropped} of them are dropped",
            why="the model learns nothing from them, or learns to answer nothing",
            remedy="remove these rows, or name the answer's column: `python data_prep/build_instructions.py "
            "--column_map output=COLUMN`",
            evidence=evidence_of_splits(found),
            n_rows=len(found),
        )


def placeholder_values(context: CheckContext) -> Iterator[Finding]:
    """PLACEHOLDER_VALUES: placeholders instead of text ("nan", "<noinput>"), answers with an unfilled variable."""
    if context.stage is Stage.PRETRAIN:
        return
    rows = rows_of_splits(context)
    certain: Found = [(split, row, value) for split, row in rows if (value := _placeholder_in(row))]
    variables = _unfilled_variables(rows)
    sure = {(split, row.number) for split, row, _ in [*certain, *variables]}
    maybe = [one for one in _maybe_placeholders(rows) if (one[0], one[1].number) not in sure]
    found = [*certain, *variables, *maybe]
    if not found:
        return
    severity = severity_by_share(len(certain), len(rows), error=_ERROR_SHARE, warning=_FEW)
    counts = Counter(value for _, _, value in found).most_common(4)
    yield Finding(
        "PLACEHOLDER_VALUES",
        Severity.WARNING if (variables or _are_prose(rows, found)) and severity is Severity.NOTE else severity,
        summary=f"{len(found)} of {len(rows)} rows have a placeholder instead of text: "
        + ", ".join(f"{value} ({count})" for value, count in counts),
        why="the model reads the placeholder as text, or learns to answer it",
        remedy="replace the placeholder by an empty text or by the missing value, or remove these rows",
        evidence=evidence_of_splits(
            (split, row, f"{value}: {head(row.asked, 50)} | {_answered(row)}") for split, row, value in found
        ),
        n_rows=len(found),
    )


def _placeholder_in(row: SampledRow) -> str | None:
    """The column or role of a text that certainly is a placeholder, with the text."""
    has_messages = any(row.values.get(column) is not None for column in CONVERSATION_COLUMNS)
    columns = ("system",) if has_messages else (*_PROMPT_COLUMNS, *_ANSWER_COLUMNS)
    texts = [(column, row.values.get(column)) for column in columns]
    texts += [(one["role"], one.get("content")) for one in row.messages if has_messages]
    for name, text in texts:
        is_prompt = name == "system" if has_messages else name in _PROMPT_COLUMNS
        if isinstance(text, str) and (_is_placeholder(text) if is_prompt else _is_no_answer(text)):
            return f"{name} {text.strip()[:_LONGEST]!r}"
    return None


def _is_placeholder(text: str) -> bool:
    if len(text) > _LONGEST:
        return False
    return text.strip().lower() in _NO_VALUE or _NO_INPUT.fullmatch(text.strip()) is not None


def _is_no_answer(text: str) -> bool:
    text = text.lstrip()
    if text[:1] == "<" and _NO_INPUT.match(text):
        return True
    return len(text) <= _LONGEST and text.strip() in _NO_ANSWER


def _unfilled_variables(rows: list[tuple[str, SampledRow]]) -> Found:
    """Rows whose answer has a variable such as {{name}} that many answers have and no request."""
    found = []
    for split, row in rows:
        answers = (one for one in row.answers if "{{" in one and "{{" not in row.asked and not _CODE.search(one))
        if match := next((match for one in answers if (match := _VARIABLE.search(one))), None):
            found.append((split, row, match.group()))
    counts = Counter(value for _, _, value in found)
    return [one for one in found if counts[one[2]] >= _VARIABLE_SHARE * len(rows)]


def _maybe_placeholders(rows: list[tuple[str, SampledRow]]) -> Found:
    """Rows whose whole answer is "None" or the like, if there are many."""
    found = [(split, row, repr(one)) for split, row in rows for one in row.answers if one in _MAYBE_NO_ANSWER]
    return found if len(found) >= _LABEL_SHARE * len(rows) else []


def _are_prose(rows: list[tuple[str, SampledRow]], found: Found) -> bool:
    """Whether the answers are sentences but for those `found`: then "None" is no label and [] no empty list."""
    places = {(split, row.number) for split, row, _ in found}
    others = [one.strip() for split, row in rows if (split, row.number) not in places for one in row.answers[:1]]
    n_prose = sum(len(one) > _LONGEST and one[:1] not in ("[", "{") for one in others)
    return len(found) > 1 and n_prose >= _PROSE_SHARE * len(others) > 0


CHECKS: tuple[Check, ...] = (empty_instructions, empty_answers, placeholder_values)
