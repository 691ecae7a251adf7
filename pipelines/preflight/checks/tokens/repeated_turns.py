"""Checks of what a template writes around texts: one header before each, all of it outside the loss."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from transformers import PreTrainedTokenizerBase

from data_prep.conversation import content_text
from pipelines.modeling.assistant_masks import UnrenderableError, assistant_turns
from pipelines.modeling.chat.end_tokens import TALK, special_tokens
from pipelines.modeling.chat.template_input import ANSWER, QUESTION, TEMPLATE_ERRORS, apply_template
from pipelines.modeling.chat_template import spelled_marks
from pipelines.preflight.check_context import CheckContext, SampledRow, Stage
from pipelines.preflight.checks.evidence import Check, row_evidence, share_of
from pipelines.preflight.checks.row_facts import trains_whole_rows
from pipelines.records.finding import Evidence, Finding, Severity

_SYSTEM = "probe system 4417"
_MIN_SYSTEM = 20  # characters: a request may contain a shorter system text by chance
_SHARE = 0.02  # of the rows
_ROLE = re.compile(r"\b(?:assistant|model|bot|gpt|ai|response|answer)\b", re.IGNORECASE)
_THOUGHT = re.compile(r"think|thought|reason|channel|analysis|final", re.IGNORECASE)


@dataclass(frozen=True)
class _Rendered:
    """The template's text before a system text (None: no row has one), a question and an answer."""

    before_system: str | None
    before_question: str
    before_answer: str
    text: str


def turns_rendered_twice(context: CheckContext) -> Iterator[Finding]:
    """TURN_RENDERED_TWICE: the template writes a header, a system turn or a text twice."""
    if context.stage is Stage.PRETRAIN or not context.is_conversational:
        return
    rows = [row for row in context.train.rows if row.messages and row.whole]
    with_system = [row for row in rows if row.messages[0]["role"] == "system"]
    for spoken, n_rows in ((True, len(with_system)), (False, len(rows) - len(with_system))):
        what = _twice(context.tokenizer, _rendered(context.tokenizer, with_system=spoken)) if n_rows else None
        if what is not None:
            affected = with_system if "system" in what else rows
            yield Finding(
                "TURN_RENDERED_TWICE",
                Severity.WARNING,
                summary=f"the chat template writes {what}, in {share_of(len(affected), len(rows))} rows",
                why="the base never saw such turns, and of two system texts the model learns to ignore one",
                remedy="set chat_template_path to a template that writes each turn once, and its default system text "
                "only for rows without one",
                evidence=row_evidence(
                    affected, lambda row: row.asked, lambda row: context.labelled(row.whole[0], 0, 24)
                ),
                n_rows=len(affected),
            )
            return
    yield from _twice_in_rows(rows, with_system)


def header_trained(context: CheckContext) -> Iterator[Finding]:
    """TRAINING_PROMPT_NOT_SERVED: the generation prompt lacks the header of the answer, so the model must write it."""
    if context.stage is Stage.PRETRAIN or not context.is_conversational or trains_whole_rows(context):
        return
    try:
        [turn] = assistant_turns(context.tokenizer, TALK)
    except UnrenderableError:
        return
    header = turn.text.partition(ANSWER)[0].strip()
    if not _ROLE.search(header) or _THOUGHT.search(header):
        return
    rows = [row for row in context.train.rows if row.messages and row.whole]
    yield Finding(
        "TRAINING_PROMPT_NOT_SERVED",
        Severity.ERROR,
        summary=f"the template's generation prompt lacks {header!r}, which is trained as the beginning of all "
        f"{len(rows)} answers",
        why="the model writes the header itself, and users read it before each answer",
        remedy="set chat_template_path to a template that writes the header under {% if add_generation_prompt %}",
        evidence=(Evidence(f"a served prompt ends with {turn.prompt[-60:]!r}"),
                  *row_evidence(rows[:1], lambda row: row.answers[0], lambda row: context.labelled(row.whole[0], -12))),
        n_rows=len(rows),
    )  # fmt: skip


def _twice_in_rows(rows: Sequence[SampledRow], with_system: Sequence[SampledRow]) -> Iterator[Finding]:
    found = [row for row in with_system if _repeats_system(row)]
    if len(found) < max(2.0, _SHARE * len(rows)):
        return
    yield Finding(
        "TURN_RENDERED_TWICE",
        Severity.WARNING,
        summary=f"{share_of(len(found), len(rows))} rows have two system turns, or their system text in the request "
        "as well",
        why="the model is trained with a system text twice and is served with one",
        remedy="keep the system text once, in the system turn",
        evidence=row_evidence(found, lambda row: row.asked),
        n_rows=len(found),
    )


def _repeats_system(row: SampledRow) -> bool:
    first, *others = row.messages
    if others and others[0]["role"] == "system":
        return True
    text = content_text(first).strip()
    return len(text) >= _MIN_SYSTEM and any(text in content_text(one) for one in others if one["role"] == "user")


def _rendered(tokenizer: PreTrainedTokenizerBase, *, with_system: bool) -> _Rendered | None:
    talk = [{"role": "system", "content": _SYSTEM}, *TALK] if with_system else TALK
    try:
        text = apply_template(tokenizer, talk)
    except TEMPLATE_ERRORS:
        return None  # another finding
    before, _, after = text.partition(QUESTION)
    before_system = before.partition(_SYSTEM)[0] if with_system and _SYSTEM in before else None
    return _Rendered(before_system, before.rpartition(_SYSTEM)[2], after.partition(ANSWER)[0], text)


def _twice(tokenizer: PreTrainedTokenizerBase, rendered: _Rendered | None) -> str | None:
    """What the template writes twice."""
    if rendered is None:
        return None
    for name, text in (("system text", _SYSTEM), ("request", QUESTION), ("answer", ANSWER)):
        if rendered.text.count(text) > 1:
            return f"the {name} twice"
    parts = (("system turn", rendered.before_system), ("user's turn", rendered.before_question),
             ("answer", rendered.before_answer))  # fmt: skip
    for name, before in parts:
        if before and (header := _repeated_header(tokenizer, before)):
            return f"{header!r} twice before the {name}"
    return None


def _repeated_header(tokenizer: PreTrainedTokenizerBase, before: str) -> str | None:
    """The header at the end of `before`, if it is there twice: special tokens with a role, or a line of text."""
    marks = {*(token for token in special_tokens(tokenizer) if token in before), *spelled_marks(before)}
    marks -= {tokenizer.bos_token}
    if marks:
        spelled = "|".join(map(re.escape, sorted(marks, key=len, reverse=True)))
        pairs = [(one.group(1), one.group(2)) for one in re.finditer(rf"({spelled})\s*([A-Za-z]*)", before)]
        run = re.search(rf"(?:(?:{spelled})\s*[A-Za-z]*\s*)+\Z", before)
        if run is None:
            return None
        of_run = [(one.group(1), one.group(2)) for one in re.finditer(rf"({spelled})\s*([A-Za-z]*)", run.group())]
        last = next((pair for pair in reversed(of_run) if pair[1]), of_run[-1])
        return "".join(last) if pairs.count(last) > 1 else None
    line = next((line.strip() for line in reversed(before.split("\n")) if line.strip()), "")
    is_header = line.endswith(":") or line.startswith("#")
    return line if is_header and before.count(line) > 1 else None


CHECKS: tuple[Check, ...] = (turns_rendered_twice, header_trained)
