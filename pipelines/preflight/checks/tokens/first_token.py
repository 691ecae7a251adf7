"""Checks of the first token: exactly one BOS at the beginning of an example, where the model wants one."""

from collections.abc import Iterator

from pipelines.preflight.check_context import CheckContext, SampledRow, Stage
from pipelines.preflight.checks.evidence import error_if_material, row_evidence
from pipelines.records.finding import Evidence, Finding, Severity

# Families whose bases were trained with BOS before every text, by model_type, and their BOS. Other BOS tokens
# (<|im_start|> of SmolLM2, <|endoftext|> of GPT-2) begin no text.
_FAMILIES = ("llama", "mistral", "mixtral", "ministral", "gemma", "deepseek")
_NAMES = ("<s>", "<bos>", "<|begin_of_text|>", "<｜begin▁of▁sentence｜>")
_MISSING_SHARE = 0.5  # of the rows: tokenizer or template decide, so BOS is missing in all rows or in none
_N_TOKENS_SHOWN = 8


def double_bos(context: CheckContext) -> Iterator[Finding]:
    """DOUBLE_BOS: two BOS at the beginning, or one inside plain text. A template may write one for each round."""
    bos, name = context.tokenizer.bos_token_id, context.tokenizer.bos_token
    if context.stage is Stage.PRETRAIN or bos is None or bos == context.tokenizer.eos_token_id:
        return
    rows = [row for row in context.train.rows if row.whole]
    if found := [row for row in rows if _has_two(row, bos)]:
        yield Finding(
            "DOUBLE_BOS",
            error_if_material(len(found), len(rows)),
            summary=f"{len(found)} of {len(rows)} rows have {name} twice",
            why="the base never saw a second BOS, and a server does not add it",
            remedy=f"write {name} once, at the start of the chat template (chat_template_path)"
            if context.is_conversational
            else f"remove {name} from the rows' text",
            evidence=_beginnings(context, found),
            n_rows=len(found),
        )


def missing_bos(context: CheckContext) -> Iterator[Finding]:
    """MISSING_BOS: examples without BOS for a family that was trained with it."""
    tokenizer = context.tokenizer
    bos, family = tokenizer.bos_token_id, str(context.base.config.get_text_config().model_type)
    if context.stage is Stage.PRETRAIN or bos is None or bos == tokenizer.eos_token_id:
        return
    if tokenizer.bos_token not in _NAMES or not family.startswith(_FAMILIES):
        return
    rows = [row for row in context.train.rows if row.whole]
    found = [row for row in rows if any(example.token_ids[:1] != [bos] for example in row.whole)]
    if found and len(found) >= _MISSING_SHARE * len(rows):
        yield Finding(
            "MISSING_BOS",
            Severity.WARNING,
            summary=f"{len(found)} of {len(rows)} rows do not begin with {tokenizer.bos_token}",
            why=f"bases of the family {family} were trained with BOS before every text and are far worse without it",
            remedy="set chat_template_path to a copy of the chat template that begins with {{- bos_token -}}; servers "
            "add nothing to what a template writes"
            if context.is_conversational
            else f"begin the text of each row with {tokenizer.bos_token}",
            evidence=_beginnings(context, found),
            n_rows=len(found),
        )


def _has_two(row: SampledRow, bos: int) -> bool:
    if any(example.token_ids[:2] == [bos, bos] for example in row.whole):
        return True
    return not row.messages and any(example.token_ids.count(bos) > 1 for example in row.whole)


def _beginnings(context: CheckContext, rows: list[SampledRow]) -> tuple[Evidence, ...]:
    return row_evidence(
        rows, lambda row: row.asked or row.answers[0], lambda row: context.labelled(row.whole[0], 0, _N_TOKENS_SHOWN)
    )
