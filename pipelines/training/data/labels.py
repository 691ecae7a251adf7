"""Rows to token ids and labels: the loss is on assistant turns and their end tokens, never on a prompt."""

import sys
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import groupby
from operator import itemgetter
from typing import Any

import datasets
from datasets import Dataset, Features, List, Value
from transformers import PreTrainedTokenizerBase

from data_prep.conversation import (
    Conversation,
    PlainText,
    RowFormat,
    TrainOn,
    UnreadableRowError,
    read_row,
)
from pipelines.errors import UserError
from pipelines.inference.teacher_forcing import IGNORED
from pipelines.modeling.assistant_masks import (
    AssistantTurn,
    Segment,
    UnrenderableError,
    assistant_turns,
    inner_token_ids,
    prompt_token_ids,
    tokenize_turns,
)
from pipelines.modeling.chat_template import end_token, token_id_of
from pipelines.recipe.arguments import TruncationPolicy
from pipelines.training.data.ledger import Ledger, RowFate
from pipelines.training.data.truncation import (
    Example,
    TruncatedRow,
    truncate_row,
    with_shorter_prompt_text,
    without_left,
)

_IN_MEMORY_ROWS = 100_000  # about 1 GB of tokens; more go through a memory-mapped file
_ID_LIST = List(Value("int32"))
_FEATURES = Features(
    {
        "input_ids": _ID_LIST, "labels": _ID_LIST, "row": Value("int64"), "fate": Value("string"),
        "reason": Value("string"), "n_lost": Value("int64"),
    }
)  # fmt: skip


@dataclass(frozen=True)
class TokenizedRow:
    """A row as it was read, and its examples before (`whole`) and after truncation (`fitted`). A row that must stop the
    run has its `error`; a dropped row has the reason in `fitted`."""

    read: Conversation | PlainText | None
    whole: list[Example]
    fitted: TruncatedRow
    error: UserError | None = None


@dataclass(frozen=True)
class RowTokenizer:
    """Turns rows of one dataset into examples. `train_on` chooses the turns in the loss; `whole_sequence` puts every
    token into it, prompts included."""

    tokenizer: PreTrainedTokenizerBase
    kind: RowFormat
    max_length: int | None
    policy: TruncationPolicy = TruncationPolicy.DROP
    text_field: str = "text"
    whole_sequence: bool = False
    train_on: TrainOn = TrainOn.ALL_TURNS

    def read(self, row: Mapping[str, Any]) -> Conversation | PlainText:
        """Read `row` as a conversation with its trained turns marked, or as plain text.

        Raises `UnreadableRowError`, also if no turn is trained.
        """
        read = read_row(row, self.kind, self.text_field)
        if isinstance(read, PlainText):
            return read
        if self.whole_sequence:
            return replace(read, marks=())
        marked = read.marked(self.train_on)
        if not marked.trained_turns() and any(turn >= read.first_trained for turn in read.assistant_turns):
            raise UnreadableRowError("no_trained_turn")
        return marked

    def examples(self, row: Mapping[str, Any], number: int) -> TruncatedRow:
        """The examples of row `number`, or why there are none. Raises `UserError` for the policy ERROR."""
        [tokenized] = self.tokenize([row], [number])
        if tokenized.error is not None:
            raise tokenized.error
        return tokenized.fitted

    def tokenize(self, rows: Iterable[Mapping[str, Any]], numbers: Iterable[int]) -> list[TokenizedRow]:
        """Read, render and truncate each row; the turns of all rows are tokenized at once."""
        begun = [self._begun(row) for row in rows]
        made = iter(self._examples_of_turns([turns for _, turns in begun if turns]))
        return [
            self._truncated(one, next(made) if turns else one.whole, number)
            for (one, turns), number in zip(begun, numbers, strict=True)
        ]

    def read_only(self, row: Mapping[str, Any]) -> TokenizedRow:
        """The row as it was read, without tokens."""
        try:
            return TokenizedRow(self.read(row), [], TruncatedRow([]))
        except UnreadableRowError as error:
            return TokenizedRow(None, [], TruncatedRow([], RowFate.DROPPED, 0, str(error)))

    def _begun(self, row: Mapping[str, Any]) -> tuple[TokenizedRow, list[AssistantTurn]]:
        """The row as it was read, with the examples of plain text or the turns of a conversation."""
        read = None
        try:
            read = self.read(row)
            if isinstance(read, PlainText):
                return TokenizedRow(read, self.examples_of(read), TruncatedRow([])), []
            return TokenizedRow(read, [], TruncatedRow([])), self._turns_of(read)
        except (UnreadableRowError, UnrenderableError) as error:
            return TokenizedRow(read, [], TruncatedRow([], RowFate.DROPPED, 0, str(error))), []
        except UserError as error:
            return TokenizedRow(read, [], TruncatedRow([], RowFate.DROPPED, 0, "refused"), error), []

    def _truncated(self, row: TokenizedRow, whole: list[Example], number: int) -> TokenizedRow:
        if not whole or row.read is None:
            return row
        if self.max_length is None or max(map(len, whole)) <= self.max_length:
            return replace(row, whole=whole, fitted=TruncatedRow(whole))
        try:
            fitted = truncate_row(
                whole,
                self.max_length,
                self.policy,
                row=number,
                end_token_id=self._end_token_id(row.read),
                with_shorter_prompt=partial(self._with_shorter_prompt, row.read),
            )
        except UserError as error:
            fitted = TruncatedRow([], RowFate.DROPPED, sum(map(len, whole)), "refused")
            return replace(row, whole=whole, fitted=fitted, error=error)
        return replace(row, whole=whole, fitted=fitted)

    def examples_of(self, read: Conversation | PlainText) -> list[Example]:
        """Make the examples of a row before truncation. Raises `UnrenderableError`."""
        if isinstance(read, PlainText):
            return [self._example(self._plain_segments(read))]
        return self._examples_of_turns([self._turns_of(read)])[0]

    def _turns_of(self, read: Conversation) -> list[AssistantTurn]:
        given = {"tools": read.tools, "trained_turns": read.trained_turns()}
        return assistant_turns(self.tokenizer, read.messages, template_arguments=read.template_arguments, **given)

    def _examples_of_turns(self, rows: Sequence[list[AssistantTurn]]) -> list[list[Example]]:
        return [[self._example(one) for one in row] for row in tokenize_turns(self.tokenizer, rows)]

    def prompt_ids(self, row: Mapping[str, Any]) -> list[int]:
        """The prompt before the first trained token of `row`; empty without one."""
        try:
            first = self.examples_of(self.read(row))[0]
        except (UnreadableRowError, UnrenderableError):
            return []
        n_prompt = next((place for place, label in enumerate(first.labels) if label != IGNORED), 0)
        return first.token_ids[:n_prompt]

    def _end_token_id(self, read: Conversation | PlainText) -> int:
        plain = isinstance(read, PlainText)
        return token_id_of(self.tokenizer, str(self.tokenizer.eos_token) if plain else end_token(self.tokenizer))

    def _plain_segments(self, text: PlainText) -> list[Segment]:
        if not text.completion.strip():
            raise UnreadableRowError("empty_output")
        tokenizer = self.tokenizer
        prompt = prompt_token_ids(tokenizer, text.prompt) if text.prompt else []
        whole = inner_token_ids(tokenizer, text.completion) if text.prompt else tokenizer(text.completion)["input_ids"]
        end = [] if whole[-1:] == [tokenizer.eos_token_id] else [tokenizer.eos_token_id]
        return [Segment(prompt, False), Segment([*whole, *end], True)]

    def _example(self, segments: list[Segment]) -> Example:
        token_ids = [token_id for segment in segments for token_id in segment.token_ids]
        if self.whole_sequence:
            return Example(token_ids, list(token_ids))
        labels = [
            label
            for segment in segments
            for label in (segment.token_ids if segment.trained else [IGNORED] * len(segment.token_ids))
        ]
        return Example(token_ids, labels)

    def _with_shorter_prompt(self, read: Conversation | PlainText, n_tokens: int) -> list[Example]:
        """Render the row without the first `n_tokens` of its longest prompt text; no example if that is shorter."""
        if isinstance(read, PlainText):
            left = without_left(read.prompt, n_tokens, self.tokenizer)
            return [] if left is None else self.examples_of(replace(read, prompt=left))
        messages = with_shorter_prompt_text(read.messages, n_tokens, self.tokenizer)
        return [] if messages is None else self.examples_of(replace(read, messages=messages))


def tokenize_rows(
    rows: Dataset, how: RowTokenizer, *, seen: dict[int, TokenizedRow] | None = None, num_proc: int | None = None
) -> tuple[Dataset, Ledger]:
    """Tokenize `rows`: `input_ids` and `labels` of every example, and the ledger with every row's fate.

    Rows that the doctor has `seen`, by place, are taken out of it and not tokenized again, unless there are several
    processes. Nothing is cached between runs, so that rows of an old template are never reused. Raises `UserError` if
    no row is left.
    """
    if not sys.stderr.isatty():
        datasets.disable_progress_bars()
    tokenized = rows.map(
        partial(_tokenize_batch, how=how, seen={} if seen is None or num_proc else seen),
        batched=True,
        with_indices=True,
        remove_columns=rows.column_names,
        features=_FEATURES,
        num_proc=num_proc,
        load_from_cache_file=False,
        new_fingerprint=uuid.uuid4().hex,  # avoids pickling and hashing the tokenizer for an unused cache
        keep_in_memory=len(rows) <= _IN_MEMORY_ROWS,
    )
    ledger = _ledger_of(tokenized)
    if ledger.n_tokens_trained == 0:
        raise UserError(
            f"no row of {ledger.n_rows} has an answer within max_length {how.max_length}: "
            + ", ".join(f"{n} {reason}" for reason, n in ledger.reasons().items()),
            "raise max_length, choose another policy for long_rows, or check the answers and the chat template",
        )
    kept = [place for place, fate in enumerate(tokenized["fate"]) if fate != RowFate.DROPPED]
    ledger.example_rows = list(tokenized.select(kept)["row"])
    return tokenized.select(kept).select_columns(["input_ids", "labels"]), ledger


def _tokenize_batch(
    batch: Mapping[str, list[Any]], numbers: list[int], how: RowTokenizer, seen: dict[int, TokenizedRow]
) -> dict[str, list[Any]]:
    """One entry per example; a dropped row has one without tokens."""
    columns: dict[str, list[Any]] = {name: [] for name in _FEATURES}
    rows = [dict(zip(batch, values, strict=True)) for values in zip(*batch.values(), strict=True)]
    unseen = [(row, number) for row, number in zip(rows, numbers, strict=True) if number not in seen]
    made = iter(how.tokenize((row for row, _ in unseen), (number for _, number in unseen)))
    for number in numbers:
        tokenized = seen.pop(number) if number in seen else next(made)
        if tokenized.error is not None:
            raise tokenized.error
        fitted = tokenized.fitted
        for one in fitted.examples or [Example([], [])]:
            entry = (one.token_ids, one.labels, number, fitted.fate.value, fitted.reason, fitted.n_tokens_lost)
            for column, value in zip(columns.values(), entry, strict=True):
                column.append(value)
    return columns


def _ledger_of(tokenized: Dataset) -> Ledger:
    ledger = Ledger()
    entries = zip(*(tokenized[name] for name in ("row", "fate", "reason", "n_lost", "labels")), strict=True)
    for row, of_row in groupby(entries, key=itemgetter(0)):
        examples = list(of_row)
        _, fate, reason, n_lost, _ = examples[-1]
        n_tokens = sum(len(labels) for *_, labels in examples)
        n_trained = n_tokens - sum(labels.count(IGNORED) for *_, labels in examples)
        ledger.enter(row, RowFate(fate), reason, n_tokens, n_trained, n_lost, len(examples))
    return ledger
