"""Document boundaries: several documents in one block of tokens that do not attend to each other.

transformers reads a block whose position ids restart at each document as a packed sequence and masks attention across
the boundary (`masking_utils.find_packed_sequence_indices`), if the batch has no `attention_mask` and no cache is used.
"""

import inspect
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from pipelines.errors import UserError
from pipelines.inference.teacher_forcing import IGNORED

_DOCUMENT_SEPARATOR = "<|endoftext|>"
_N_PROBE_TOKENS = 8
_LEAK_TOLERANCE = 1e-5  # of the largest logit; a masked document changes nothing, a visible one more than this

Example = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Separators:
    """Token ids around every document: none or one at its head, none or one at its end."""

    opening: list[int]
    closing: list[int]

    def around(self, token_ids: Sequence[int]) -> np.ndarray:
        """The document with its separators, int64."""
        return np.asarray([*self.opening, *token_ids, *self.closing], dtype=np.int64)


def separators_of(tokenizer: PreTrainedTokenizerBase, respect_documents: bool) -> Separators:
    """EOS after each document; with `respect_documents` also a token before the first one.

    That is BOS, else `<|endoftext|>`, else EOS: the token after which evaluation scores a document's first token.
    """
    closing = [] if tokenizer.eos_token_id is None else [tokenizer.eos_token_id]
    if not respect_documents:
        return Separators([], closing)
    known = tokenizer.get_vocab().get(_DOCUMENT_SEPARATOR)
    candidates = (tokenizer.bos_token_id, known, tokenizer.eos_token_id)
    return Separators([token_id for token_id in candidates if token_id is not None][:1], closing)


def block_example(token_ids: np.ndarray, starts: np.ndarray | None) -> Example:
    """Make a training block. `token_ids`: (length,); `starts`: (length,), true where a document begins, None if joined.

    With `starts`, positions restart there, and a document's first token is no label, because nothing predicts it.
    """
    ids = torch.from_numpy(token_ids.astype(np.int64))
    if starts is None:
        return {"input_ids": ids, "labels": ids}
    places = np.arange(len(token_ids))
    positions = places - np.maximum.accumulate(np.where(starts, places, 0))
    labels = ids.clone()
    labels[torch.from_numpy(starts)] = IGNORED
    return {"input_ids": ids, "labels": labels, "position_ids": torch.from_numpy(positions)}


def stack_blocks(examples: Sequence[Example]) -> Example:
    """Collate blocks into a batch without an attention mask."""
    return {key: torch.stack([example[key] for example in examples]) for key in examples[0]}


def refuse_leaking_attention(model: PreTrainedModel) -> None:
    """Raise `UserError` if a token of one document changes the logits in the next one of the same block.

    Not every architecture reads position ids (Mamba, Bloom), and FlashAttention reads them only in a batch of one row.
    """
    name, attention = type(model).__name__, str(getattr(model.config, "_attn_implementation", ""))
    if "flash" in attention:
        problem = attention
    elif "position_ids" not in inspect.signature(model.forward).parameters:
        problem = f"{name}, which takes no position ids"
    else:
        change, largest = _change_across_boundary(model)
        if change <= _LEAK_TOLERANCE * largest:
            return
        problem = f"{name}, in which one document changes the next (logits move by {change:.1e})"
    raise UserError(
        f"respect_documents needs a model that keeps the documents of a block apart, got {problem}",
        "set respect_documents: false, or another attn_implementation",
    )


@torch.no_grad()
def _change_across_boundary(model: PreTrainedModel) -> tuple[float, float]:
    """The largest change of the second document's logits when the first one's tokens change, and the largest logit."""
    half = _N_PROBE_TOKENS // 2
    highest = model.config.get_text_config().vocab_size - 1
    first = torch.arange(_N_PROBE_TOKENS) % (highest + 1)
    second = first.clone()
    second[:half] = highest - first[:half]
    positions = torch.arange(_N_PROBE_TOKENS) % half
    was_training = model.training
    model.eval()
    logits = model(
        input_ids=torch.stack([first, second]).to(model.device),
        position_ids=torch.stack([positions, positions]).to(model.device),
        use_cache=False,
    ).logits[:, half:]
    model.train(was_training)
    return float((logits[0] - logits[1]).abs().max()), float(logits.abs().max())
