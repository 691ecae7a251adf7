"""Check that the template writes answers as they are: indentation, line breaks, spaces and quotes."""

import re
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping
from functools import partial

from data_prep.conversation import content_text
from pipelines.modeling.assistant_masks import UnrenderableError, assistant_turns
from pipelines.modeling.chat.dropped_content import END_OF_THOUGHT
from pipelines.preflight.check_context import CheckContext, SampledRow, Stage
from pipelines.preflight.checks.evidence import MATERIAL_SHARE, Check, row_evidence, spread
from pipelines.preflight.checks.row_facts import conversation_of
from pipelines.records.finding import Finding, Severity

_N_RENDERED = 24  # rows of a kind: a template treats all of a kind alike
_RUINED_SHARE = 0.5  # of the rows
# The first line that is not blank, if it is indented; one space is what an export left there.
_INDENTED = re.compile(r"(?:[^\S\n]*\n)*([ \t]*(?: {2}|\t)\S[^\n]*)")
_INNER = re.compile(r"\n|  |[\"\\<>&]")  # what a template may collapse or escape
_N_SHOWN, _N_BEFORE = 40, 15  # characters, and those before the difference


def template_changes_answers(context: CheckContext) -> Iterator[Finding]:
    """TEMPLATE_CHANGES_ANSWERS: the template strips the indentation of answers, or changes them inside.

    White space around other answers is worth nothing, and many templates strip it.
    """
    if context.stage is Stage.PRETRAIN or not context.is_conversational:
        return
    rows = [row for row in context.train.rows if row.messages and row.whole and row.answers]
    kinds: tuple[tuple[str, Callable[[str], str | None], str], ...] = (
        ("the indentation of their first line is stripped", _first_line, "code without it does not run"),
        ("white space is collapsed or characters are escaped", _inside, "the model learns the changed text"),
    )
    for what, part_of, why in kinds:
        candidates = [row for row in rows if part_of(_answer(row))]
        tried = spread(candidates, _N_RENDERED)
        found = {row.number: lost for row in tried if (lost := _lost(context, row, part_of)) is not None}
        n_found = round(len(candidates) * len(found) / max(1, len(tried)))
        if n_found < max(1.0, MATERIAL_SHARE * len(rows)):
            continue
        yield Finding(
            "TEMPLATE_CHANGES_ANSWERS",
            Severity.ERROR if part_of is _inside and n_found >= _RUINED_SHARE * len(rows) else Severity.WARNING,
            summary=f"the chat template changes about {n_found} of {len(rows)} answers: {what} ({len(found)} of "
            f"{len(tried)} rendered)",
            why=why,
            remedy="set chat_template_path to a template that writes message['content'] of the assistant as it is, "
            "without trim, strip or another filter",
            evidence=row_evidence((row for row in tried if row.number in found), partial(_change_of, found)),
            n_rows=n_found,
        )
        return


def _change_of(found: Mapping[int, str], row: SampledRow) -> str:
    return found[row.number]


def _answer(row: SampledRow) -> str:
    """The answer after its thought, which templates write in a form of their own."""
    return END_OF_THOUGHT.split(row.answers[0])[-1]


def _first_line(answer: str) -> str | None:
    found = _INDENTED.match(answer)
    return found.group(1).rstrip() if found else None


def _inside(answer: str) -> str | None:
    stripped = answer.strip()
    return stripped if _INNER.search(stripped) else None


def _lost(context: CheckContext, row: SampledRow, part_of: Callable[[str], str | None]) -> str | None:
    """What the answer has and what is trained, if the template changes it."""
    conversation = conversation_of(context, row)
    turn = conversation.trained_turns()[0]
    if isinstance(conversation.messages[turn].get("content"), list):
        return None  # servers join parts in different ways
    try:
        [rendered] = assistant_turns(
            context.tokenizer, conversation.messages[: turn + 1], tools=conversation.tools, trained_turns={turn},
            template_arguments=conversation.template_arguments,
        )  # fmt: skip
    except UnrenderableError:
        return None  # dropped, with its own finding
    part = part_of(END_OF_THOUGHT.split(content_text(conversation.messages[turn]))[-1])
    if part is None or _keeps(rendered.text, part):
        return None
    return _difference(part, rendered.text)


def _keeps(text: str, part: str) -> bool:
    """Whether `text` has `part`; of an indented line only its first place counts, since others are indented too."""
    line = part.lstrip(" \t")
    place = text.find(line)
    return place >= 0 and text[:place].endswith(part[: len(part) - len(line)])


def _difference(part: str, text: str) -> str:
    """Excerpts of an answer's `part` and of the rendered `text`, from shortly before their first difference."""
    if (line := part.lstrip()) in text:
        return f"{part[:_N_SHOWN]!r} is trained as {text[text.index(line) :][:_N_SHOWN]!r}"
    n_same = bisect_left(range(len(part)), True, key=lambda n: part[: n + 1] not in text)
    begin = max(0, n_same - _N_BEFORE)
    place = text.index(part[:n_same]) + begin if n_same else 0
    return f"{part[begin : begin + _N_SHOWN]!r} is trained as {text[place : place + _N_SHOWN]!r}"


CHECKS: tuple[Check, ...] = (template_changes_answers,)
