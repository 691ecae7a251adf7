"""Checks of the chat template: it ends what is trained, is served as it is trained, and keeps what it is given."""

import gc
import re
import tempfile
from collections.abc import Iterator, Mapping
from typing import Any

from transformers import AutoTokenizer, PreTrainedTokenizerBase
from trl.chat_template_utils import has_generation_markers

from data_prep.conversation import content_text
from pipelines.diagnosis.case import Case, SeenRow
from pipelines.diagnosis.checks.end_tokens import end_token_mismatch, end_token_not_trained
from pipelines.diagnosis.checks.excerpts import head
from pipelines.diagnosis.checks.kind import Check
from pipelines.diagnosis.checks.seen_rows import (
    MATERIAL_SHARE,
    are_too_many,
    conversation_of,
    dropped_rows,
    end_token_id,
    rows_as_evidence,
    spread,
    trains_whole_rows,
)
from pipelines.diagnosis.finding import MAX_EVIDENCE, Evidence, Finding, Severity
from pipelines.errors import UserError
from pipelines.training.serving_check import refuse_other_prompt

_N_SERVED = 64  # rows compared with serving: a template that differs does so in most rows of a kind
_N_RENDERED = 100  # rows rendered of all, and as many of those with a system turn or several rounds
_SWITCHES = re.compile(r"/(?:no_?think|think|system_override)\b")  # Qwen's and SmolLM3's templates obey and remove them


def unlike_serving(case: Case) -> Iterator[Finding]:
    """What is trained as the prompt is what a saved tokenizer renders as the prompt, token by token."""
    left_out = dropped_rows(case, "prompt_is_no_prefix")
    faults: dict[str, list[tuple[SeenRow, UserError]]] = {}
    chosen = _rows_to_serve(case)
    served_by = _saved_and_loaded(case.tokenizer) if chosen else case.tokenizer
    for row in chosen:
        try:
            refuse_other_prompt(served_by, conversation_of(case, row), row.whole[0])
        except UserError as error:
            faults.setdefault(str(error.finding), []).append((row, error))
    for finding_id, found in faults.items():
        yield _served_otherwise(case, finding_id, found, len(chosen))
    if left_out and "TRAINING_PROMPT_NOT_SERVED" not in faults:
        yield Finding(
            "TRAINING_PROMPT_NOT_SERVED",
            Severity.ERROR if are_too_many(case, len(left_out)) else Severity.WARNING,
            summary=f"{len(left_out)} of {len(case.train.rows)} rows are left out, since the template renders their "
            "prompt otherwise once an answer follows",
            why="a prompt that is served otherwise than it was trained puts the model where it never was",
            remedy="set chat_template_path to a template whose generation prompt is the header of every finished turn",
            evidence=rows_as_evidence(case, left_out),
            n_rows=len(left_out),
        )


def template_drops_text(case: Case) -> Iterator[Finding]:
    """The text of every turn stands in what is trained."""
    if not case.is_conversational:
        return
    rows = _rows_to_render(case)
    lost = [(row, message) for row in rows for message in _lost_messages(case, row)]
    system = [(row, message) for row, message in lost if message["role"] in ("system", "developer")]
    rest = [(row, message) for row, message in lost if message["role"] not in ("system", "developer")]
    for finding_id, what, found in (
        ("TEMPLATE_DROPS_SYSTEM", "the system turn", system),
        ("TEMPLATE_DROPS_TEXT", "text of a turn", rest),
    ):
        if found:
            yield _dropped_by_template(case, finding_id, what, found, len(rows))


def template_refuses_rows(case: Case) -> Iterator[Finding]:
    """No row is left out because the template raises an error on it."""
    left_out = dropped_rows(case, "template_refuses")
    if not left_out:
        return
    yield Finding(
        "TEMPLATE_REFUSES_ROWS",
        Severity.ERROR if are_too_many(case, len(left_out)) else Severity.WARNING,
        summary=f"the chat template refuses {len(left_out)} of {len(case.train.rows)} rows, which are left out",
        why="the model is not trained on what its own template does not take, such as system turns or two user turns "
        "in a row",
        remedy="set chat_template_path to a template that takes them, or mend the order of roles in these rows",
        evidence=rows_as_evidence(case, left_out),
        n_rows=len(left_out),
    )


def no_generation_marks(case: Case) -> Iterator[Finding]:
    """`assistant_only_loss` rests on marks in the template everywhere but here."""
    template = case.tokenizer.chat_template
    if not getattr(case.training, "assistant_only_loss", False) or not case.is_conversational or not template:
        return
    if not has_generation_markers(template):
        yield Finding(
            "NO_GENERATION_MARKS",
            Severity.NOTE,
            summary="assistant_only_loss: true, and the chat template has no {% generation %} marks",
            why="labels do not need the marks here, but TRL and other trainers would refuse the template or train "
            "nothing with it",
            remedy="nothing for this program; remove assistant_only_loss, or mark the answers in the template",
        )


def _rows_to_serve(case: Case) -> list[SeenRow]:
    """Rows whose prompt and end can be compared; those without the end token are another finding, and so is a template
    that the run refused, whose end of turn the tokenizer did not take over."""
    rows = [row for row in case.train.rows if row.messages and row.whole]
    if not rows or trains_whole_rows(case) or end_token_id(case) != case.tokenizer.eos_token_id:
        return []
    end = end_token_id(case)
    return spread([row for row in rows if row.whole[0].labels[-1] == end], _N_SERVED)


def _saved_and_loaded(tokenizer: PreTrainedTokenizerBase) -> PreTrainedTokenizerBase:
    """Loading makes an object of every merge; Python would look through all rows for garbage again and again, which
    takes three times as long as the loading (1.7 s for Qwen's tokenizer, 0.5 s without)."""
    collects = gc.isenabled()
    gc.disable()
    try:
        with tempfile.TemporaryDirectory() as folder:
            tokenizer.save_pretrained(folder)
            return AutoTokenizer.from_pretrained(folder)
    finally:
        if collects:
            gc.enable()


def _served_otherwise(case: Case, finding_id: str, found: list[tuple[SeenRow, UserError]], n_compared: int) -> Finding:
    error = found[0][1]
    return Finding(
        finding_id,
        Severity.ERROR,
        summary=f"{len(found)} of {n_compared} rows that were compared with serving differ: expected {error.expected}",
        why="a prompt or an end that is served otherwise than it was trained puts the model where it never was",
        remedy=error.remedy,
        evidence=tuple(
            Evidence(head(f"got {one.got}"), row.number, case.train.split) for row, one in found[:MAX_EVIDENCE]
        ),
        n_rows=len(found),
    )


def _rows_to_render(case: Case) -> list[SeenRow]:
    rows = [row for row in case.train.rows if row.messages and row.whole]
    roles = ("system", "developer")
    telling = [row for row in rows if len(row.messages) > 2 or row.messages[0]["role"] in roles]
    chosen = {row.number: row for row in (*spread(rows, _N_RENDERED), *spread(telling, _N_RENDERED))}
    return [chosen[number] for number in sorted(chosen)]


def _lost_messages(case: Case, row: SeenRow) -> Iterator[Mapping[str, Any]]:
    """Messages up to the last answer whose text is not in what the template renders. Thoughts of earlier turns are
    dropped on purpose, and results of tools may be written as JSON."""
    conversation = conversation_of(case, row)
    last = max(place for place, message in enumerate(conversation.messages) if message["role"] == "assistant")
    messages = conversation.messages[: last + 1]
    tools, arguments = conversation.tools, conversation.template_arguments
    text = _squeezed(str(case.tokenizer.apply_chat_template(messages, tools=tools, tokenize=False, **arguments)))
    for place, message in enumerate(messages):
        texts = [content_text(message)]
        if message["role"] == "assistant":
            texts = [texts[0].rpartition("</think>")[2]] if place < last else [*texts, _thoughts(message)]
        if message["role"] != "tool" and any(_squeezed(one) not in text for one in texts):
            yield message


def _thoughts(message: Mapping[str, Any]) -> str:
    return str(message.get("reasoning_content") or "")


def _squeezed(text: str) -> str:
    return "".join(_SWITCHES.sub("", text).split())


def _dropped_by_template(
    case: Case, finding_id: str, what: str, found: list[tuple[SeenRow, Mapping[str, Any]]], n_rendered: int
) -> Finding:
    n_rows = len({row.number for row, _ in found})
    ruined = {row.number for row, message in found if not message.get("tool_calls")}  # many leave out words to a call
    return Finding(
        finding_id,
        Severity.ERROR if len(ruined) >= MATERIAL_SHARE * n_rendered else Severity.WARNING,
        summary=f"the chat template drops {what} in {n_rows} of {n_rendered} rows that were rendered",
        why="the model is trained without text that the rows have, and nobody is told",
        remedy="set chat_template_path to a template that writes every turn, or leave this text out of the rows",
        evidence=tuple(
            Evidence(head(f"{message['role']}: {_thoughts(message)}{message['content']}"), row.number, case.train.split)
            for row, message in found[:MAX_EVIDENCE]
        ),
        n_rows=n_rows,
    )


CHECKS: tuple[Check, ...] = (
    end_token_not_trained, end_token_mismatch, unlike_serving, template_drops_text, template_refuses_rows,
    no_generation_marks,
)  # fmt: skip
