"""Checks of the chat template: it ends what is trained, is served as trained, and keeps all of a row."""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial

from trl.chat_template_utils import has_generation_markers

from pipelines.errors import UserError
from pipelines.modeling.chat.dates import writes_date
from pipelines.preflight.check_context import CheckContext, SampledRow, Stage
from pipelines.preflight.checks.evidence import Check, row_evidence, spread
from pipelines.preflight.checks.row_facts import (
    are_too_many,
    conversation_of,
    dropped_evidence,
    dropped_rows,
    end_token_ids,
    trains_whole_rows,
    without_thoughts,
)
from pipelines.preflight.checks.tokens.end_tokens import end_token_mismatch, end_token_not_trained
from pipelines.records.finding import Finding, Severity
from pipelines.training.serving_check import refuse_other_context, reloaded_tokenizer

_N_SERVED = 64  # rows compared with serving: a template that differs does so in most rows of a kind
# Finding, the reasons of its rows, and what is lost.
_LOSSES = (
    ("TEMPLATE_DROPS_SYSTEM", ("template_drops_system",), "the system turn"),
    (
        "TEMPLATE_DROPS_TEXT", ("template_drops_text", "template_drops_thoughts", "template_drops_null"),
        "text, reasoning or null values",
    ),
    ("TEMPLATE_DROPS_TOOLS", ("template_drops_tools",), "tools or tool calls"),
)  # fmt: skip


def unlike_serving(context: CheckContext) -> Iterator[Finding]:
    """TRAINING_PROMPT_NOT_SERVED: the context of a trained turn is not the prompt that a server renders."""
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
        problems = {row.number: error.problem for row, error in found}
        yield Finding(
            finding_id,
            Severity.ERROR,
            summary=f"{len(found)} of {len(chosen)} compared rows differ from serving: {found[0][1].problem}",
            why="the model is served with prompts or end tokens that it was not trained on",
            remedy=found[0][1].fix or "",
            evidence=row_evidence((row for row, _ in found), partial(_problem_of, problems)),
            n_rows=len(found),
        )
    dropped = dropped_rows(context, "prompt_is_no_prefix")
    if dropped and "TRAINING_PROMPT_NOT_SERVED" not in faults:
        yield _dropped(
            context, "TRAINING_PROMPT_NOT_SERVED", dropped, "the rendered turn does not continue the served prompt",
            "the model would be served with another prompt, for example one that opens a think block",
            f"give the rows reasoning, or {without_thoughts(context)}",
        )  # fmt: skip


def template_drops_text(context: CheckContext) -> Iterator[Finding]:
    """TEMPLATE_DROPS_...: rows dropped because the template loses a part of them."""
    for finding_id, reasons, what in _LOSSES:
        if dropped := dropped_rows(context, *reasons):
            yield _dropped(
                context, finding_id, dropped, f"the chat template drops {what}",
                f"the model would be trained without {what} of these rows",
                "set chat_template_path to a template that renders it, or remove it from the rows",
            )  # fmt: skip


def template_refuses_rows(context: CheckContext) -> Iterator[Finding]:
    """TEMPLATE_REFUSES_ROWS: rows dropped because the template raises an error."""
    if dropped := dropped_rows(context, "template_refuses"):
        yield _dropped(
            context, "TEMPLATE_REFUSES_ROWS", dropped, "the chat template raises an error",
            "the model is not trained on these rows, for example those with a system turn",
            "set chat_template_path to a template that accepts them, or change the roles in these rows",
        )  # fmt: skip


def template_writes_date(context: CheckContext) -> Iterator[Finding]:
    """TEMPLATE_WRITES_DATE: the template writes the current day."""
    if context.stage is Stage.PRETRAIN or not context.is_conversational or not writes_date(context.tokenizer):
        return
    takes_one = "date_string" in str(context.tokenizer.chat_template)
    column = ', or give the rows a column chat_template_kwargs with {"date_string": "..."}' if takes_one else ""
    yield Finding(
        "TEMPLATE_WRITES_DATE",
        Severity.NOTE,
        summary="the chat template writes today's date into every row",
        why="the same recipe renders other text on another day, and the model is served with other dates",
        remedy=f"set template_date: YYYY-MM-DD (lock.json has the day of a run){column}",
    )


def no_generation_marks(context: CheckContext) -> Iterator[Finding]:
    """NO_GENERATION_MARKS: `assistant_only_loss` needs marks in the template everywhere but here."""
    template = context.tokenizer.chat_template
    if not getattr(context.training, "assistant_only_loss", False) or not context.is_conversational or not template:
        return
    if not has_generation_markers(template):
        yield Finding(
            "NO_GENERATION_MARKS",
            Severity.NOTE,
            summary="assistant_only_loss is true, and the chat template has no {% generation %} marks",
            why="this program needs no marks, but TRL and other trainers refuse the template or train nothing",
            remedy="remove assistant_only_loss, or mark the answers in the template; nothing to do for this program",
        )


def _problem_of(problems: Mapping[int, str], row: SampledRow) -> str:
    return problems[row.number]


def _rows_to_serve(context: CheckContext) -> list[SampledRow]:
    """Rows whose prompt and end can be compared. Missing end tokens and templates that the run refuses are other
    findings."""
    rows = [row for row in context.train.rows if row.messages and row.whole]
    if not rows or trains_whole_rows(context) or context.tokenizer.eos_token_id not in end_token_ids(context):
        return []
    ends = end_token_ids(context)
    return spread([row for row in rows if row.whole[0].labels[-1] in ends], _N_SERVED)


def _dropped(
    context: CheckContext, finding_id: str, rows: Sequence[SampledRow], fault: str, why: str, remedy: str
) -> Finding:  # fmt: skip
    return Finding(
        finding_id,
        Severity.ERROR if are_too_many(context, len(rows)) else Severity.WARNING,
        summary=f"{fault} in {len(rows)} of {len(context.train.rows)} rows, which are dropped",
        why=why,
        remedy=remedy,
        evidence=dropped_evidence(rows),
        n_rows=len(rows),
    )


CHECKS: tuple[Check, ...] = (
    end_token_not_trained, end_token_mismatch, unlike_serving, template_drops_text, template_refuses_rows,
    template_writes_date, no_generation_marks,
)  # fmt: skip
