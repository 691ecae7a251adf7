"""How probable a model finds given text: batched, exact, each token once, and in units that models can share.

A document's first token needs something before it. It is the tokenizer's BOS, else `<|endoftext|>`, else EOS: what
separated documents in training. It is a condition only and never scored, so all bytes of the text are, whatever the
tokenizer. (A fine-tuned model's EOS is often its end of turn, and comes last for that reason.) Where a tokenizer has
none of them, a document's first token is not scored, and its bytes are not counted.
"""

import inspect
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from peft import PeftModel

from pipelines.errors import UserError
from pipelines.evaluation.byte_spans import encode_text, token_byte_spans
from pipelines.evaluation.windows import sliding_windows, window_and_stride
from pipelines.modeling import LoadedModel, PromptStyle, render_answer, render_prompt

_DOCUMENT_SEPARATOR = "<|endoftext|>"
_MAX_TOKENS_PER_ROW = 1024  # a batch holds at most batch_size * 1,024 tokens with padding: long windows, fewer rows
_POSITIONS_AT_A_TIME = 256  # float32 log-softmax over a vocabulary of 150,000 then takes 150 MB at a time


@dataclass(frozen=True)
class DocumentLikelihood:
    """A document's negative log-likelihood in nats over `n_tokens` scored tokens that stand for `n_bytes` of UTF-8.

    `n_context_cut` tokens of its prompt did not fit into the model; `n_unknown` scored tokens are the unknown token,
    under which the model did not predict the text that was there.
    """

    nll_nats: float
    n_tokens: int
    n_bytes: int
    n_context_cut: int = 0
    n_unknown: int = 0


@dataclass(frozen=True)
class TokenLogProbability:
    """A token of a text, its log probability in nats given all before it (None if it has no condition), its bytes."""

    token: str
    token_id: int
    log_prob: float | None
    begin_byte: int
    end_byte: int


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


def text_likelihoods(
    loaded: LoadedModel,
    texts: Sequence[str],
    *,
    batch_size: int = 8,
    window: int | None = None,
    stride: int | None = None,
) -> list[DocumentLikelihood]:
    """Likelihood of each whole text, in the order given; see the head of this module for its first token.

    A text longer than `window` tokens (None: the model's longest sequence) is read in windows that advance by `stride`
    (None: half of the window). Raises `UserError` for a window the model cannot read, or a model that gives no numbers.
    """
    condition = _condition_token_id(loaded)
    sequences = [_text_sequence(loaded, text, condition) for text in texts]
    scores = log_probabilities(loaded, sequences, batch_size=batch_size, window=window, stride=stride)
    documents = []
    for text, sequence, score in zip(texts, sequences, scores, strict=True):
        n_unscored_bytes = token_byte_spans(loaded.tokenizer, text)[0][1] if condition is None and text else 0
        documents.append(_document(loaded, sequence, score, len(text.encode("utf-8")) - n_unscored_bytes))
    return documents


def response_likelihoods(
    loaded: LoadedModel,
    rows: Sequence[Mapping[str, Any]],
    style: PromptStyle,
    *,
    batch_size: int = 8,
    window: int | None = None,
    stride: int | None = None,
) -> list[DocumentLikelihood]:
    """Likelihood of each row's `output` given its `instruction` and `input` in the prompt style `style`.

    The end token is not counted: a base has no such token, and all models are measured on the same bytes. Where prompt
    and answer are too long together, the prompt is cut at its left (`n_context_cut`), never the answer; an answer that
    does not fit alone is read in windows. Raises as `text_likelihoods`.
    """
    sequences = [_response_sequence(loaded, row, style) for row in rows]
    scores = log_probabilities(loaded, sequences, batch_size=batch_size, window=window, stride=stride)
    size, step = window_and_stride(loaded.max_positions, window, stride)
    documents = []
    for row, sequence, score in zip(rows, sequences, scores, strict=True):
        windows = sliding_windows(len(sequence.token_ids), sequence.first_scored, size, step)
        n_cut = windows[0].begin if windows else 0
        documents.append(_document(loaded, sequence, score, len(row["output"].encode("utf-8")), n_cut))
    return documents


def token_log_probabilities(
    loaded: LoadedModel, text: str, *, window: int | None = None, stride: int | None = None
) -> list[TokenLogProbability]:
    """log p of each token of `text` by the chain rule; their sum is log p of the text, as `text_likelihoods` has it.

    Raises as `text_likelihoods`, and `UserError` for a tokenizer without offsets.
    """
    sequence = _text_sequence(loaded, text, _condition_token_id(loaded))
    [scores] = log_probabilities(loaded, [sequence], batch_size=1, window=window, stride=stride)
    token_ids, spans = encode_text(loaded.tokenizer, text), token_byte_spans(loaded.tokenizer, text)
    log_probs = [None] * (len(token_ids) - len(scores)) + scores.tolist()
    encoded = text.encode("utf-8")
    tokens = []
    for token_id, log_prob, (begin, end) in zip(token_ids, log_probs, spans, strict=True):
        spelling = encoded[begin:end].decode("utf-8", "backslashreplace")
        tokens.append(TokenLogProbability(spelling, token_id, log_prob, begin, end))
    return tokens


def log_probabilities(
    loaded: LoadedModel,
    sequences: Sequence[TokenSequence],
    *,
    batch_size: int = 8,
    window: int | None = None,
    stride: int | None = None,
) -> list[np.ndarray]:
    """Natural log probabilities (float64, shape [n_scored]) of each sequence's scored tokens, in the order given.

    The log-softmax is float32, or float64 for a float64 model. Results do not depend on batch size or padding beyond
    the arithmetic's rounding. Raises as `text_likelihoods`.
    """
    size, step = window_and_stride(loaded.max_positions, window, stride)
    results = [np.zeros(max(0, len(one.token_ids) - one.first_scored)) for one in sequences]
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
    for batch in _batches(pieces, batch_size):
        for piece, scores in zip(batch, _score(loaded, batch), strict=True):
            results[piece.sequence][piece.offset : piece.offset + len(scores)] = scores
    if not all(np.isfinite(scores).all() for scores in results):
        raise UserError(
            expected=f"finite log probabilities from {loaded.name}",
            got="NaN or infinity",
            remedy="check the weights, or load the model in another dtype",
        )
    return results


def _text_sequence(loaded: LoadedModel, text: str, condition: int | None) -> TokenSequence:
    token_ids = encode_text(loaded.tokenizer, text)
    return TokenSequence(token_ids if condition is None else [condition, *token_ids], first_scored=1)


def _response_sequence(loaded: LoadedModel, row: Mapping[str, Any], style: PromptStyle) -> TokenSequence:
    prompt = render_prompt(loaded.tokenizer, row["instruction"], row.get("input") or "", style)
    # The text's tokens are those of either style; only the end token differs, and a base need not have the template's.
    answer = render_answer(loaded.tokenizer, row["output"], PromptStyle.PLAIN)
    return TokenSequence([*prompt, *answer.token_ids[: answer.n_text_tokens]], first_scored=len(prompt))


def _condition_token_id(loaded: LoadedModel) -> int | None:
    """What a document's first token is conditioned on, see the head of this module."""
    tokenizer = loaded.tokenizer
    separator = tokenizer.convert_tokens_to_ids(_DOCUMENT_SEPARATOR)
    known_separator = None if separator == tokenizer.unk_token_id else separator
    candidates = (tokenizer.bos_token_id, known_separator, tokenizer.eos_token_id)
    return next((token_id for token_id in candidates if isinstance(token_id, int)), None)


def _document(
    loaded: LoadedModel, sequence: TokenSequence, scores: np.ndarray, n_bytes: int, n_context_cut: int = 0
) -> DocumentLikelihood:
    unknown = loaded.tokenizer.unk_token_id
    n_unknown = 0 if unknown is None else sequence.token_ids[sequence.first_scored :].count(unknown)
    return DocumentLikelihood(float(-scores.sum()), len(scores), n_bytes, n_context_cut, n_unknown)


def _batches(pieces: list[_Piece], batch_size: int) -> Iterator[list[_Piece]]:
    """Longest first: little padding, and a batch that does not fit into memory fails at once."""
    longest_first = sorted(pieces, key=lambda piece: len(piece.token_ids), reverse=True)
    start = 0
    while start < len(longest_first):
        n_rows = batch_size * _MAX_TOKENS_PER_ROW // len(longest_first[start].token_ids)
        n_rows = max(1, min(batch_size, n_rows))
        yield longest_first[start : start + n_rows]
        start += n_rows


@torch.inference_mode()
def _score(loaded: LoadedModel, batch: list[_Piece]) -> list[np.ndarray]:
    """Log probabilities of each piece's scored tokens; rows are padded on the right, where no token looks."""
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
        _log_softmax_at(
            logits[row, piece.first_scored - 1 - first : len(piece.token_ids) - 1 - first],
            token_ids[row, piece.first_scored : len(piece.token_ids)],
        )
        for row, piece in enumerate(batch)
    ]


def _logits(loaded: LoadedModel, token_ids: torch.Tensor, mask: torch.Tensor, first: int) -> torch.Tensor:
    """Logits (shape [rows, length - 1 - first, vocabulary]) at the positions from `first` to the last but one."""
    base = loaded.model.get_base_model() if isinstance(loaded.model, PeftModel) else loaded.model
    inputs: dict[str, Any] = {"input_ids": token_ids, "attention_mask": mask, "use_cache": False}
    last = token_ids.shape[1] - 1
    if "logits_to_keep" in inspect.signature(base.forward).parameters:
        kept = torch.arange(first, last, device=token_ids.device)
        return loaded.model(**inputs, logits_to_keep=kept).logits
    return loaded.model(**inputs).logits[:, first:last]


def _log_softmax_at(logits: torch.Tensor, targets: torch.Tensor) -> np.ndarray:
    """log p (float64, shape [n]) of `targets` (shape [n]) under `logits` (shape [n, vocabulary])."""
    parts = []
    for rows, ids in zip(logits.split(_POSITIONS_AT_A_TIME), targets.split(_POSITIONS_AT_A_TIME), strict=True):
        rows = rows if rows.dtype == torch.float64 else rows.float()
        parts.append(rows.log_softmax(dim=-1).gather(1, ids[:, None])[:, 0].double())
    return torch.cat(parts).cpu().numpy()
