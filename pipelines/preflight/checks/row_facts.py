"""What checks of rendered rows share: a row's conversation, its end tokens, and rows that are dropped."""

from collections.abc import Sequence
from typing import cast

from trl import SFTConfig

from data_prep.conversation import Conversation, RowFormat, read_preference, read_row, row_format
from pipelines.modeling import end_token
from pipelines.modeling.chat_template import end_tokens, token_id_of
from pipelines.preflight.check_context import CheckContext, SampledRow, Stage
from pipelines.preflight.checks.evidence import row_evidence
from pipelines.recipe.arguments import InstructionArguments
from pipelines.records.finding import Evidence
from pipelines.training.data.instruction_set import trains_every_token


def conversation_of(context: CheckContext, row: SampledRow) -> Conversation:
    """The conversation of a row that has messages, with its tools and the template's arguments."""
    if context.stage is Stage.DPO:
        read = read_preference(row.values)
        return Conversation([*read.prompt, read.chosen], read.tools, read.template_arguments, len(read.prompt))
    conversation = read_row(row.values, format_of(context), cast(SFTConfig, context.training).dataset_text_field)
    assert isinstance(conversation, Conversation)  # plain text has no messages
    return conversation.marked(cast(InstructionArguments, context.data).train_on)


def trains_whole_rows(context: CheckContext) -> bool:
    """Whether the recipe puts prompts into the loss."""
    if context.stage is not Stage.SFT:
        return False
    return trains_every_token(format_of(context), cast(SFTConfig, context.training), context.keys)


def format_of(context: CheckContext) -> RowFormat:
    """The format of the training rows."""
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


def without_thoughts(context: CheckContext) -> str:
    """How to serve and train without a think block, in the words of a remedy."""
    has_switch = "enable_thinking" in str(context.tokenizer.chat_template)
    column = 'give the rows a column chat_template_kwargs with {"enable_thinking": false}, or ' if has_switch else ""
    return f"{column}set chat_template_path to a template without the think block"


def dropped_rows(context: CheckContext, *reasons: str) -> list[SampledRow]:
    """Rows that are dropped for a reason that starts with one of `reasons`."""
    return [row for row in context.train.rows if row.reason is not None and row.reason.startswith(reasons)]


def are_too_many(context: CheckContext, n_dropped: int) -> bool:
    """Whether more rows are dropped than the recipe allows."""
    return n_dropped > float(getattr(context.data, "max_dropped_share", 0.0)) * len(context.train.rows)


def dropped_evidence(rows: Sequence[SampledRow]) -> tuple[Evidence, ...]:
    """The first dropped rows with the reason."""
    return row_evidence(rows, lambda row: f"{row.reason}: {row.asked or ' '.join(row.answers)}")
