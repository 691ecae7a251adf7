"""Check of the base's own template: the embedding rows of its special tokens were trained before."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

from pipelines.errors import UserError
from pipelines.modeling.chat.end_tokens import rendered_turn, special_tokens
from pipelines.modeling.chat_template import token_id_of
from pipelines.preflight.check_context import CheckContext
from pipelines.preflight.checks.evidence import Check
from pipelines.preflight.embedding_rows import Table, table_in_files
from pipelines.preflight.trained_weights import LoraPlan, lora_plan
from pipelines.records.finding import Evidence, Finding, Severity

# Distances and norms, as shares of the usual ones. Rows of reserved tokens are equal, zero, or the mean, with a noise
# of less than a thousandth; rows that are only close may still be told apart by the layers that LoRA trains.
_THE_SAME, _CLOSE = 0.02, 0.1
_N_NAMED = 5


@dataclass(frozen=True)
class _Likeness:
    """How a token's row in `table` shows that it was never trained; `distance` is a share of the usual one."""

    token: str
    table: str
    distance: float
    like: str


def marks_never_trained(context: CheckContext) -> Iterator[Finding]:
    """ADDED_TOKENS_UNTRAINED: special tokens of the base's own template whose rows the base never trained.

    LoRA leaves these rows as they are. A template of the recipe has them trained.
    """
    base = context.base
    own = context.is_conversational and context.tokenizer.chat_template and not context.new_tokens
    plan = lora_plan(context) if own and not base.from_scratch else None
    if plan is None:
        return
    marks = _marks(context)
    written = {token for token in marks if _is_label(context, token)}
    found = [*_like_others(context, plan, plan.embeddings_name, marks)]
    if not plan.is_tied:
        found += _like_others(context, plan, plan.head_name, sorted(written, key=marks.index))
    if not found:
        return
    names = list(dict.fromkeys(one.token for one in found))
    ruined = any(one.distance < _THE_SAME and one.token in written for one in found)
    tables = sorted({str(name).rpartition(".")[2] for name in (plan.embeddings_name, plan.head_name) if name})
    yield Finding(
        "ADDED_TOKENS_UNTRAINED",
        Severity.ERROR if ruined else Severity.WARNING,
        summary=f"{len(names)} special tokens of the base's own template were never trained, and LoRA does not train "
        f"them: {', '.join(names[:_N_NAMED])}",
        why="the model cannot write a token whose row is that of another one, the mean of all or zero, so it does not "
        "stop"
        if ruined
        else "the model can hardly tell such tokens from each other",
        remedy=f"set lora_modules_to_save: [{', '.join(tables)}]",
        evidence=tuple(
            Evidence(f"{one.token}: its row of {one.table} is {one.like} (distance {one.distance:.1%} of the usual)")
            for one in found[:_N_NAMED]
        ),
    )


def _marks(context: CheckContext) -> list[str]:
    """Special tokens that the template writes around a question and an answer, in their order."""
    try:
        text = "".join(rendered_turn(context.tokenizer))
    except UserError:  # another finding
        return []
    known = {token for token in special_tokens(context.tokenizer) if token in text}
    return sorted(known - {context.tokenizer.bos_token}, key=text.index)


def _is_label(context: CheckContext, token: str) -> bool:
    token_id = token_id_of(context.tokenizer, token)
    return any(token_id in example.labels for example in context.examples())


def _like_others(context: CheckContext, plan: LoraPlan, name: str | None, marks: Sequence[str]) -> list[_Likeness]:
    """The marks whose rows of a table that is not trained tell nothing of their own."""
    is_trained = name is None or name in plan.saved_tables or name in plan.adapted
    if is_trained or not marks or (plan.is_tied and plan.saved_tables):
        return []
    table = table_in_files(context.base.name, context.model.model_revision, str(name))
    ids = {token: token_id_of(context.tokenizer, token) for token in marks}
    if table is None or max(ids.values()) >= table.shape[0]:
        return []  # rows beyond the table are new, and trained
    return _compared(table, ids, str(name), min(len(context.tokenizer), table.shape[0]))


def _compared(table: Table, ids: dict[str, int], name: str, n_rows: int) -> list[_Likeness]:
    usual, rows = table.spread_rows(n_rows), table.rows(ids.values())
    mean, norm = usual.mean(0), float(usual.norm(dim=1).median())
    spread = float((usual - mean).norm(dim=1).median())
    if not norm or not spread:
        return []
    found = []
    for place, token in enumerate(ids):
        others = [(float((rows[place] - rows[n]).norm()) / spread, f"that of {other}")
                  for n, other in enumerate(ids) if n != place]  # fmt: skip
        likeness = [
            (float(rows[place].norm()) / norm, "zero"),
            (float(torch.dist(rows[place], mean)) / spread, "the mean of all rows"),
            *others,
        ]
        distance, like = next((one for one in likeness if one[0] < _THE_SAME), min(likeness))
        if distance < _CLOSE:
            found.append(_Likeness(token, name, distance, like))
    return found


CHECKS: tuple[Check, ...] = (marks_never_trained,)
