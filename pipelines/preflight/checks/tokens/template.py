"""Checks of the chat template: it ends what is trained, is served as it is trained, and keeps what it is given."""

from collections.abc import Iterator

from trl.chat_template_utils import has_generation_markers

from pipelines.errors import UserError
from pipelines.modeling.chat.dates import writes_date
from pipelines.preflight.check_context import CheckContext, SampledRow, Stage
from pipelines.preflight.checks.excerpts import head
from pipelines.preflight.checks.kind import Check
from pipelines.preflight.checks.sampled_rows import (
    are_too_many,
    conversation_of,
    dropped_rows,
    end_token_ids,
    rows_as_evidence,
    spread,
    trains_whole_rows,
)
from pipelines.preflight.checks.tokens.end_tokens import end_token_mismatch, end_token_not_trained
from pipelines.records.finding import MAX_EVIDENCE, Evidence, Finding, Severity
from pipelines.training.serving_check import refuse_other_context, reloaded_tokenizer

_N_SERVED = 64  # rows compared with serving: a template that differs does so in most rows of a kind
# A finding, the reasons of rows that it is about, and what is lost.
_LOSSES = (
    ("TEMPLATE_DROPS_SYSTEM", ("template_drops_system",), "the system turn"),
    (
        "TEMPLATE_DROPS_TEXT",
        ("template_drops_text", "template_drops_thoughts", "template_drops_null"),
        "text, thoughts or null values",
    ),
    ("TEMPLATE_DROPS_TOOLS", ("template_drops_tools",), "tools or their calls"),
)


def unlike_serving(context: CheckContext) -> Iterator[Finding]:
    """The context of each trained turn is the prompt that a saved tokenizer gives to a server, token by token."""
    faults: dict[str, list[tuple[SampledRow, UserError]]] = {}
    chosen = _rows_to_serve(context)
    served_by = reloaded_tokenizer(context.tokenizer) if chosen else context.tokenizer
    for row in chosen:
        whole = row.whole[:1] if context.stage is Stage.DPO else row.whole  # of a pair the chosen answer
        try:
            refuse_other_context(served_by, conversation_of(context, row), whole)
        except UserError as error:
            faults.setdefault(str(error.finding), []).append((row, error))
    for finding_id, found in faults.items():
        yield _served_otherwise(context, finding_id, found, len(chosen))
    left_out = dropped_rows(context, "prompt_is_no_prefix")
    if left_out and "TRAINING_PROMPT_NOT_SERVED" not in faults:
        yield _left_out(
            context, "TRAINING_PROMPT_NOT_SERVED", left_out, "the finished turn does not continue the served prompt",
            "training and served prompt differ, for example where the prompt opens a think block that the turn lacks",
            "give the rows thoughts, or a column chat_template_kwargs with the template's switch, such as "
            '{"enable_thinking": false}, or set chat_template_path to another template',
        )  # fmt: skip


def template_drops_text(context: CheckContext) -> Iterator[Finding]:
    """No row is left out because the template loses something of it."""
    for finding_id, reasons, what in _LOSSES:
        left_out = [row for reason in reasons for row in dropped_rows(context, reason)]
        if left_out:
            yield _left_out(
                context, finding_id, left_out, f"the chat template drops {what}",
                "part of the rows would silently not be trained",
                "set chat_template_path to a template that writes it, or remove it from the rows",
            )  # fmt: skip


def template_refuses_rows(context: CheckContext) -> Iterator[Finding]:
    """No row is left out because the template raises an error on it."""
    left_out = dropped_rows(context, "template_refuses")
    if left_out:
        yield _left_out(
            context, "TEMPLATE_REFUSES_ROWS", left_out, "the chat template raises an error",
            "the template does not accept these conversations, such as system turns or two user turns in a row",
            "set chat_template_path to a template that accepts them, or change the order of roles in these rows",
        )  # fmt: skip


def template_writes_date(context: CheckContext) -> Iterator[Finding]:
    """The template does not write the day on which it is rendered."""
    if context.stage is Stage.PRETRAIN or not context.is_conversational or not writes_date(context.tokenizer):
        return
    takes_one = "date_string" in str(context.tokenizer.chat_template)
    fixed = ', or give the rows a column chat_template_kwargs with {"date_string": "..."}' if takes_one else ""
    yield Finding(
        "TEMPLATE_WRITES_DATE",
        Severity.NOTE,
        summary="the chat template writes today's date, and every row is trained with the same one",
        why="the same recipe renders different text on another day, and the model never sees the dates of serving",
        remedy=f"set template_date to render a fixed day (the lock of a run has its day){fixed}",
    )


def no_generation_marks(context: CheckContext) -> Iterator[Finding]:
    """`assistant_only_loss` rests on marks in the template everywhere but here."""
    template = context.tokenizer.chat_template
    if not getattr(context.training, "assistant_only_loss", False) or not context.is_conversational or not template:
        return
    if not has_generation_markers(template):
        yield Finding(
            "NO_GENERATION_MARKS",
            Severity.NOTE,
            summary="assistant_only_loss: true, and the chat template has no {% generation %} marks",
            why="this program does not need them, but TRL and other trainers refuse the template or train nothing",
            remedy="no action needed here; for other trainers mark the answers, or remove assistant_only_loss",
        )


def _rows_to_serve(context: CheckContext) -> list[SampledRow]:
    """Rows whose prompt and end can be compared; those without the end token are another finding, and so is a template
    that the run refused, whose end of turn the tokenizer did not take over."""
    rows = [row for row in context.train.rows if row.messages and row.whole]
    if not rows or trains_whole_rows(context) or context.tokenizer.eos_token_id not in end_token_ids(context):
        return []
    ends = end_token_ids(context)
    return spread([row for row in rows if row.whole[0].labels[-1] in ends], _N_SERVED)


def _served_otherwise(
    context: CheckContext, finding_id: str, found: list[tuple[SampledRow, UserError]], n_compared: int
) -> Finding:
    error = found[0][1]
    return Finding(
        finding_id,
        Severity.ERROR,
        summary=f"{len(found)} of {n_compared} rows that were compared with serving differ: expected {error.expected}",
        why="the model is served with other tokens than it was trained on",
        remedy=error.remedy,
        evidence=tuple(
            Evidence(head(f"got {one.got}"), row.number, context.train.split) for row, one in found[:MAX_EVIDENCE]
        ),
        n_rows=len(found),
    )


def _left_out(
    context: CheckContext, finding_id: str, rows: list[SampledRow], fault: str, why: str, remedy: str
) -> Finding:  # fmt: skip
    return Finding(
        finding_id,
        Severity.ERROR if are_too_many(context, len(rows)) else Severity.WARNING,
        summary=f"{fault} in {len(rows)} of {len(context.train.rows)} rows, which are left out",
        why=why,
        remedy=remedy,
        evidence=rows_as_evidence(context, rows),
        n_rows=len(rows),
    )


CHECKS: tuple[Check, ...] = (
    end_token_not_trained, end_token_mismatch, unlike_serving, template_drops_text, template_refuses_rows,
    template_writes_date, no_generation_marks,
)  # fmt: skip
