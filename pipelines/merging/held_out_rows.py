"""The rows that a merge is verified on, rendered as in training; as many as the disk space for logits allows."""

import random
from dataclasses import dataclass
from pathlib import Path

from transformers import PreTrainedTokenizerBase

from data_prep.conversation import Conversation, Message
from pipelines.errors import UserError
from pipelines.evaluation.prompts.run_prompts import prompts_of_run
from pipelines.modeling import PromptStyle, render_answer, render_prompt

_MAX_LOGIT_BYTES = 2**30  # of one model, in float32, on disk while the proof runs


@dataclass(frozen=True)
class HeldOutRows:
    """Token ids of the same questions: `rows` with their answers (if known), `prompts` without. `messages` are those
    questions that are chats, `source` names where they came from."""

    rows: list[list[int]]
    prompts: list[list[int]]
    messages: list[list[Message]]
    source: str


@dataclass(frozen=True)
class RowLimits:
    """At most `n_rows`, drawn with `seed`, and room for `max_new_tokens`. `max_positions` is the model's, None if its
    config has none."""

    n_rows: int
    seed: int
    max_new_tokens: int
    max_positions: int | None
    vocab_size: int


def held_out_rows(
    tokenizer: PreTrainedTokenizerBase, adapter: str, path: Path | None, split: str, limits: RowLimits
) -> HeldOutRows:
    """The rows of `prompts_of_run`.

    Raises `UserError` for a `path` that cannot be read, and if no prompt leaves room for an answer.
    """
    prompts, source = prompts_of_run(adapter, path, split, limits.seed)
    style = PromptStyle.CHAT if tokenizer.chat_template else PromptStyle.PLAIN
    found = HeldOutRows([], [], [], source)
    n_positions = 0
    for prompt in random.Random(limits.seed).sample(prompts, len(prompts)):
        asked = render_prompt(tokenizer, prompt.asked, style)
        if limits.max_positions is not None and len(asked) + limits.max_new_tokens > limits.max_positions:
            continue
        answer = render_answer(tokenizer, prompt.reference, style).token_ids if prompt.reference else []
        row = [*asked, *answer][: limits.max_positions]
        n_positions += len(row)
        full = len(found.rows) == limits.n_rows
        if full or (found.rows and n_positions * limits.vocab_size * 4 > _MAX_LOGIT_BYTES):
            break
        found.rows.append(row)
        found.prompts.append(asked)
        if isinstance(prompt.asked, Conversation) and not prompt.asked.tools:
            found.messages.append(prompt.asked.messages)
    if not found.rows:
        problem = f"no prompt in {source} leaves room for {limits.max_new_tokens} new tokens of {limits.max_positions}"
        raise UserError(problem, "give shorter --prompts or a smaller --max_new_tokens")
    return found
