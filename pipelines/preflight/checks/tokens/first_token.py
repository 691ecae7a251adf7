"""Checks of the first token: exactly one BOS at the beginning of an example, where the model wants one."""

from collections.abc import Iterator

from pipelines.preflight.check_context import CheckContext, SampledRow, Stage
from pipelines.preflight.checks.excerpts import head
from pipelines.preflight.checks.sampled_rows import MATERIAL_SHARE
from pipelines.records.finding import MAX_EVIDENCE, Evidence, Finding, Severity

# Families whose bases were trained with BOS before every text, by model_type, and how they spell it. Another token in
# the role of BOS (<|im_start|> of SmolLM2, <|endoftext|> of GPT-2) begins no text.
_FAMILIES = ("llama", "mistral", "mixtral", "ministral", "gemma", "deepseek")
_NAMES = ("<s>", "<bos>", "<|begin_of_text|>", "<｜begin▁of▁sentence｜>")
_MISSING_SHARE = 0.5  # of the rows: BOS is a matter of the tokenizer or the template, so it lacks in all or in none
_N_TOKENS_SHOWN = 8


def double_bos(context: CheckContext) -> Iterator[Finding]:
    """No example begins with two BOS, and none stands inside plain text. A template may write one for each round."""
    bos = context.tokenizer.bos_token_id
    if context.stage is Stage.PRETRAIN or bos is None or bos == context.tokenizer.eos_token_id:
        return
    rows = [row for row in context.train.rows if row.whole]
    found = [row for row in rows if _has_two(row, bos)]
    if not found:
        return
    yield Finding(
        "DOUBLE_BOS",
        Severity.ERROR if len(found) >= MATERIAL_SHARE * len(rows) else Severity.WARNING,
        summary=f"{len(found)} of {len(rows)} rows have {context.tokenizer.bos_token} twice",
        why="the base was never trained on two BOS tokens, and serving adds only one",
        remedy=f"take {context.tokenizer.bos_token} from the rows' text"
        if not context.is_conversational
        else f"write {context.tokenizer.bos_token} once, at the start of the chat template (chat_template_path)",
        evidence=_beginnings(context, found),
        n_rows=len(found),
    )


def missing_bos(context: CheckContext) -> Iterator[Finding]:
    """Examples of a family that was trained with BOS begin with it."""
    tokenizer = context.tokenizer
    bos, family = tokenizer.bos_token_id, str(context.base.config.get_text_config().model_type)
    if context.stage is Stage.PRETRAIN or bos is None or bos == tokenizer.eos_token_id:
        return
    if tokenizer.bos_token not in _NAMES or not family.startswith(_FAMILIES):
        return
    rows = [row for row in context.train.rows if row.whole]
    found = [row for row in rows if any(example.token_ids[:1] != [bos] for example in row.whole)]
    if not found or len(found) < _MISSING_SHARE * len(rows):
        return
    yield Finding(
        "MISSING_BOS",
        Severity.WARNING,
        summary=f"{len(found)} of {len(rows)} rows do not begin with {tokenizer.bos_token}",
        why=f"bases of the family {family} were trained with BOS before every text and perform far worse without it",
        remedy="save the chat template as a .jinja file that begins with {{- bos_token -}}, and set chat_template_path "
        "to it: servers add nothing to the template's output"
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
    return tuple(
        Evidence(
            head(row.asked or row.answers[0]), row.number, context.train.split,
            context.labelled(row.whole[0], 0, _N_TOKENS_SHOWN),
        )
        for row in rows[:MAX_EVIDENCE]
    )  # fmt: skip
