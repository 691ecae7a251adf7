"""Likelihood of texts and answers under a model: batched, exact, each token once, comparable between tokenizers.

A document's first token is conditioned on the tokenizer's BOS, else `<|endoftext|>`, else EOS: the separator of
documents in training. That token is never scored, so all bytes of the text are, with any tokenizer. (EOS is last
because a fine-tuned model's EOS is often its end of turn.) If a tokenizer has none of them, a document's first token is
not scored and its bytes are not counted.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypedDict, Unpack

import numpy as np
from transformers import PreTrainedTokenizerBase

from pipelines.evaluation.prompts.prompt import Response
from pipelines.inference.byte_spans import encode_text, token_byte_spans
from pipelines.inference.log_probabilities import MeasuredBy, TokenSequence, log_probabilities
from pipelines.inference.windows import sliding_windows, window_and_stride
from pipelines.modeling import LoadedModel, PromptStyle, render_reference

_DOCUMENT_SEPARATOR = "<|endoftext|>"


class ReadingOptions(TypedDict, total=False):
    """How texts are read, as in `log_probabilities`: `window` and `stride` in tokens, `measured_by` for processes."""

    batch_size: int | None
    window: int | None
    stride: int | None
    measured_by: MeasuredBy


@dataclass(frozen=True)
class DocumentLikelihood:
    """A document's negative log-likelihood in nats over `n_tokens` scored tokens of `n_bytes` of UTF-8. `n_context_cut`
    tokens of its prompt did not fit into the model; `n_unknown` scored tokens are the unknown token, so their text was
    not predicted."""

    nll_nats: float
    n_tokens: int
    n_bytes: int
    n_context_cut: int = 0
    n_unknown: int = 0

    @property
    def bits(self) -> float:
        """-log2 of the probability."""
        return self.nll_nats / math.log(2)


@dataclass(frozen=True, slots=True)
class TokenLogProbability:
    """A token of a text, its log probability in nats given all before it (None without one), its bytes."""

    token: str
    token_id: int
    log_prob: float | None
    begin_byte: int
    end_byte: int


def text_likelihoods(
    loaded: LoadedModel, texts: Sequence[str], **options: Unpack[ReadingOptions]
) -> list[DocumentLikelihood]:
    """Likelihood of each whole text, in order; see the top of this module for its first token.

    A text longer than `window` tokens (None: the model's longest sequence) is read in windows that advance by `stride`
    (None: half of the window). `measured_by` and errors are those of `log_probabilities`.
    """
    condition = condition_token_id(loaded.tokenizer)
    sequences = [_text_sequence(loaded, text, condition) for text in texts]
    scores = log_probabilities(loaded, sequences, **options)
    documents = []
    for text, sequence, score in zip(texts, sequences, scores, strict=True):
        n_unscored_bytes = token_byte_spans(loaded.tokenizer, text)[0][1] if condition is None and text else 0
        documents.append(_document(loaded, sequence, score, len(text.encode("utf-8")) - n_unscored_bytes))
    return documents


def response_likelihoods(
    loaded: LoadedModel, responses: Sequence[Response], style: PromptStyle, **options: Unpack[ReadingOptions]
) -> list[DocumentLikelihood]:
    """Likelihood of each response's text given its prompt, in the prompt style `style`.

    The end token is not counted: a base has none, and all models are measured on the same bytes. If prompt and answer
    are too long together, the prompt is cut at its left (`n_context_cut`), never the answer; an answer that does not
    fit on its own is read in windows. Raises as `text_likelihoods`.
    """
    sequences = [response_sequence(loaded, one, style) for one in responses]
    scores = log_probabilities(loaded, sequences, **options)
    size, step = window_and_stride(loaded.max_positions, options.get("window"), options.get("stride"))
    documents = []
    for one, sequence, score in zip(responses, sequences, scores, strict=True):
        windows = sliding_windows(len(sequence.token_ids), sequence.first_scored, size, step)
        n_cut = windows[0].begin if windows else 0
        documents.append(_document(loaded, sequence, score, len(one.text.encode("utf-8")), n_cut))
    return documents


def passage_likelihoods(
    loaded: LoadedModel, passages: Sequence[str], **options: Unpack[ReadingOptions]
) -> list[DocumentLikelihood]:
    """Likelihoods of the consecutive passages of one text: each token is conditioned on everything before it.

    Their sums are those of `text_likelihoods` for the joined text, which must not be empty. A token belongs to the
    passage in which it begins. Raises as `token_log_probabilities`.
    """
    text = "".join(passages)
    sequence = _text_sequence(loaded, text, condition_token_id(loaded.tokenizer))
    [scores] = log_probabilities(loaded, [sequence], **options)
    spans = np.array(token_byte_spans(loaded.tokenizer, text))
    n_unscored = len(spans) - len(scores)
    ends = np.cumsum([len(passage.encode("utf-8")) for passage in passages])
    n_bytes = np.diff(ends, prepend=spans[:n_unscored, 1].sum())
    unknown = np.array(sequence.token_ids[sequence.first_scored :]) == loaded.tokenizer.unk_token_id
    where = np.searchsorted(ends[:-1], spans[n_unscored:, 0], side="right")
    sums = [np.bincount(where, column, len(passages)) for column in (-scores, np.ones_like(scores), unknown)]
    return [
        DocumentLikelihood(float(nats), int(n_tokens), int(size), n_unknown=int(n_unknown))
        for nats, n_tokens, n_unknown, size in zip(*sums, n_bytes, strict=True)
    ]


def token_log_probabilities(
    loaded: LoadedModel, texts: Sequence[str], **options: Unpack[ReadingOptions]
) -> list[list[TokenLogProbability]]:
    """log p of each token of each text by the chain rule; their sum is that of `text_likelihoods`. Raises as
    `text_likelihoods`, and `UserError` for a tokenizer without offsets."""
    condition = condition_token_id(loaded.tokenizer)
    sequences = [_text_sequence(loaded, text, condition) for text in texts]
    scores = log_probabilities(loaded, sequences, **options)
    return [_tokens_of(loaded, text, score) for text, score in zip(texts, scores, strict=True)]


def condition_token_id(tokenizer: PreTrainedTokenizerBase) -> int | None:
    """The token that a document's first token is conditioned on, see the top of this module."""
    separator = tokenizer.convert_tokens_to_ids(_DOCUMENT_SEPARATOR)
    known_separator = None if separator == tokenizer.unk_token_id else separator
    candidates = (tokenizer.bos_token_id, known_separator, tokenizer.eos_token_id)
    return next((token_id for token_id in candidates if isinstance(token_id, int)), None)


def condition_token(tokenizer: PreTrainedTokenizerBase) -> str | None:
    """The text of `condition_token_id`, for records and console output."""
    token_id = condition_token_id(tokenizer)
    return None if token_id is None else str(tokenizer.convert_ids_to_tokens(token_id))


def _tokens_of(loaded: LoadedModel, text: str, scores: np.ndarray) -> list[TokenLogProbability]:
    token_ids, spans = encode_text(loaded.tokenizer, text), token_byte_spans(loaded.tokenizer, text)
    log_probs = [None] * (len(token_ids) - len(scores)) + scores.tolist()
    encoded = text.encode("utf-8")
    tokens = []
    for token_id, log_prob, (begin, end) in zip(token_ids, log_probs, spans, strict=True):
        spelling = encoded[begin:end].decode("utf-8", "backslashreplace")
        tokens.append(TokenLogProbability(spelling, token_id, log_prob, begin, end))
    return tokens


def _text_sequence(loaded: LoadedModel, text: str, condition: int | None) -> TokenSequence:
    token_ids = encode_text(loaded.tokenizer, text)
    return TokenSequence(token_ids if condition is None else [condition, *token_ids], first_scored=1)


def response_sequence(loaded: LoadedModel, one: Response, style: PromptStyle) -> TokenSequence:
    """The tokens of a prompt and its answer, of which those of the answer are scored."""
    context, text = render_reference(loaded.tokenizer, one.asked, one.text, style, thought=one.thought)
    return TokenSequence([*context, *text], first_scored=len(context))


def _document(
    loaded: LoadedModel, sequence: TokenSequence, scores: np.ndarray, n_bytes: int, n_context_cut: int = 0
) -> DocumentLikelihood:
    unknown = loaded.tokenizer.unk_token_id
    n_unknown = 0 if unknown is None else sequence.token_ids[sequence.first_scored :].count(unknown)
    return DocumentLikelihood(float(-scores.sum()), len(scores), n_bytes, n_context_cut, n_unknown)
