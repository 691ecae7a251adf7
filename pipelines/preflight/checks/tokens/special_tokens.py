"""Checks of special tokens: new ones are trained, and rows have none in their text."""

from collections.abc import Iterator
from typing import cast

from peft import LoraConfig

from pipelines.modeling.chat_template import token_id_of
from pipelines.modeling.loading import adapter_config
from pipelines.preflight.check_context import CheckContext
from pipelines.preflight.checks.evidence import Check
from pipelines.preflight.checks.tokens.rendered_rows import rendered_messages, rendered_text_rows
from pipelines.preflight.checks.tokens.special_tokens_in_text import template_marks_in_answer, template_marks_in_prompt
from pipelines.preflight.trained_weights import LoraPlan, lora_plan, n_rows_after_resizing
from pipelines.records.finding import Evidence, Finding, Severity

_N_NAMED = 5  # tokens named in a summary
_TABLES = ("embed_tokens", "wte", "lm_head", "embed_out")  # names of embeddings and heads in lora_modules_to_save


def added_tokens_untrained(context: CheckContext) -> Iterator[Finding]:
    """ADDED_TOKENS_UNTRAINED: tokens new to the base whose rows of the embeddings or the head are not trained.

    Full fine-tuning trains them. An adapter does if it trains their rows (`lora_config`), the whole table, or LoRA on
    it.
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
    """Ids of the template's new tokens, and of tokens in the rows beyond the base's last embedding."""
    tokenizer, n_rows = context.tokenizer, context.base.n_embedding_rows
    found = {token_id_of(tokenizer, token) for token in context.new_tokens}
    if len(tokenizer) > n_rows and not context.base.from_scratch:
        found |= {token_id for example in context.examples() for token_id in example.token_ids if token_id >= n_rows}
    return sorted(found)


def _plan(context: CheckContext) -> LoraPlan | None:
    """The adapter that will be trained: a new one, or the one that is trained further; None for full fine-tuning."""
    if context.base.adapter is None:
        return lora_plan(context)
    config = cast(LoraConfig, adapter_config(context.base.adapter))
    return LoraPlan(config, context.base.skeleton, n_rows_after_resizing(context))


def _is_trained(plan: LoraPlan, table: str | None, token_id: int) -> bool:
    """Whether the row of a token in `table` is trained. A tied table is trained under either name."""
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
        why="an untrained row is the mean of all others and never the most likely one: the model cannot write the token"
        if unsaid
        else "untrained rows are identical: the model cannot tell the start of a turn from its end",
        remedy=f"remove lora_modules_to_save, or set it to {both}"
        if keeps_out
        else f"set lora_modules_to_save: {both}",
        evidence=(Evidence(f"lora_modules_to_save: {plan.saved_names or 'none'}"),),
        fix={"lora_modules_to_save": None} if keeps_out and only_tables and context.new_tokens else {},
    )


CHECKS: tuple[Check, ...] = (
    added_tokens_untrained, template_marks_in_prompt, template_marks_in_answer, rendered_messages, rendered_text_rows,
)  # fmt: skip
