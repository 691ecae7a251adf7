"""Check before step 1 that each turn is trained after the token ids that a server will send."""

import gc
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from transformers import AutoTokenizer, PreTrainedTokenizerBase

from data_prep.conversation import Conversation, UnreadableRowError
from pipelines.errors import UserError
from pipelines.inference.teacher_forcing import IGNORED
from pipelines.modeling.assistant_masks import UnrenderableError
from pipelines.modeling.chat.dates import dated_template, pin_date
from pipelines.modeling.chat.template_input import template_messages
from pipelines.modeling.chat_template import end_tokens, token_id_of
from pipelines.modeling.serving_files import complete_tokenizer_config
from pipelines.training.data.labels import RowTokenizer
from pipelines.training.data.truncation import Example


def refuse_prompt_mismatch(how: RowTokenizer, rows: Iterable[Mapping[str, Any]], n_rows: int) -> int:
    """Compare the context of each trained turn of the first `n_rows` readable rows with the prompt of the tokenizer
    after saving and loading. Returns the number of rows compared.

    Raises `UserError` for the first context that differs, or a turn with an end at which serving does not stop.
    """
    served_by = reloaded_tokenizer(how.tokenizer)
    n_compared = 0
    for row in rows:
        if n_compared == n_rows:
            break
        try:
            conversation = how.read(row)
            examples = how.examples_of(conversation)
        except (UnreadableRowError, UnrenderableError):
            continue  # in the ledger as dropped
        if isinstance(conversation, Conversation):
            refuse_other_context(served_by, conversation, examples)
            n_compared += 1
    return n_compared


def reloaded_tokenizer(tokenizer: PreTrainedTokenizerBase) -> PreTrainedTokenizerBase:
    """Save and load `tokenizer`, as a server does after a run.

    Garbage collection is off meanwhile: loading creates an object for every merge, and collecting takes three times as
    long as loading (1.7 s for Qwen's tokenizer, 0.5 s without).
    """
    collects = gc.isenabled()
    gc.disable()
    try:
        with tempfile.TemporaryDirectory() as folder:
            tokenizer.save_pretrained(folder)
            complete_tokenizer_config(Path(folder), tokenizer)
            loaded = cast(PreTrainedTokenizerBase, AutoTokenizer.from_pretrained(folder))
    finally:
        if collects:
            gc.enable()
    loaded.name_or_path = tokenizer.name_or_path  # next to it is the generation config with the base's end tokens
    pin_date(loaded, getattr(tokenizer, "template_date", None))
    return loaded


def refuse_other_context(
    served_by: PreTrainedTokenizerBase, conversation: Conversation, examples: Sequence[Example]
) -> None:
    """Raise `UserError` unless each trained turn in `examples` has the context that `served_by` renders for it and ends
    where serving stops."""
    stops = {token_id_of(served_by, end) for end in end_tokens(served_by)}
    trained = [turn for example in examples for turn in _trained_turns(example)]
    for (context, last), turn in zip(trained, conversation.trained_turns(), strict=True):
        served = _served_context(served_by, conversation.before(turn))
        if context != served:
            raise UserError(
                f"the trained prompt ends with {served_by.decode(context)[-60:]!r}, the served one with "
                f"{served_by.decode(served)[-60:]!r}",
                "use a tokenizer and a template that render the same after saving (chat_template_path)",
                finding="TRAINING_PROMPT_NOT_SERVED",
            )
        if last not in stops:
            raise UserError(
                f"a trained turn ends with {served_by.decode([last])!r}, serving stops at "
                + " or ".join(end_tokens(served_by)),
                "set chat_template_path to a template that ends each answer with the eos_token",
                finding="END_TOKEN_MISMATCH",
            )


def _trained_turns(example: Example) -> Iterator[tuple[list[int], int]]:
    """Yield the context and the last token of each run of trained tokens."""
    begin = None
    for place, label in enumerate([*example.labels, IGNORED]):
        if label != IGNORED and begin is None:
            begin = place
        elif label == IGNORED and begin is not None:
            yield example.token_ids[:begin], example.token_ids[place - 1]
            begin = None


def _served_context(served_by: PreTrainedTokenizerBase, context: Conversation) -> list[int]:
    """Token ids from a server that renders messages with `apply_chat_template`."""
    messages = template_messages(served_by, context.messages)
    found = served_by.apply_chat_template(
        messages,
        tools=context.tools,
        chat_template=dated_template(served_by, context.tools),
        tokenize=True,
        add_generation_prompt=True,
        return_dict=False,
        **context.template_arguments,
    )
    return cast("list[int]", found)
