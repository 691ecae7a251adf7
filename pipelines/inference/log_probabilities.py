"""Batched log-probabilities of token sequences, in windows, by one process or several.

A window's last token is predicted, not read, so a window may be one token longer than the model's longest sequence.
lm-evaluation-harness counts the tokens read: its `max_length` M is a window of M + 1 tokens with a stride of M here, in
which each window but the first starts with one token of context (lm_eval.utils.get_rolling_token_windows).
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import torch

from pipelines.errors import UserError
from pipelines.inference.teacher_forcing import head_only_at
from pipelines.inference.windows import sliding_windows, window_and_stride
from pipelines.modeling import LoadedModel

MeasuredBy: TypeAlias = Callable[[Sequence[Any], Callable[[Sequence[Any]], Sequence[Any]]], list[Any]]
FiguresOf: TypeAlias = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]

_TOKENS_AT_ONCE = {"cpu": 4096, "cuda": 32768}  # with padding; a CPU gains nothing from more, a GPU is busy with these
_LOGITS_AT_ONCE = {"cpu": 1 << 26, "cuda": 1 << 30}  # 256 MiB and 4 GiB in float32
_MAX_PADDING = 16  # tokens of a row, or an eighth of the longest row: less than it takes to begin another batch
# in one softmax: 4 MiB, which the cache holds; with 50,000 tokens that takes a third of the time of 50 MiB
_SOFTMAX_AT_ONCE = {"cpu": 1 << 20, "cuda": 1 << 26}


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
    batch_size: int | None = None,
    window: int | None = None,
    stride: int | None = None,
    measured_by: MeasuredBy = measured_here,
) -> list[np.ndarray]:
    """Compute `figures_of` at each scored place of each sequence (float64, shape [n_scored, n_figures]), in order.

    `figures_of` takes logits (shape [n, vocabulary]; float32, or float64 of a float64 model) and their target tokens
    (shape [n]), and returns figures (shape [n, n_figures]). A batch holds sequences of about one length, as many as the
    device computes at once, but at most `batch_size`. Results depend on batch size and padding only by rounding.

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
    batches = list(_batches(pieces, _tokens_at_once(loaded), batch_size))
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


def _tokens_at_once(loaded: LoadedModel) -> int:
    """The token budget of a batch: what keeps the device busy, if the logits fit into memory."""
    kind, n_words = loaded.device.type, int(loaded.model.config.get_text_config().vocab_size)
    return min(_of_device(_TOKENS_AT_ONCE, kind), _of_device(_LOGITS_AT_ONCE, kind) // n_words)


def _of_device(figures: dict[str, int], kind: str) -> int:
    return figures.get(kind, figures["cuda"])


def _batches(pieces: list[_Piece], n_tokens: int, batch_size: int | None) -> Iterator[list[_Piece]]:
    """Longest first, so that a batch that does not fit into memory fails early; short rows wait for their own batch."""
    longest_first = sorted(pieces, key=lambda piece: len(piece.token_ids), reverse=True)
    start = 0
    while start < len(longest_first):
        longest = len(longest_first[start].token_ids)
        n_rows = max(1, n_tokens // longest)
        batch = longest_first[start : start + min(n_rows, batch_size or n_rows)]
        shortest = longest - max(_MAX_PADDING, longest // 8)
        yield (batch := [piece for piece in batch if len(piece.token_ids) >= shortest])
        start += len(batch)


@torch.inference_mode()
def _figures(loaded: LoadedModel, batch: list[_Piece], figures_of: FiguresOf) -> list[np.ndarray]:
    """Figures of each piece's scored places. Rows are padded on the right, which no token before attends to, so there
    is no attention mask. A last token is not read: nothing after it is scored."""
    length = max(len(piece.token_ids) for piece in batch)
    token_ids = torch.tensor([[*piece.token_ids, *[0] * (length - len(piece.token_ids))] for piece in batch])
    scored = [(row, place) for row, one in enumerate(batch) for place in range(one.first_scored, len(one.token_ids))]
    rows, places = torch.tensor(scored).T
    with head_only_at(loaded.model, rows, places - 1) as logits_of:
        logits = logits_of(loaded.model(input_ids=token_ids[:, :-1].to(loaded.device), use_cache=False).logits)
    figures = _in_chunks(figures_of, logits, token_ids[rows, places].to(logits.device))
    ends = np.cumsum([len(piece.token_ids) - piece.first_scored for piece in batch])
    return np.split(figures, ends[:-1])


def _in_chunks(figures_of: FiguresOf, logits: torch.Tensor, targets: torch.Tensor) -> np.ndarray:
    n_rows = max(1, _of_device(_SOFTMAX_AT_ONCE, logits.device.type) // logits.shape[-1])
    chunks = zip(logits.split(n_rows), targets.split(n_rows), strict=True)
    wide = ((rows if rows.dtype == torch.float64 else rows.float(), ids) for rows, ids in chunks)
    return torch.cat([figures_of(rows, ids).double() for rows, ids in wide]).cpu().numpy()


def _log_softmax_at(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """log p (shape [n, 1]) of `targets` (shape [n]) under `logits` (shape [n, vocabulary])."""
    return logits.log_softmax(dim=-1).gather(1, targets[:, None])
