"""Checks of what stands in the columns: nothing, or a word that stands for nothing."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator

from pipelines.preflight.check_context import CheckContext, SampledRow, Stage
from pipelines.preflight.checks.excerpts import head, wanted_answers
from pipelines.preflight.checks.kind import Check
from pipelines.preflight.checks.rows.shares import severity_by_share
from pipelines.records.finding import MAX_EVIDENCE, Evidence, Finding, Severity

_FEW = 0.001  # of the rows: below, a fault is worth knowing and no more
_FEW_EMPTY = 0.01  # of the answers: most of them are left out, and do no harm
_ERROR_SHARE = 0.1  # of the rows: this many are no accident of a row but of the whole set
_LABEL_SHARE = 0.01  # of the answers: "None" in fewer is somebody's answer

_EMPTY_REASONS = {"empty_output", "empty_chosen", "empty_rejected"}  # of the ledger: such rows are not trained on
_NOTHING = re.compile(r"\s*(?:\.{1,3}|…|-{1,3}|–|—|_{1,3})?\s*")  # "?" and "+" may be answers; Morse code is longer

# Columns that rows are read from; beside messages all but the system prompt are somebody's notes.
_ASKED_COLUMNS = ("instruction", "input", "system", "prompt", "question")
_ANSWER_COLUMNS = ("output", "completion", "chosen", "rejected")
_MESSAGES = ("messages", "conversations")
_NO_INPUT = re.compile(r"<no ?(?:input|output)>", re.IGNORECASE)  # the mark of self-instruct's generator
# What pandas, JavaScript, Arrow and generators write for a value that is not there. "None" may well be an answer.
_NO_VALUE = {"nan", "none", "null", "n/a", "<na>", "undefined", "no input", "noinput", "todo", "[object object]"}
_NO_ANSWER = {"nan", "<na>", "noinput", "no input", "[object Object]"}
_MAYBE_NO_ANSWER = {"None", "null", "N/A", "undefined", "TODO", "[]", "{}"}
_LONGEST = 16  # characters of the words above

_VARIABLE = re.compile(r"\{\{([A-Za-z]\w*(?: \w+){0,3})\}\}")  # {{name}}; Jinja's and Ansible's have spaces within
_CODE = re.compile(r"```|\{%|</|^\s*- name:|\$\{|=>", re.MULTILINE)
_VARIABLE_SHARE = 0.05  # of the answers that have the same one


def empty_instructions(context: CheckContext) -> Iterator[Finding]:
    """Rows that ask nothing and are answered."""
    if context.stage is Stage.PRETRAIN or not context.is_conversational:
        return  # plain text has no request
    found = [
        (split, row) for split, row in _rows(context)
        if row.reason == "empty_prompt" or (any(row.answers) and row.messages and not _asks(row))
    ]  # fmt: skip
    if found:
        yield Finding(
            "EMPTY_INSTRUCTIONS",
            severity_by_share(len(found), _n_rows(context), error=_ERROR_SHARE),
            summary=f"{len(found)} of {_n_rows(context)} rows have an answer and an empty prompt",
            why="the model learns to give this answer to any prompt",
            remedy="remove these rows, or name the column that holds the request "
            "(data_prep/build_instructions.py --column_map instruction=...)",
            evidence=_evidence((split, row, f"asked {row.asked!r}, {_answered(row)}") for split, row in found),
            n_rows=len(found),
        )


def _asks(row: SampledRow) -> bool:
    """Whether a user's turn, or a tool's, has more than white space and dashes."""
    asked = [message for message in row.messages if message["role"] in ("user", "tool")]
    texts = [str(message.get("content") or "") for message in asked] or [row.asked]
    return any(not _NOTHING.fullmatch(text) for text in texts)


def _answered(row: SampledRow) -> str:
    return f"answer: {head(row.answers[0], 60)}" if row.answers else str(row.reason)


def empty_answers(context: CheckContext) -> Iterator[Finding]:
    """Rows without an answer, or with dots and dashes for one."""
    if context.stage is Stage.PRETRAIN:
        return
    found = [
        (split, row)
        for split, row in _rows(context)
        if row.reason in _EMPTY_REASONS
        or any(one and _NOTHING.fullmatch(one) for one in wanted_answers(row, context.stage))
    ]
    if found:
        n_dropped = sum(row.reason in _EMPTY_REASONS for _, row in found)
        yield Finding(
            "EMPTY_ANSWERS",
            severity_by_share(len(found), _n_rows(context), error=_ERROR_SHARE, warning=_FEW_EMPTY),
            summary=f"{len(found)} of {_n_rows(context)} rows have an empty answer; {n_dropped} of them are left out",
            why="the model learns nothing from them, or learns to answer with nothing",
            remedy="remove these rows, or name the column that holds the answer "
            "(data_prep/build_instructions.py --column_map output=...)",
            evidence=_evidence((split, row, f"asked: {head(row.asked, 120)}") for split, row in found),
            n_rows=len(found),
        )


def placeholder_values(context: CheckContext) -> Iterator[Finding]:
    """Columns whose whole text stands for nothing ("nan", "<noinput>"), answers with a variable never filled in."""
    if context.stage is Stage.PRETRAIN:
        return
    certain = [(split, row, value) for split, row in _rows(context) if (value := _placeholder_in(row))]
    variables = _unfilled(context)
    labels = [] if certain or variables else _maybe_labels(context)
    found = [*certain, *variables] or labels
    if not found:
        return
    n_rows = _n_rows(context)
    severity = severity_by_share(len(certain), n_rows, error=_ERROR_SHARE, warning=_FEW)
    if variables and severity is Severity.NOTE:
        severity = Severity.WARNING
    counts = Counter(value for _, _, value in found).most_common(4)
    yield Finding(
        "PLACEHOLDER_VALUES",
        severity,
        summary=f"{len(found)} of {n_rows} rows have a placeholder instead of text: "
        + ", ".join(f"{value} ({count})" for value, count in counts),
        why="the model treats the placeholder as text, in prompts or answers",
        remedy="replace it with an empty text or the real value, or remove these rows",
        evidence=_evidence(
            (split, row, f"{value}: {head(row.asked, 50)} | {_answered(row)}") for split, row, value in found
        ),
        n_rows=len(found),
    )


def _placeholder_in(row: SampledRow) -> str | None:
    """The column or role of a text that certainly stands for nothing, with the text."""
    has_messages = any(row.values.get(column) is not None for column in _MESSAGES)
    for column in ("system",) if has_messages else _ASKED_COLUMNS:
        value = row.values.get(column)
        if isinstance(value, str) and _stands_for_nothing(value):
            return f"{column} {value.strip()!r}"
    for column in () if has_messages else _ANSWER_COLUMNS:
        value = row.values.get(column)
        if isinstance(value, str) and _is_no_answer(value):
            return f"{column} {value.strip()[:_LONGEST]!r}"
    for message in row.messages if has_messages else ():
        text = str(message.get("content") or "")
        if _stands_for_nothing(text) if message["role"] == "system" else _is_no_answer(text):
            return f"{message['role']} {text.strip()[:_LONGEST]!r}"
    return None


def _stands_for_nothing(text: str) -> bool:
    if len(text) > _LONGEST:
        return False
    return text.strip().lower() in _NO_VALUE or _NO_INPUT.fullmatch(text.strip()) is not None


def _is_no_answer(text: str) -> bool:
    text = text.lstrip()
    if text[:1] == "<" and _NO_INPUT.match(text):
        return True
    return len(text) <= _LONGEST and text.strip() in _NO_ANSWER


def _unfilled(context: CheckContext) -> list[tuple[str, SampledRow, str]]:
    """Rows whose answer has a variable such as {{name}} that many answers have and no request."""
    found = [
        (split, row, match.group())
        for split, row in _rows(context)
        if "{{" not in row.asked
        for match in _variables_of(row)
    ]
    counts = Counter(value for _, _, value in found)
    return [one for one in found if counts[one[2]] >= _VARIABLE_SHARE * _n_rows(context)]


def _variables_of(row: SampledRow) -> list[re.Match[str]]:
    """The first variable of a row's answers."""
    answers = (answer for answer in row.answers if "{{" in answer and not _CODE.search(answer))
    matches = (_VARIABLE.search(answer) for answer in answers)
    return [match for match in matches if match][:1]


def _maybe_labels(context: CheckContext) -> list[tuple[str, SampledRow, str]]:
    """Rows whose whole answer is "None" or the like, if there are many."""
    found = [
        (split, row, repr(answer))
        for split, row in _rows(context)
        for answer in row.answers
        if answer in _MAYBE_NO_ANSWER
    ]  # fmt: skip
    return found if len(found) >= _LABEL_SHARE * _n_rows(context) else []


def _rows(context: CheckContext) -> Iterator[tuple[str, SampledRow]]:
    return ((seen.split, row) for seen in context.splits for row in seen.rows)


def _n_rows(context: CheckContext) -> int:
    return sum(len(seen.rows) for seen in context.splits)


def _evidence(shown: Iterable[tuple[str, SampledRow, str]]) -> tuple[Evidence, ...]:
    first = [one for one, _ in zip(shown, range(MAX_EVIDENCE), strict=False)]
    return tuple(Evidence(head(text), row.number, split) for split, row, text in first)


CHECKS: tuple[Check, ...] = (empty_instructions, empty_answers, placeholder_values)
