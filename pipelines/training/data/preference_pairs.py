"""Preference rows to token ids: a prompt and two completions that end with the end token; the ledger has every row."""

import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from datasets import Dataset, Value, concatenate_datasets
from transformers import PreTrainedTokenizerBase
from trl import DPOConfig

from data_prep.conversation import (
    EQUAL_ANSWERS,
    PROMPT_COLUMNS,
    Message,
    Preference,
    UnreadableRowError,
    content_text,
    read_preference,
    unread_preference_columns,
)
from pipelines.errors import UserError
from pipelines.inference.teacher_forcing import IGNORED
from pipelines.modeling import end_token
from pipelines.modeling.assistant_masks import UnrenderableError, render_turns
from pipelines.recipe.arguments import PreferenceArguments, TruncationPolicy
from pipelines.training.data.ledger import Ledger, RowFate
from pipelines.training.data.rows import recipe_rows
from pipelines.training.data.truncation import with_shorter_prompt_text

_FORMATS = (
    "instruction + input + chosen + rejected, prompt + chosen + rejected (texts or messages), "
    "conversations + chosen + rejected, or chosen + rejected as whole conversations"
)
_PAIRS_IN_A_TABLE = 1000  # Python's lists of ids take ten times the memory of a table of them


@dataclass(frozen=True)
class PairTokens:
    """Token ids of one pair, under the names that TRL's collator takes."""

    prompt_ids: list[int]
    chosen_ids: list[int]
    rejected_ids: list[int]

    @property
    def n_trained(self) -> int:
        """Tokens of both completions."""
        return len(self.chosen_ids) + len(self.rejected_ids)

    @property
    def n_tokens(self) -> int:
        """Tokens of the two sequences that the model reads; the prompt is in both."""
        return 2 * len(self.prompt_ids) + self.n_trained

    @property
    def length(self) -> int:
        """Tokens of the longer sequence."""
        return len(self.prompt_ids) + max(len(self.chosen_ids), len(self.rejected_ids))


@dataclass(frozen=True)
class TokenizedPair:
    """A pair as it was read, and its tokens before (`whole`) and after truncation (`kept`). A pair that must stop the
    run has its `error`."""

    preference: Preference | None
    whole: PairTokens | None
    kept: PairTokens | None
    fate: RowFate = RowFate.DROPPED
    reason: str | None = None
    error: UserError | None = None


def tokenize_pair(
    row: Mapping[str, Any],
    number: int,
    tokenizer: PreTrainedTokenizerBase | None,
    max_length: int | None,
    long_rows: TruncationPolicy,
) -> TokenizedPair:
    """Read, render and truncate row `number`; without a tokenizer only read it."""
    preference = whole = None
    try:
        preference = read_preference(row)
        if tokenizer is None:
            return TokenizedPair(preference, None, None, RowFate.KEPT)
        whole = pair_tokens(preference, tokenizer)
        fate, kept = truncate_pair(preference, whole, tokenizer, max_length, long_rows, number)
    except (UnreadableRowError, UnrenderableError) as error:
        return TokenizedPair(preference, whole, None, reason=str(error))
    except UserError as error:
        return TokenizedPair(preference, whole, None, reason="refused", error=error)
    return TokenizedPair(preference, whole, kept, fate)


def tokenize_pairs(
    rows: Dataset,
    tokenizer: PreTrainedTokenizerBase,
    max_length: int | None,
    long_rows: TruncationPolicy,
    seen: dict[int, TokenizedPair] | None = None,
) -> tuple[Dataset, Ledger]:
    """Tokenize pairs into the columns prompt_ids, chosen_ids and rejected_ids, none longer than `max_length`. Those
    that the doctor has `seen`, by place, are taken out of it.

    Raises `UserError` if no pair is left, and for the first long row under the policy `error`.
    """
    ledger = Ledger()
    kept: list[PairTokens] = []
    tables: list[Dataset] = []
    for number, row in enumerate(rows):
        if len(kept) == _PAIRS_IN_A_TABLE:
            tables.append(_table(kept))
            kept = []
        known = seen.pop(number, None) if seen else None
        one = known or tokenize_pair(row, number, tokenizer, max_length, long_rows)
        if one.error is not None:
            raise one.error
        if one.kept is None:
            ledger.drop(number, one.whole.n_tokens if one.whole else 0, str(one.reason))
            continue
        n_lost = (one.whole or one.kept).n_tokens - one.kept.n_tokens
        ledger.enter(number, one.fate, None, one.kept.n_tokens, one.kept.n_trained, n_lost, 1)
        kept.append(one.kept)
    if kept:
        tables.append(_table(kept))
    if not tables:
        raise _none_left(ledger, max_length)
    return concatenate_datasets(tables), ledger


def chosen_rows(pairs: Dataset, n_rows: int) -> Dataset:
    """`input_ids` and `labels` of the first `n_rows` pairs with the chosen answer in the loss."""
    chosen = pairs.select(range(min(n_rows, len(pairs))))
    return chosen.map(
        lambda pair: tokens_and_labels(pair["prompt_ids"], pair["chosen_ids"]), remove_columns=pairs.column_names
    )


def tokens_and_labels(prompt_ids: list[int], answer_ids: list[int]) -> dict[str, list[int]]:
    """One supervised row with the answer and its end token in the loss."""
    return {"input_ids": [*prompt_ids, *answer_ids], "labels": [IGNORED] * len(prompt_ids) + answer_ids}


def _table(pairs: list[PairTokens]) -> Dataset:
    return Dataset.from_list([asdict(pair) for pair in pairs])


def pair_tokens(preference: Preference, tokenizer: PreTrainedTokenizerBase) -> PairTokens:
    """Tokenize the prompt as served, and each answer with its end token. Raises `UnrenderableError`."""
    prompt_ids, chosen_ids = _prompt_and_turn(preference, preference.chosen, tokenizer)
    same_prompt_ids, rejected_ids = _prompt_and_turn(preference, preference.rejected, tokenizer)
    if prompt_ids != same_prompt_ids:
        raise UnrenderableError("prompt_depends_on_the_answer")
    return PairTokens(prompt_ids, chosen_ids, rejected_ids)


def _prompt_and_turn(
    preference: Preference, answer: Message, tokenizer: PreTrainedTokenizerBase
) -> tuple[list[int], list[int]]:
    end = end_token(tokenizer)
    text = content_text(answer)
    if text.rstrip().endswith(end):  # the template writes it; two would teach the model to continue after the end
        answer = {**answer, "content": text.rstrip().removesuffix(end)}
    [[prompt, turn]] = render_turns(
        tokenizer,
        [*preference.prompt, answer],
        tools=preference.tools,
        trained_turns=[len(preference.prompt)],
        template_arguments=preference.template_arguments,
    )
    return prompt.token_ids, turn.token_ids


def truncate_pair(
    preference: Preference,
    whole: PairTokens,
    tokenizer: PreTrainedTokenizerBase,
    max_length: int | None,
    long_rows: TruncationPolicy,
    number: int,
) -> tuple[RowFate, PairTokens]:
    """Fit `whole` to `max_length` by the policy. Raises `UnrenderableError` with the reason why a row is dropped,
    and `UserError` for the policy ERROR."""
    if max_length is None or whole.length <= max_length:
        return RowFate.KEPT, whole
    if long_rows is TruncationPolicy.TRUNCATE_PROMPT:
        return RowFate.PROMPT_CUT, _with_shorter_prompt(preference, whole, tokenizer, max_length)
    if long_rows is TruncationPolicy.KEEP_END_TOKEN:
        return RowFate.ANSWER_CUT, _with_shorter_answers(whole, max_length)
    if long_rows is TruncationPolicy.ERROR:
        raise UserError(
            f"row {number} has {whole.length} tokens, more than max_length {max_length} (long_rows: error)",
            "raise max_length, or set long_rows: drop",
            finding="ROW_TOO_LONG",
        )
    raise UnrenderableError("longer_than_max_length")


def _with_shorter_prompt(
    preference: Preference, whole: PairTokens, tokenizer: PreTrainedTokenizerBase, max_length: int
) -> PairTokens:
    """Cut the left of the prompt's longest text; tokens at the cut may merge differently, so it is measured again."""
    pair, n_cut = whole, 0
    while pair.length > max_length:
        n_cut += pair.length - max_length
        prompt = with_shorter_prompt_text(preference.prompt, n_cut, tokenizer)
        if prompt is None:
            raise UnrenderableError("answer_longer_than_max_length")
        pair = pair_tokens(replace(preference, prompt=prompt), tokenizer)
    return pair


def _with_shorter_answers(whole: PairTokens, max_length: int) -> PairTokens:
    room = max_length - len(whole.prompt_ids)
    if room < 2:  # one token of text and the end token
        raise UnrenderableError("prompt_longer_than_max_length")
    chosen_ids, rejected_ids = (
        ids if len(ids) <= room else [*ids[: room - 1], ids[-1]] for ids in (whole.chosen_ids, whole.rejected_ids)
    )
    if chosen_ids == rejected_ids:
        raise UnrenderableError(f"{EQUAL_ANSWERS}_when_cut")
    return PairTokens(whole.prompt_ids, chosen_ids, rejected_ids)


def _none_left(ledger: Ledger, max_length: int | None) -> UserError:
    reasons = ledger.reasons()
    remedies = {
        EQUAL_ANSWERS: "check that the columns chosen and rejected hold different answers",
        "longer_than_max_length": "raise max_length, or set long_rows: truncate_prompt or keep_end_token",
    }
    return UserError(
        f"none of {ledger.n_rows} pairs is usable within max_length {max_length}"
        + "".join(f", {count} {reason}" for reason, count in reasons.items()),
        remedies.get(next(iter(reasons), ""), "check the prompt, chosen and rejected columns"),
    )


def refuse_other_columns(rows: Dataset, name: str) -> None:
    """Raise `UserError` with the columns and the known formats if `rows` are no preferences."""
    columns = rows.column_names
    has_prompt = any(column in columns for column in PROMPT_COLUMNS)
    if {"chosen", "rejected"} <= set(columns):
        holds_turns = not isinstance(rows.features["chosen"], Value)  # whole conversations, which begin with the prompt
        if has_prompt or holds_turns or not len(rows):
            return
    raise UserError(
        f"{name} has the columns {', '.join(columns)}, expected a preference format: {_FORMATS}",
        "map them with data_prep/build_preferences.py --column_map instruction=...,chosen=...,rejected=...",
    )


def preference_set(arguments: PreferenceArguments, training: DPOConfig) -> tuple[Dataset, Dataset | None]:
    """Load training and held-out rows. Raises `UserError` for a policy or columns that do not fit preferences, and as
    `recipe_rows`."""
    if arguments.long_rows is TruncationPolicy.SPLIT:  # half an answer cannot be preferred to half of another
        raise UserError(
            "long_rows is split, which pairs do not have", "set drop, truncate_prompt, keep_end_token or error"
        )
    train, held_out = recipe_rows(arguments, training.seed, evaluates=training.eval_strategy != "no")
    for rows in filter(None, (train, held_out)):
        refuse_other_columns(rows, arguments.dataset_name or "datasets")
    unread = unread_preference_columns(train.column_names)
    if unread and training.process_index == 0:
        print(f"ignored in the pairs: {', '.join(unread)}", file=sys.stderr, flush=True)
    return train, held_out
