"""Checks of special tokens: the new ones are trained, and none comes out of a row's own text."""

from collections.abc import Iterator
from typing import cast

from peft import LoraConfig

from pipelines.modeling.chat_template import token_id_of
from pipelines.modeling.loading import adapter_config
from pipelines.preflight.check_context import CheckContext
from pipelines.preflight.checks.kind import Check
from pipelines.preflight.checks.tokens.rendered_rows import rendered_messages, rendered_text_rows
from pipelines.preflight.checks.tokens.special_tokens_in_text import template_marks_in_answer, template_marks_in_prompt
from pipelines.preflight.trained_weights import LoraPlan, lora_plan, n_rows_after_resizing
from pipelines.records.finding import Evidence, Finding, Severity

_N_NAMED = 5  # tokens named in a summary
_TABLES = ("embed_tokens", "wte", "lm_head", "embed_out")  # names of embeddings and heads in lora_modules_to_save


def added_tokens_untrained(context: CheckContext) -> Iterator[Finding]:
    """Tokens whose embeddings the base cannot know are trained: in the embeddings, and in the head if they are said.

    Full fine-tuning trains them. An adapter does where their rows are trained beside it (`lora_config`), where the
    whole table is, or where LoRA lies on it.
    """
    new_ids = _unknown_to_base(context)
    plan = _plan(context) if new_ids else None
    if plan is None:
        return
    said = [token_id for token_id in new_ids if any(token_id in example.labels for example in context.examples())]
    unread = [token_id for token_id in new_ids if not _is_trained(plan, plan.embeddings_name, token_id)]
    unsaid = [token_id for token_id in said if not _is_trained(plan, plan.head_name, token_id)]
    if unread or unsaid:
        yield _untrained(context, plan, sorted({*unread, *unsaid}), unsaid)


def _unknown_to_base(context: CheckContext) -> list[int]:
    """Ids of new tokens: the template's marks that are new to the base, and tokens of the rows that lie behind its
    last embedding."""
    tokenizer, n_rows = context.tokenizer, context.base.n_embedding_rows
    found = {token_id_of(tokenizer, token) for token in context.new_tokens}
    if len(tokenizer) > n_rows and not context.base.from_scratch:
        found |= {token_id for example in context.examples() for token_id in example.token_ids if token_id >= n_rows}
    return sorted(found)


def _plan(context: CheckContext) -> LoraPlan | None:
    """The adapter that will be trained: a new one, or the one that DPO goes on from; None for full fine-tuning."""
    if context.base.adapter is None:
        return lora_plan(context)
    config = cast(LoraConfig, adapter_config(context.base.adapter))
    return LoraPlan(config, context.base.skeleton, n_rows_after_resizing(context))


def _is_trained(plan: LoraPlan, table: str | None, token_id: int) -> bool:
    """Whether the row of a token in `table` changes. What is trained of a tied table is trained for both its names."""
    tables = [plan.embeddings_name, plan.head_name] if plan.is_tied else [table]
    indices = plan.config.trainable_token_indices
    rows = indices if isinstance(indices, dict) else {str(plan.embeddings_name): indices or []}
    by_rows = any(token_id in ids for name, ids in rows.items() for one in tables if _names(name, one))
    return by_rows or not set(plan.saved_tables).isdisjoint(tables) or table in plan.adapted


def _names(end: str, module: str | None) -> bool:
    return module is not None and (module == end or module.endswith(f".{end}"))


def _untrained(context: CheckContext, plan: LoraPlan, token_ids: list[int], unsaid: list[int]) -> Finding:
    names = [str(context.tokenizer.convert_ids_to_tokens(token_id)) for token_id in token_ids]
    where = "output head" if unsaid else "embeddings"
    only_tables = bool(plan.saved_names) and all(name.endswith(_TABLES) for name in plan.saved_names)
    keeps_out = plan.saved_names and context.base.adapter is None
    both = sorted({str(name).rpartition(".")[2] for name in (plan.embeddings_name, plan.head_name) if name})
    return Finding(
        "ADDED_TOKENS_UNTRAINED",
        Severity.ERROR if unsaid else Severity.WARNING,
        summary=f"{len(names)} tokens that are new to the base are not trained in its {where}: "
        f"{', '.join(names[:_N_NAMED])}",
        why="the row of a new token is the mean of all others, never the most likely: the model cannot write it"
        if unsaid
        else "untrained rows of new tokens are equal: the model cannot tell the start of a turn from its end",
        remedy=f"remove lora_modules_to_save, which keeps their rows from being trained, or set it to {both}"
        if keeps_out
        else f"set lora_modules_to_save: {both}",
        evidence=(Evidence(f"lora_modules_to_save: {plan.saved_names or 'none'}"),),
        fix={"lora_modules_to_save": None} if keeps_out and only_tables and context.new_tokens else {},
    )


CHECKS: tuple[Check, ...] = (
    added_tokens_untrained, template_marks_in_prompt, template_marks_in_answer, rendered_messages, rendered_text_rows,
)  # fmt: skip
