"""Batched log-probabilities of token sequences, in windows, by one process or several.

A window's last token is predicted, not read, so a window may be one token longer than the model's longest sequence.
lm-evaluation-harness counts the tokens read: its `max_length` M is a window of M + 1 tokens with a stride of M here, in
which each window but the first starts with one token of context (lm_eval.utils.get_rolling_token_windows).
"""

import inspect
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import torch
from peft import PeftModel

from pipelines.errors import UserError
from pipelines.inference.windows import sliding_windows, window_and_stride
from pipelines.modeling import LoadedModel

MeasuredBy: TypeAlias = Callable[[Sequence[Any], Callable[[Sequence[Any]], Sequence[Any]]], list[Any]]
FiguresOf: TypeAlias = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]

_MAX_TOKENS_PER_ROW = 1024  # a batch holds at most batch_size * 1,024 tokens with padding: long windows, fewer rows
_POSITIONS_AT_A_TIME = 256  # float32 log-softmax over a vocabulary of 150,000 then takes 150 MB at a time


@dataclass(frozen=True)
class TokenSequence:
    """Token ids of which those from position `first_scored` (>= 1) on are scored, each given those before it."""

    token_ids: list[int]
    first_scored: int


@dataclass(frozen=True)
class _Piece:
    sequence: int
    offset: int  # of its scores among the sequence's scores
    token_ids: list[int]
    first_scored: int


def measured_here(items: Sequence[Any], measure: Callable[[Sequence[Any]], Sequence[Any]]) -> list[Any]:
    """`measure` all items in this process; `processes.measured_by_all` is the version for several."""
    return list(measure(items))


def log_probabilities(loaded: LoadedModel, sequences: Sequence[TokenSequence], **options: Any) -> list[np.ndarray]:
    """Natural log probabilities (float64, shape [n_scored]) of each sequence's scored tokens, in the order given.
    `options` and errors are those of `scored_places`."""
    return [table[:, 0] for table in scored_places(loaded, sequences, _log_softmax_at, **options)]


def scored_places(
    loaded: LoadedModel,
    sequences: Sequence[TokenSequence],
    figures_of: FiguresOf,
    *,
    batch_size: int = 8,
    window: int | None = None,
    stride: int | None = None,
    measured_by: MeasuredBy = measured_here,
) -> list[np.ndarray]:
    """Compute `figures_of` at each scored place of each sequence (float64, shape [n_scored, n_figures]), in order.

    `figures_of` takes logits (shape [n, vocabulary]; float32, or float64 of a float64 model) and their target tokens
    (shape [n]), and returns figures (shape [n, n_figures]). Results depend on batch size and padding only by rounding.

    `measured_by` runs the model: in this process (the default), or `measured_by_all`, which splits the batches over the
    processes of `accelerate launch`. Then all must call this with equal sequences and get all results, identical to
    those of one process, because the batches are the same.

    Raises `UserError` for a window that the model cannot read, or logits that are NaN or infinite.
    """
    size, step = window_and_stride(loaded.max_positions, window, stride)
    pieces = [
        _Piece(
            number,
            place.first_scored - one.first_scored,
            one.token_ids[place.begin : place.end],
            place.first_scored - place.begin,
        )
        for number, one in enumerate(sequences)
        for place in sliding_windows(len(one.token_ids), one.first_scored, size, step)
    ]
    batches = list(_batches(pieces, batch_size))
    found = measured_by(batches, lambda share: [_figures(loaded, batch, figures_of) for batch in share])
    placed: dict[int, list[tuple[int, np.ndarray]]] = {}
    for batch, tables in zip(batches, found, strict=True):
        for piece, table in zip(batch, tables, strict=True):
            placed.setdefault(piece.sequence, []).append((piece.offset, table))
    results = [
        np.concatenate([table for _, table in sorted(placed[number], key=lambda part: part[0])])
        if number in placed
        else np.zeros((0, 1))
        for number in range(len(sequences))
    ]
    if not all(np.isfinite(table).all() for table in results):
        problem = f"{loaded.name} gives log probabilities that are NaN or infinite"
        raise UserError(problem, "check the weights, or load the model in another dtype")
    return results


def _batches(pieces: list[_Piece], batch_size: int) -> Iterator[list[_Piece]]:
    """Longest first: little padding, and a batch that does not fit into memory fails early."""
    longest_first = sorted(pieces, key=lambda piece: len(piece.token_ids), reverse=True)
    start = 0
    while start < len(longest_first):
        n_rows = batch_size * _MAX_TOKENS_PER_ROW // len(longest_first[start].token_ids)
        n_rows = max(1, min(batch_size, n_rows))
        yield longest_first[start : start + n_rows]
        start += n_rows


@torch.inference_mode()
def _figures(loaded: LoadedModel, batch: list[_Piece], figures_of: FiguresOf) -> list[np.ndarray]:
    """Figures of each piece's scored places; rows are padded on the right, which no token attends to."""
    length = max(len(piece.token_ids) for piece in batch)
    token_ids = torch.zeros((len(batch), length), dtype=torch.long)
    mask = torch.zeros((len(batch), length), dtype=torch.long)
    for row, piece in enumerate(batch):
        token_ids[row, : len(piece.token_ids)] = torch.tensor(piece.token_ids)
        mask[row, : len(piece.token_ids)] = 1
    token_ids, mask = token_ids.to(loaded.device), mask.to(loaded.device)
    first = min(piece.first_scored for piece in batch) - 1  # logits before it predict nothing that is scored
    logits = _logits(loaded, token_ids, mask, first)
    return [
        _in_chunks(
            figures_of,
            logits[row, piece.first_scored - 1 - first : len(piece.token_ids) - 1 - first],
            token_ids[row, piece.first_scored : len(piece.token_ids)],
        )
        for row, piece in enumerate(batch)
    ]


def _logits(loaded: LoadedModel, token_ids: torch.Tensor, mask: torch.Tensor, first: int) -> torch.Tensor:
    """Logits (shape [rows, length - 1 - first, vocabulary]) at the positions from `first` to the last but one. The last
    token is not read: nothing after it is scored."""
    base = loaded.model.get_base_model() if isinstance(loaded.model, PeftModel) else loaded.model
    last = token_ids.shape[1] - 1
    inputs: dict[str, Any] = {"input_ids": token_ids[:, :last], "attention_mask": mask[:, :last], "use_cache": False}
    if "logits_to_keep" in inspect.signature(base.forward).parameters:
        kept = torch.arange(first, last, device=token_ids.device)
        return loaded.model(**inputs, logits_to_keep=kept).logits
    return loaded.model(**inputs).logits[:, first:]


def _in_chunks(figures_of: FiguresOf, logits: torch.Tensor, targets: torch.Tensor) -> np.ndarray:
    chunks = zip(logits.split(_POSITIONS_AT_A_TIME), targets.split(_POSITIONS_AT_A_TIME), strict=True)
    wide = ((rows if rows.dtype == torch.float64 else rows.float(), ids) for rows, ids in chunks)
    return torch.cat([figures_of(rows, ids).double() for rows, ids in wide]).cpu().numpy()


def _log_softmax_at(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """log p (shape [n, 1]) of `targets` (shape [n]) under `logits` (shape [n, vocabulary])."""
    return logits.log_softmax(dim=-1).gather(1, targets[:, None])
