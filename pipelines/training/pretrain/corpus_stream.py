"""Streaming a corpus: parts mixed by their share of the tokens, cut into blocks, resumable.

The next document comes from the part that is furthest behind its share: deterministic, and exact to one document at any
length of run. Drawing parts at random is right only on average and needs a generator's state.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
from datasets import IterableDataset
from torch.utils.data import IterableDataset as TorchIterableDataset
from transformers import PreTrainedTokenizerBase

from pipelines.errors import UserError
from pipelines.training.pretrain.corpus_sources import one_line_errors
from pipelines.training.pretrain.document_boundaries import Example, Separators, block_example, separators_of

_DOCUMENTS_AT_ONCE = 64  # tokenized together; a resumed run reads them once more at most
_KEPT_STATES = 8  # update steps; the trainer and accelerate read less than two ahead


@dataclass(frozen=True)
class StreamedPart:
    """One part: `documents(epoch)` returns its rows from the start, with the text in `column`."""

    path: str
    weight: float
    fingerprint: str
    column: str
    documents: Callable[[int], IterableDataset]


class PartReader:
    """Endless tokenized documents of one part: after the last one it starts again."""

    def __init__(self, part: StreamedPart, tokenizer: PreTrainedTokenizerBase, separators: Separators) -> None:
        self.part, self.tokenizer, self.separators = part, tokenizer, separators
        self.n_tokens = self.n_documents = 0
        self._begin(epoch=0)

    def next_document(self) -> np.ndarray:
        """Token ids of the next document with its separators."""
        while not self._chunk:
            if self._read_chunk():
                continue
            if not self._found_any:
                raise UserError(f"{self.part.path} has no document with text", "check the data")
            self._begin(self.epoch + 1)
        self._n_taken += 1
        self.n_documents += 1
        document = self._chunk.popleft()
        self.n_tokens += len(document)
        return document

    def state(self) -> dict[str, Any]:
        """The position: rows before the current chunk, and the number of its documents taken."""
        place = {"epoch": self.epoch, "rows": self._rows_before_chunk, "n_taken_of_chunk": self._n_taken}
        return {**place, "n_tokens": self.n_tokens, "n_documents": self.n_documents}

    def restore(self, state: dict[str, Any]) -> None:
        """Continue after the last document taken before `state`."""
        self._begin(state["epoch"], state["rows"])
        self._read_chunk()
        for _ in range(state["n_taken_of_chunk"]):
            self._chunk.popleft()
        self._n_taken = state["n_taken_of_chunk"]
        self.n_tokens, self.n_documents = state["n_tokens"], state["n_documents"]

    def _begin(self, epoch: int, rows_state: dict[str, Any] | None = None) -> None:
        self.epoch = epoch
        with one_line_errors(self.part.path):
            self._rows = self.part.documents(epoch)
            if rows_state is not None:
                self._rows.load_state_dict(rows_state)
            self._iterator = iter(self._rows)
        self._rows_before_chunk = self._rows_now = rows_state
        self._chunk: deque[np.ndarray] = deque()
        self._n_taken = 0
        self._found_any = rows_state is not None

    def _read_chunk(self) -> bool:
        """Read and tokenize the next rows; false at the end of the part. Rows without text are skipped."""
        with one_line_errors(self.part.path):
            rows = list(islice(self._iterator, _DOCUMENTS_AT_ONCE))
        self._rows_before_chunk, self._rows_now = self._rows_now, self._rows.state_dict()
        self._n_taken = 0
        texts = [text for row in rows if (text := self._text_of(row))]
        if texts:
            ids = self.tokenizer(texts, add_special_tokens=False, verbose=False)["input_ids"]
            self._chunk.extend(document for one in ids if len(document := self.separators.around(one)))
        self._found_any = self._found_any or bool(self._chunk)
        return bool(rows)

    def _text_of(self, row: dict[str, Any]) -> str:
        text = row.get(self.part.column)
        if text is not None and not isinstance(text, str):
            raise UserError(
                f"the column {self.part.column} of {self.part.path} has a {type(text).__name__}, expected text",
                "set text_column to the column with the text",
            )
        return text or ""


class CorpusStream(TorchIterableDataset):
    """Endless blocks of `block_length` tokens, and the state after each of the last update steps.

    `n_blocks_per_step` counts the blocks of all processes in one update step: each reads the whole stream and takes its
    share.
    """

    def __init__(
        self,
        parts: Sequence[StreamedPart],
        tokenizer: PreTrainedTokenizerBase,
        block_length: int,
        *,
        respect_documents: bool,
        n_blocks_per_step: int,
    ) -> None:
        self.block_length, self.respect_documents = block_length, respect_documents
        self.n_blocks_per_step = n_blocks_per_step
        separators = separators_of(tokenizer, respect_documents)
        self.readers = [PartReader(part, tokenizer, separators) for part in parts]
        self.n_blocks = 0
        self._rest = np.empty(0, dtype=np.int64)  # of the document cut by the last block
        self._states = {0: self._state()}

    def __iter__(self) -> Iterator[Example]:
        while True:
            tokens, starts = self._next_block()
            self.n_blocks += 1
            if self.n_blocks % self.n_blocks_per_step == 0:
                self._remember()
            yield block_example(tokens, starts if self.respect_documents else None)

    def state_after(self, n_steps: int) -> dict[str, Any]:
        """The state for `restore` after `n_steps` update steps, for JSON.

        The stream itself is ahead of it, because the next batch is read before the last one is trained on.
        """
        state = self._states[n_steps * self.n_blocks_per_step]
        return {**state, "rest": state["rest"].tolist(), "corpus": self._identity()}

    def restore(self, state: dict[str, Any]) -> None:
        """Continue at the exact token of `state`. Raises `UserError` if it belongs to another corpus or batch size."""
        for name, now in self._identity().items():
            if state["corpus"][name] != now:
                raise UserError(
                    f"{name} is {now}, but the run began with {state['corpus'][name]}",
                    "resume with the recipe and the data that it was started with",
                )
        for reader, part in zip(self.readers, state["parts"], strict=True):
            reader.restore(part)
        self.n_blocks = state["n_blocks"]
        self._rest = np.asarray(state["rest"], dtype=np.int64)
        self._states = {self.n_blocks: self._state()}

    def parts_after(self, n_steps: int) -> list[dict[str, Any]]:
        """Tokens and documents drawn from each part in `n_steps` update steps, for the record."""
        parts = self._states[n_steps * self.n_blocks_per_step]["parts"]
        return [
            {"path": one.part.path, "fingerprint": one.part.fingerprint, "weight": one.part.weight}
            | {"n_tokens": part["n_tokens"], "n_documents": part["n_documents"], "n_epochs": part["epoch"]}
            for one, part in zip(self.readers, parts, strict=True)
        ]

    def _next_block(self) -> tuple[np.ndarray, np.ndarray]:
        tokens = np.empty(self.block_length, dtype=np.int64)
        starts = np.zeros(self.block_length, dtype=bool)
        n_filled = 0
        while n_filled < self.block_length:
            if not len(self._rest):
                behind = min(self.readers, key=lambda one: one.n_tokens / one.part.weight)
                self._rest = behind.next_document()
                starts[n_filled] = True
            piece = self._rest[: self.block_length - n_filled]
            tokens[n_filled : n_filled + len(piece)] = piece
            n_filled += len(piece)
            self._rest = self._rest[len(piece) :]
        return tokens, starts

    def _state(self) -> dict[str, Any]:
        parts = [reader.state() for reader in self.readers]
        return {"n_blocks": self.n_blocks, "parts": parts, "rest": self._rest}

    def _remember(self) -> None:
        self._states[self.n_blocks] = self._state()
        while len(self._states) > _KEPT_STATES:
            del self._states[min(self._states)]

    def _identity(self) -> dict[str, Any]:
        return {
            "parts": [[one.part.path, one.part.fingerprint, one.part.weight] for one in self.readers],
            "block_length": self.block_length,
            "respect_documents": self.respect_documents,
            "n_blocks_per_step": self.n_blocks_per_step,
        }
