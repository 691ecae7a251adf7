"""Checks of thoughts in answers: all rows have them, or the prompt says which."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence

from data_prep.conversation import content_text, thought_of
from pipelines.preflight.check_context import CheckContext, SampledRow, Stage
from pipelines.preflight.checks.evidence import Check, row_evidence, severity_by_share, share_of, wanted_answers
from pipelines.records.finding import Finding, Severity

_MIN_SHARE, _MIN_ROWS = 0.01, 2  # of the rows: those with the rarer form
_MAX_SIGNS = 20  # system texts: if each row has its own, they tell nothing
_CUT_SHARE = 0.1  # of the rows: the model learns to end inside its thought
_TAGS = "think|thinking|thought|thoughts|reasoning|reflection|scratchpad"
_BEGINS = re.compile(rf"\s*<({_TAGS})>", re.IGNORECASE)
_SWITCH = re.compile(r"(?:^|\s)/(?:no_?think|think)\b")
_NO_THOUGHT = "none"


def thoughts_in_some_rows(context: CheckContext) -> Iterator[Finding]:
    """THOUGHTS_IN_SOME_ROWS: answers with and without thoughts, or with several marks, and no sign in the prompt."""
    if context.stage is Stage.PRETRAIN:
        return
    rows = [row for row in context.train.rows if row.examples and row.answers]
    forms = {row.number: _form(row) for row in rows}
    counts = Counter(forms.values())
    if len(counts) < 2:
        return
    most, _ = counts.most_common(1)[0]
    rare = [row for row in rows if forms[row.number] != most]
    if len(rare) < max(_MIN_ROWS, _MIN_SHARE * len(rows)) or _is_told(rows, forms):
        return
    listed = ", ".join(
        f"{n} with {name}" if name != _NO_THOUGHT else f"{n} without" for name, n in counts.most_common()
    )
    yield Finding(
        "THOUGHTS_IN_SOME_ROWS",
        Severity.WARNING,
        summary=f"answers begin with a thought in some of {len(rows)} rows and nothing in the prompt says in which: "
        f"{listed} ({share_of(len(rare), len(rows))} unlike most)",
        why="the model thinks at random, and a server does not know whether to expect a thought",
        remedy="train on one kind of rows, or give those without thoughts a column chat_template_kwargs with "
        '{"enable_thinking": false} or a system text of their own',
        evidence=row_evidence(rare, lambda row: row.answers[-1]),
        n_rows=len(rare),
    )


def thought_without_answer(context: CheckContext) -> Iterator[Finding]:
    """THOUGHT_WITHOUT_ANSWER: answers that end inside their thought, or right after it."""
    if context.stage is Stage.PRETRAIN:
        return
    rows = [row for row in context.train.rows if row.answers]
    found = [row for row in rows if any(map(_is_unfinished, wanted_answers(row, context.stage)))]
    if len(found) < max(_MIN_ROWS, _MIN_SHARE * len(rows)):
        return
    yield Finding(
        "THOUGHT_WITHOUT_ANSWER",
        severity_by_share(len(found), len(rows), error=_CUT_SHARE),
        summary=f"the answers of {share_of(len(found), len(rows))} rows are a thought without an end, or with nothing "
        "after it",
        why="the model learns to stop before it answers",
        remedy="remove these rows; they were cut when they were generated, at its limit of new tokens",
        evidence=row_evidence(found, lambda row: f"…{row.answers[-1][-100:]}"),
        n_rows=len(found),
    )


def _is_unfinished(answer: str) -> bool:
    begin = _BEGINS.match(answer) if "<" in answer[:40] else None
    if begin is None:
        return False
    _, end, after = answer.lower().partition(f"</{begin.group(1).lower()}>")
    return not end or not after.strip()


def _form(row: SampledRow) -> str:
    """The mark of the row's thoughts. Only the last turn counts: thoughts of earlier ones are often removed."""
    last = next((one for one in reversed(row.messages) if one["role"] == "assistant"), None)
    if last is not None and thought_of(last):
        return "<think>"  # templates write it like this
    answer = row.answers[0] if last is None else content_text(last)
    found = _BEGINS.match(answer) if "<" in answer[:40] else None
    if found is not None:
        return f"<{found.group(1).lower()}>"
    return "<think>" if "</think>" in answer else _NO_THOUGHT  # opened by the generation prompt


def _is_told(rows: Sequence[SampledRow], forms: dict[int, str]) -> bool:
    """Whether a sign in the prompt tells the forms apart: template arguments, a switch, a system text."""
    for sign_of in (_arguments, _switch, _system):
        forms_of: dict[str, Counter[str]] = {}
        for row in rows:
            forms_of.setdefault(sign_of(row), Counter())[forms[row.number]] += 1
        n_told = sum(max(found.values()) for found in forms_of.values())
        if 1 < len(forms_of) <= _MAX_SIGNS and len(rows) - n_told < max(_MIN_ROWS, _MIN_SHARE * len(rows)):
            return True
    return False


def _arguments(row: SampledRow) -> str:
    return str(row.values.get("chat_template_kwargs"))


def _switch(row: SampledRow) -> str:
    found = _SWITCH.findall(row.asked)
    return found[-1].strip() if found else ""


def _system(row: SampledRow) -> str:
    return content_text(row.messages[0]) if row.messages and row.messages[0]["role"] == "system" else ""


CHECKS: tuple[Check, ...] = (thoughts_in_some_rows, thought_without_answer)
