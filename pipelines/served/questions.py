"""The prompts that are compared, as the trained model's own template and tokenizer write them."""

import random
from collections.abc import Hashable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import PreTrainedTokenizerBase

from data_prep.conversation import Conversation, Message
from pipelines.errors import UserError
from pipelines.evaluation.prompts.prompt import Prompt
from pipelines.evaluation.prompts.run_prompts import prompts_of_run
from pipelines.modeling.assistant_masks import UnrenderableError, chat_token_ids, prompt_text, prompt_token_ids


@dataclass(frozen=True)
class Question:
    """A prompt: its messages (None for plain text, which is continued), its text, its token ids, and the group of rows
    that depend on each other."""

    messages: list[Message] | None
    text: str
    token_ids: list[int]
    template_arguments: dict[str, Any]
    group: Hashable


@dataclass(frozen=True)
class Questions:
    """The prompts, where they came from, and how many rows were left out for each reason."""

    asked: list[Question]
    source: str
    left_out: dict[str, int]

    @property
    def are_chats(self) -> bool:
        """Whether the prompts go through a chat template: all do, or none does."""
        return self.asked[0].messages is not None


def read_questions(
    tokenizer: PreTrainedTokenizerBase,
    run: str,
    path: Path | None,
    split: str,
    *,
    limit: int,
    seed: int,
    n_positions: int | None,
) -> Questions:
    """Draw up to `limit` prompts that fit into `n_positions` tokens. Raises `UserError` as `prompts_of_run`, and if
    none is left."""
    prompts, source = prompts_of_run(run, path, split, seed)
    asked: list[Question] = []
    left_out: dict[str, int] = {}
    for prompt in random.Random(seed).sample(prompts, len(prompts)):
        if len(asked) == limit:
            break
        found = _question(tokenizer, prompt)
        if not isinstance(found, str) and n_positions is not None and len(found.token_ids) > n_positions:
            found = "too long"
        if isinstance(found, str):
            left_out[found] = left_out.get(found, 0) + 1
        else:
            asked.append(found)
    if not asked:
        raise UserError(f"no prompt in {source} can be asked: {left_out}", "give other --prompts")
    return Questions(asked, source, left_out)


def _question(tokenizer: PreTrainedTokenizerBase, prompt: Prompt) -> Question | str:
    """Return the question, or the reason why it is left out."""
    asked = prompt.asked
    if not tokenizer.chat_template:
        text = prompt.full_text
        return Question(None, text, prompt_token_ids(tokenizer, text), {}, prompt.dependence)
    if not isinstance(asked, Conversation):
        return "plain text"
    if asked.tools:
        return "tools"  # engines cut calls out of the answer's text
    arguments = dict(asked.template_arguments or {})
    try:
        text = prompt_text(tokenizer, asked.messages, None, arguments)
    except UnrenderableError:
        return "not rendered by the template"
    return Question(asked.messages, text, chat_token_ids(tokenizer, text), arguments, prompt.dependence)
