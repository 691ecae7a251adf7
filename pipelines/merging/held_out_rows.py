"""The rows that a merge is verified on, rendered as in training; as many as the disk space for logits allows."""

import random
from dataclasses import dataclass
from pathlib import Path

from transformers import PreTrainedTokenizerBase

from data_prep.conversation import Conversation, Message
from data_prep.dataset_folder import is_dataset_folder, read_manifest
from pipelines.errors import UserError
from pipelines.evaluation.prompts.prompt import Prompt
from pipelines.evaluation.prompts.prompt_sets import held_out_prompts
from pipelines.hub.model_ref import value_in_records
from pipelines.modeling import PromptStyle, render_answer, render_prompt

# For a proof without held-out rows: several languages, code, numbers, lists.
FALLBACK_PROMPTS = (
    ("What is the capital of France?", "The capital of France is Paris."),
    ("What is 17 plus 25?", "17 plus 25 is 42."),
    ("Explain in one sentence why the sky is blue.", "Air scatters blue light more than red light."),
    ("Write a Python function add(a, b).", "def add(a, b):\n    return a + b\n"),
    ("Write a Python function is_even(n).", "def is_even(n: int) -> bool:\n    return n % 2 == 0\n"),
    ("What does this print?\n\nfor i in range(3):\n    print(i)", "0\n1\n2"),
    ("Write an SQL query that counts the rows of the table users.", "SELECT COUNT(*) FROM users;"),
    ("Translate into German: Good morning, how are you?", "Guten Morgen, wie geht es dir?"),
    ("Traduisez en anglais : Le chat dort sur la chaise.", "The cat sleeps on the chair."),
    ("¿Cuántos lados tiene un triángulo?", "Un triángulo tiene tres lados."),
    ("水は何度で沸騰しますか。", "一気圧では百度で沸騰します。"),
    ("一年有几个季节？", "一年有四个季节。"),
    ("Сколько дней в неделе?", "В неделе семь дней."),
    ("كم عدد أيام الأسبوع؟", "سبعة أيام."),
    ("Give the opposite of each word: hot, tall, early.", "cold, short, late"),
    ("Sort these numbers from small to large: 9, 4, 11, 2.", "2, 4, 9, 11"),
)
_MAX_LOGIT_BYTES = 2**30  # of one model, in float32, on disk while the proof runs
_HELD_OUT = ("validation", "test")


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
    """The rows of `path`, else the held-out rows of the dataset that `adapter` was trained on, else the fallback
    prompts.

    Raises `UserError` for a `path` that cannot be read, and if no prompt leaves room for an answer.
    """
    if path is not None:
        prompts = held_out_prompts(path, split, limit=None, seed=limits.seed)
        source = f"{split} split of {path}" if is_dataset_folder(path) else str(path)
    else:
        prompts, source = _of_the_run(adapter) or (_fallback_prompts(), "fallback prompts")
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


def _of_the_run(adapter: str) -> tuple[list[Prompt], str] | None:
    """The held-out rows of the run of `adapter`, None where they can no longer be read."""
    path = Path(str(value_in_records(adapter, "recipe").get("dataset_name")))
    if not is_dataset_folder(path):
        return None
    held_out = next((split for split in _HELD_OUT if read_manifest(path)["n_rows"].get(split, 0) > 1), None)
    if held_out is None:
        return None
    try:
        rows = held_out_prompts(path, held_out, limit=None, seed=0)
    except UserError:  # rows of another kind, such as texts
        return None
    return rows, f"{held_out} split of {path}"


def _fallback_prompts() -> list[Prompt]:
    return [Prompt(number, asked, reference=answer) for number, (asked, answer) in enumerate(FALLBACK_PROMPTS)]
