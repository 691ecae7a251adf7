"""Training blocks of a corpus in memory: documents with separators, cut into blocks of one length."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice

import numpy as np
from torch.utils.data import Dataset
from transformers import PreTrainedTokenizerBase

from pipelines.errors import UserError
from pipelines.training.pretrain.document_boundaries import Example, block_example, separators_of

_DOCUMENTS_AT_ONCE = 256  # keeps the tokenizer's threads busy, and stays small in memory


@dataclass(frozen=True)
class Blocks(Dataset):
    """`tokens`: (n_blocks, block_length) ids; `starts`: the same shape, true where a document begins, None if joined.

    `n_bytes`: UTF-8 bytes of the text of all `n_tokens` tokens, of which `n_scored` are predicted.
    """

    tokens: np.ndarray
    n_tokens: int
    n_bytes: int
    n_scored: int
    starts: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.tokens)

    def __getitem__(self, index: int) -> Example:
        return block_example(self.tokens[index], None if self.starts is None else self.starts[index])

    def bits_per_byte(self, nats_per_token: float) -> float:
        """Convert a mean loss over these blocks to a unit that is comparable between tokenizers."""
        return nats_per_token / math.log(2) * self.n_scored / self.n_bytes

    def sizes(self, split: str) -> dict[str, int]:
        """Tokens and bytes for run.json."""
        return {f"n_{split}_tokens": self.n_tokens, f"n_{split}_bytes": self.n_bytes}


def cut_into_blocks(
    texts: Iterable[str], tokenizer: PreTrainedTokenizerBase, block_length: int, *, respect_documents: bool = False
) -> Blocks:
    """Tokenize `texts`, put separators around each (`separators_of`), and cut the stream into whole blocks.

    The tail that fills no block is left out of `tokens`. Raises `UserError` if there is not one whole block.
    """
    dtype = np.uint16 if len(tokenizer) <= 1 << 16 else np.uint32
    separators = separators_of(tokenizer, respect_documents)
    pieces: list[np.ndarray] = []
    n_bytes = 0
    remaining = iter(texts)
    while batch := list(islice(remaining, _DOCUMENTS_AT_ONCE)):
        n_bytes += sum(len(text.encode("utf-8")) for text in batch)
        for ids in tokenizer(batch, add_special_tokens=False, verbose=False)["input_ids"]:
            pieces.append(separators.around(ids).astype(dtype))
    stream = np.concatenate(pieces) if pieces else np.empty(0, dtype)
    n_blocks = len(stream) // block_length
    if n_blocks == 0:
        raise UserError(
            f"the corpus has {len(stream)} tokens, fewer than one block of {block_length}",
            "lower max_length or add text",
        )
    tokens = stream[: n_blocks * block_length].reshape(n_blocks, block_length)
    if not respect_documents:
        return Blocks(tokens, len(stream), n_bytes, len(stream))
    starts = np.zeros(len(stream), dtype=bool)
    starts[np.cumsum([0, *(len(piece) for piece in pieces if len(piece))])[:-1]] = True
    n_scored = len(stream) - int(starts.sum())
    return Blocks(tokens, len(stream), n_bytes, n_scored, starts[: tokens.size].reshape(tokens.shape))
