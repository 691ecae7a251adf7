"""Checks of answers that are data: JSON that does not parse, and the notation of Python's lists and dictionaries."""

import ast
import json
import re
from collections import Counter
from collections.abc import Iterator

from pipelines.preflight.check_context import CheckContext, SampledRow, Stage
from pipelines.preflight.checks.answers.damaged_rows import damage_finding, is_json, severity_of
from pipelines.preflight.checks.evidence import (
    Check,
    evidence_of_splits,
    head,
    rows_of_splits,
    share_of,
    wanted_answers,
)
from pipelines.records.finding import Finding

_MIN_JSON = 5  # answers, for their format to be the set's
_MOST = 0.5  # of the answers are JSON: then others should be, and in one form
_PARSED = 0.3  # of the answers that begin like JSON: with fewer it is another notation, unless JSON was asked for
_FEW = 0.1  # of the right ones have a code fence or text around them, and others not; more are meant
_ERROR_SHARE = 0.3
_FENCED = re.compile(r"\s*```(?:json[l5]?)?[ \t]*\n(?P<inside>.*?)(?:\n?[ \t]*```\s*|\Z)", re.DOTALL | re.IGNORECASE)
_LIKE_JSON = re.compile(r"\s*(?:\{\s*(?:[\"'}“]|\Z)|\[\s*(?:[{\[\"'\]]|-?\d[\d.eE+-]*\s*(?:,|\]\s*\Z)))")
_INSIDE = re.compile(r"\{\s*\"[^\"\n]+\"\s*:")

Places = list[tuple[str, SampledRow, str]]


def json_does_not_parse(context: CheckContext) -> Iterator[Finding]:
    """JSON_DOES_NOT_PARSE: broken JSON among answers that are JSON, and other forms where most answers have one."""
    if context.stage is Stage.PRETRAIN:
        return
    rows = rows_of_splits(context)
    answers = ((split, row, one) for split, row in rows for one in wanted_answers(row, context.stage) if one.strip())
    forms = [(split, row, answer, form_of(answer)) for split, row, answer in answers]
    counts = Counter(form for *_, form in forms)
    n_json = counts.total() - counts["other"] - counts["inside"]
    if n_json < _MIN_JSON:
        return
    n_right, n_asked = counts["bare"] + counts["fenced"], sum("json" in row.asked.lower() for _, row in rows)
    is_format = n_right >= _PARSED * n_json or n_asked >= _MOST * len(rows)
    are_most = n_json >= _MOST * counts.total()
    if not (is_format or are_most):
        return
    wrong = {"truncated", "broken"}
    if is_format and are_most:  # then all answers should be alike
        rare = ("inside", min("bare", "fenced", key=counts.__getitem__))
        wrong |= {"Python"} | {form for form in rare if counts[form] <= _FEW * n_right}
    found = [
        (split, row, f"{_NAMES[form]}: {_shown(answer, form)}") for split, row, answer, form in forms if form in wrong
    ]
    if not found:
        return
    kinds = ", ".join(f"{counts[form]} {_NAMES[form]}" for form in _NAMES if form in wrong and counts[form])
    yield Finding(
        "JSON_DOES_NOT_PARSE",
        severity_of(context, len(found), len(rows), _ERROR_SHARE),
        summary=f"{share_of(len(found), n_json + counts['inside'])} of the answers in JSON are not what a program can "
        f"read as the others: {kinds}",
        why="the model learns to write answers that the program which reads them refuses",
        remedy="write these answers with `json.dumps` from their source, or remove these rows",
        evidence=evidence_of_splits(found),
        n_rows=len({(split, row.number) for split, row, _ in found}),
    )


_NAMES = {
    "truncated": "truncated", "broken": "with wrong syntax", "Python": "in Python's notation",
    "fenced": "in a code fence", "bare": "without the others' code fence", "inside": "with text around it",
}  # fmt: skip


def form_of(answer: str) -> str:
    """The form of an answer: `bare` or `fenced` JSON, `truncated`, `broken`, `Python`'s notation, JSON `inside` of
    text, or `other`."""
    begin = answer.lstrip()[:1]
    if begin not in ("{", "[", "`"):
        is_inside = "{" in answer and begin.isalpha() and _INSIDE.search(answer) is not None
        return "inside" if is_inside and not _CODE.search(answer) else "other"
    fenced = _FENCED.fullmatch(answer)
    text = (fenced["inside"] if fenced else answer).strip()
    if not _LIKE_JSON.match(text):
        return "other"
    try:
        json.loads(text)
    except ValueError as error:
        return _wrong_form(text, error)
    return "fenced" if fenced else "bare"


_CODE = re.compile(r"^\s*(?:import|from|def|class|const|let|var|function|curl|public|#include)\b|=>|\);", re.MULTILINE)


def _wrong_form(text: str, error: ValueError) -> str:
    lines = text.split("\n")
    if len(lines) > 1 and all(map(is_json, filter(str.strip, lines))):
        return "bare"  # JSON lines
    if is_python_literal(text):
        return "Python"
    place = getattr(error, "pos", 0)
    ends_open = place >= len(text.rstrip()) - 1 or str(error).startswith("Unterminated string")
    return "truncated" if ends_open and text[-1:] not in ("}", "]") else "broken"


def _shown(answer: str, form: str) -> str:
    return f"… {head(answer[-80:])}" if form == "truncated" else head(answer, 100)


_ASKS_FOR_DATA = re.compile(
    r"python|\blists?\b|\barrays?\b|dict|json|tuple|\bcode\b|function|brackets|\[|\{|format|print|output", re.IGNORECASE
)
_OBJECT = re.compile(r"(?:b['\"]|<[\w.]+ object at 0x[0-9a-f]+>|array\(\[|[A-Z]\w+\([a-z_]+=['\"\[{\d]).*", re.DOTALL)


def python_in_answers(context: CheckContext) -> Iterator[Finding]:
    """PYTHON_IN_ANSWERS: lists, dictionaries and objects as Python prints them, where nobody asked for data."""
    if context.stage is not Stage.PRETRAIN:
        yield from damage_finding(
            "PYTHON_IN_ANSWERS", context, python_in,
            what="are lists, dictionaries or objects as Python prints them",
            why="a column was turned into text with `str`, and the model learns to answer with brackets and quotes",
            remedy="take the text out of the list or dictionary (`answer[0]`, `answer['text']`), or remove these rows",
            error=_ERROR_SHARE,
        )  # fmt: skip


def python_in(asked: str, answer: str) -> str | None:
    """The beginning of an answer that is a Python object and was not asked for, None for others."""
    text = answer.strip()
    is_object = text[:1] in ("[", "{") and is_python_literal(text)
    if not is_object and not (
        text[:1] in "b<aABCDEFGHIJKLMNOPQRSTUVWXYZ" and text[-1:] in ")'\">" and _OBJECT.fullmatch(text)
    ):
        return None
    return None if _ASKS_FOR_DATA.search(asked) else head(text, 100)


def is_python_literal(text: str) -> bool:
    """Whether a text is a list or dictionary with texts in Python's quotes, and not JSON."""
    if not text.endswith(("]", "}")) or "'" not in text or is_json(text):
        return False
    try:
        value = ast.literal_eval(re.sub(r"'\s+'", "', '", text))  # NumPy's arrays have no commas
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return False
    return isinstance(value, list | dict)


CHECKS: tuple[Check, ...] = (json_does_not_parse, python_in_answers)
