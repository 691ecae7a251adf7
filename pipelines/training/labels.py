"""Rows to tokens and labels: the loss is on the answer and its end token, never on the prompt."""

from typing import Any

from datasets import Dataset
from transformers import PreTrainedTokenizerBase

from pipelines.errors import UserError
from pipelines.modeling import PromptStyle, render_answer, render_prompt
from pipelines.training.ledger import Ledger

IGNORED = -100  # torch's and transformers' mark for a token that has no part in the loss


def tokens_and_labels(prompt_ids: list[int], answer_ids: list[int]) -> dict[str, list[int]]:
    """`input_ids` and `labels` of one row; `answer_ids` ends with the end token, which is trained."""
    return {"input_ids": [*prompt_ids, *answer_ids], "labels": [IGNORED] * len(prompt_ids) + answer_ids}


def tokenize_rows(rows: Dataset, tokenizer: PreTrainedTokenizerBase, max_length: int | None) -> tuple[Dataset, Ledger]:
    """Tokenize instruction rows by the tokenizer's chat template; a row over `max_length` tokens is dropped, not cut,
    because a cut answer teaches the model to break off. The ledger has every row's fate.

    Raises `UserError` if no row is left.
    """
    ledger = Ledger()
    kept: list[dict[str, Any]] = []
    for number, row in enumerate(rows):
        prompt_ids = render_prompt(tokenizer, row["instruction"], row["input"] or "", PromptStyle.CHAT)
        answer = render_answer(tokenizer, row["output"] or "", PromptStyle.CHAT)
        n_tokens = len(prompt_ids) + len(answer.token_ids)
        if answer.n_text_tokens == 0:
            ledger.drop(number, n_tokens, "empty_output")
        elif max_length is not None and n_tokens > max_length:
            ledger.drop(number, n_tokens, "longer_than_max_length")
        else:
            ledger.keep(n_tokens, len(answer.token_ids))
            kept.append(tokens_and_labels(prompt_ids, answer.token_ids))
    if not kept:
        raise UserError(
            expected=f"at least one row with an answer within max_length {max_length}",
            got=f"none of {ledger.n_rows}",
            remedy="raise max_length or check the output column",
        )
    return Dataset.from_list(kept), ledger
