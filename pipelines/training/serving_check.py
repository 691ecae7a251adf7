"""Before step 1: what the model is trained to answer is what `generate.py` will put to it, token by token."""

import tempfile
from collections.abc import Iterable, Mapping
from typing import Any

from transformers import AutoTokenizer, PreTrainedTokenizerBase

from data_prep.conversation import Conversation, UnreadableRowError
from pipelines.errors import UserError
from pipelines.modeling.spans import UnrenderableError, prompt_token_ids
from pipelines.training.labels import RowTokenizer
from pipelines.training.long_rows import IGNORED, Example


def refuse_unlike_serving(how: RowTokenizer, rows: Iterable[Mapping[str, Any]], n_rows: int) -> int:
    """Compare the training prompt of the first `n_rows` readable rows with the prompt that the tokenizer renders after
    it was saved and loaded again, as a served model's is. Returns how many were compared.

    Raises `UserError` for the first prompt that differs, or that ends in another token than serving stops at.
    """
    with tempfile.TemporaryDirectory() as folder:
        how.tokenizer.save_pretrained(folder)
        served_by = AutoTokenizer.from_pretrained(folder)
    n_compared = 0
    for row in rows:
        if n_compared == n_rows:
            break
        try:
            conversation = how.read(row)
            examples = how.examples_of(conversation)
        except (UnreadableRowError, UnrenderableError):
            continue  # the ledger has it as dropped
        if isinstance(conversation, Conversation):
            refuse_other_prompt(served_by, conversation, examples[0])
            n_compared += 1
    return n_compared


def refuse_other_prompt(served_by: PreTrainedTokenizerBase, conversation: Conversation, example: Example) -> None:
    """Raise `UserError` unless `example` is `conversation` as `served_by` serves it, and ends where serving stops."""
    n_prompt = next(place for place, label in enumerate(example.labels) if label != IGNORED)
    trained, served = example.token_ids[:n_prompt], _served_prompt(served_by, conversation)
    if trained != served:
        raise UserError(
            expected="the prompt that is trained to be the prompt that is served",
            got=f"{served_by.decode(trained)[-60:]!r} trained, {served_by.decode(served)[-60:]!r} served",
            remedy="use a tokenizer and template that render alike after saving (chat_template_path)",
            finding="TRAINING_PROMPT_NOT_SERVED",
        )
    if example.labels[-1] != served_by.eos_token_id:
        raise UserError(
            expected=f"the last trained token of a row to be {served_by.eos_token}, at which serving stops",
            got=repr(served_by.decode([example.token_ids[-1]])),
            remedy="set chat_template_path to a template that ends each answer with the eos_token",
            finding="END_TOKEN_MISMATCH",
        )


def _served_prompt(served_by: PreTrainedTokenizerBase, conversation: Conversation) -> list[int]:
    first = conversation.trained_turns()[0]
    text = served_by.apply_chat_template(
        conversation.messages[:first],
        tools=conversation.tools,
        tokenize=False,
        add_generation_prompt=True,
        **conversation.template_arguments,
    )
    return prompt_token_ids(served_by, str(text))
