"""Documents side by side in one block of tokens, without seeing one another.

A block whose position ids begin anew at each document is what transformers reads as a packed sequence: it then masks
attention across the boundary (`masking_utils.find_packed_sequence_indices`), as long as the batch has no
`attention_mask` of its own and no cache is used. FlashAttention does the same for a batch of one row only, so such rows
are laid end to end there.
"""

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from pipelines.errors import UserError
from pipelines.inference.teacher_forcing import IGNORED

_DOCUMENT_SEPARATOR = "<|endoftext|>"
_N_PROBE_TOKENS = 8
_LEAK_TOLERANCE = 1e-5  # of the largest logit; a masked document changes nothing at all, a seen one more than this

Example = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Separators:
    """Token ids around every document: none or one at its head, none or one at its end."""

    opening: list[int]
    closing: list[int]

    def around(self, token_ids: Sequence[int]) -> np.ndarray:
        """The document as it stands in the corpus, int64."""
        return np.asarray([*self.opening, *token_ids, *self.closing], dtype=np.int64)


def separators_of(tokenizer: PreTrainedTokenizerBase, respect_documents: bool) -> Separators:
    """EOS after each document; a document that sees no other also needs something before its first token.

    That is BOS, else `<|endoftext|>`, else EOS: the condition under which evaluation scores a document's first token.
    """
    closing = [] if tokenizer.eos_token_id is None else [tokenizer.eos_token_id]
    if not respect_documents:
        return Separators([], closing)
    known = tokenizer.get_vocab().get(_DOCUMENT_SEPARATOR)
    candidates = (tokenizer.bos_token_id, known, tokenizer.eos_token_id)
    return Separators([token_id for token_id in candidates if token_id is not None][:1], closing)


def block_example(token_ids: np.ndarray, starts: np.ndarray | None) -> Example:
    """A block to train on. `token_ids`: (length,); `starts`: (length,) true where a document begins, or None (joined).

    With `starts`, the positions begin anew there and the first token of a document is no label: what came before it
    says nothing about it.
    """
    ids = torch.from_numpy(token_ids.astype(np.int64))
    if starts is None:
        return {"input_ids": ids, "labels": ids}
    places = np.arange(len(token_ids))
    positions = places - np.maximum.accumulate(np.where(starts, places, 0))
    labels = ids.clone()
    labels[torch.from_numpy(starts)] = IGNORED
    return {"input_ids": ids, "labels": labels, "position_ids": torch.from_numpy(positions)}


def collator_for(model: PreTrainedModel, respect_documents: bool) -> Callable[[Sequence[Example]], Example]:
    """Blocks to a batch without an attention mask; rows end to end where FlashAttention has to keep them apart."""
    return _end_to_end if respect_documents and _uses_flash_attention(model) else _stacked


def refuse_leaking_attention(model: PreTrainedModel) -> None:
    """Raise `UserError` if a token of one document changes what `model` says in the next one of the same block.

    Not every architecture reads position ids (Mamba, Bloom). FlashAttention is taken on trust: it needs an accelerator.
    """
    if _uses_flash_attention(model):
        return
    name = type(model).__name__
    problem = f"{name}, which takes no position ids"
    if "position_ids" in inspect.signature(model.forward).parameters:
        change, largest = _change_across_boundary(model)
        if change <= _LEAK_TOLERANCE * largest:
            return
        problem = f"{name}, which lets one document look into another (logits change by {change:.1e})"
    raise UserError(
        f"respect_documents needs a model that keeps the documents of a block apart, got {problem}",
        "set respect_documents: false, or another attn_implementation",
    )


@torch.no_grad()
def _change_across_boundary(model: PreTrainedModel) -> tuple[float, float]:
    """How much the second document's logits move when the first one's tokens change, and the largest logit."""
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


def _uses_flash_attention(model: PreTrainedModel) -> bool:
    return "flash" in str(getattr(model.config, "_attn_implementation", ""))


def _stacked(examples: Sequence[Example]) -> Example:
    return {key: torch.stack([example[key] for example in examples]) for key in examples[0]}


def _end_to_end(examples: Sequence[Example]) -> Example:
    batch = {key: torch.cat([example[key] for example in examples])[None] for key in examples[0]}
    batch["labels"] = batch["labels"].clone()
    batch["labels"][0, :: len(examples[0]["labels"])] = IGNORED  # the row before says nothing about a row's first token
    return batch
