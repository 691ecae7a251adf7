"""What several checks ask of a case: some of its rows, rows left out for a reason, a row's conversation, its end."""

from collections.abc import Sequence
from typing import cast

from trl import SFTConfig

from data_prep.conversation import Conversation, RowFormat, read_preference, read_row, row_format
from pipelines.modeling import end_token
from pipelines.modeling.chat_template import end_tokens, token_id_of
from pipelines.preflight.check_context import CheckContext, SampledRow, Stage
from pipelines.preflight.checks.excerpts import head
from pipelines.recipe.arguments import InstructionArguments
from pipelines.records.finding import MAX_EVIDENCE, Evidence
from pipelines.training.data.instruction_set import trains_every_token

MATERIAL_SHARE = 0.01  # of the rows: what is wrong in fewer is told, but does not ruin a run


def spread(rows: Sequence[SampledRow], n: int) -> list[SampledRow]:
    """At most `n` of `rows`, evenly from first to last."""
    return [rows[place * len(rows) // n] for place in range(n)] if len(rows) > n else list(rows)


def conversation_of(context: CheckContext, row: SampledRow) -> Conversation:
    """The conversation of a row that has messages, with its tools and the template's arguments."""
    if context.stage is Stage.DPO:
        read = read_preference(row.values)
        return Conversation([*read.prompt, read.chosen], read.tools, read.template_arguments, len(read.prompt))
    conversation = read_row(row.values, _format_of(context), cast(SFTConfig, context.training).dataset_text_field)
    assert isinstance(conversation, Conversation)  # plain text has no messages
    return conversation.marked(cast(InstructionArguments, context.data).train_on)


def trains_whole_rows(context: CheckContext) -> bool:
    """Whether the recipe puts prompts into the loss."""
    if context.stage is not Stage.SFT:
        return False
    return trains_every_token(_format_of(context), cast(SFTConfig, context.training), context.keys)


def _format_of(context: CheckContext) -> RowFormat:
    text_field, is_written = cast(SFTConfig, context.training).dataset_text_field, "dataset_text_field" in context.keys
    return row_format(context.train.columns, text_field, context.train.split, text_field_is_written=is_written)


def end_token_id(context: CheckContext) -> int:
    """The token that ends what is trained: the template's end of turn, EOS for plain text."""
    tokenizer = context.tokenizer
    return token_id_of(tokenizer, end_token(tokenizer) if context.is_conversational else str(tokenizer.eos_token))


def end_token_ids(context: CheckContext) -> set[int]:
    """All tokens that end what is trained: the template's ends of an answer and of a tool call, EOS for plain text."""
    tokenizer = context.tokenizer
    ends = end_tokens(tokenizer) if context.is_conversational else [str(tokenizer.eos_token)]
    return {token_id_of(tokenizer, end) for end in ends}


def dropped_rows(context: CheckContext, reason: str) -> list[SampledRow]:
    """Rows that are left out for a reason that begins with `reason`."""
    return [row for row in context.train.rows if row.reason is not None and row.reason.startswith(reason)]


def are_too_many(context: CheckContext, n_left_out: int) -> bool:
    """Whether more rows are left out than the recipe allows."""
    return n_left_out > float(getattr(context.data, "max_dropped_share", 0.0)) * len(context.train.rows)


def rows_as_evidence(context: CheckContext, rows: Sequence[SampledRow]) -> tuple[Evidence, ...]:
    """The first of `rows`, which are left out, with the reason."""
    return tuple(
        Evidence(f"{row.reason}: {head(row.asked or ' '.join(row.answers))}"[:160], row.number, context.train.split)
        for row in rows[:MAX_EVIDENCE]
    )
