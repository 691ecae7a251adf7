"""Byte spans of tokens in a text, also if a character is spread over several tokens."""

import re
from collections.abc import Sequence
from itertools import accumulate

from transformers import PreTrainedTokenizerBase

from pipelines.errors import UserError


def encode_text(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    """Token ids of `text` as plain text: no token is added, and a literal `</s>` is no special token."""
    return list(tokenizer(text, add_special_tokens=False, split_special_tokens=True)["input_ids"])


def token_byte_spans(tokenizer: PreTrainedTokenizerBase, text: str) -> list[tuple[int, int]]:
    """(begin, end) in the UTF-8 bytes of `text` for each token of `encode_text`, without gaps.

    Byte-level vocabularies spell each byte as one character, so there the spans are exact. Other vocabularies give
    offsets in characters; a character spread over byte tokens (`<0xF0>`) is one byte each, and one spread otherwise
    belongs to its last token. Raises `UserError` for a tokenizer without offsets.
    """
    if not tokenizer.is_fast:
        problem = f"{tokenizer.name_or_path} has the slow tokenizer {type(tokenizer).__name__}, which has no offsets"
        raise UserError(problem, "convert it to a tokenizer.json")
    encoded = tokenizer(text, add_special_tokens=False, split_special_tokens=True, return_offsets_mapping=True)
    pieces = tokenizer.convert_ids_to_tokens(encoded["input_ids"])
    n_bytes = len(text.encode("utf-8"))
    lengths = [len(piece) for piece in pieces]
    is_byte_level = "ByteLevel" in str(tokenizer.backend_tokenizer.decoder)
    if not (is_byte_level and sum(lengths) == n_bytes):
        lengths = _lengths_from_offsets(text, pieces, encoded["offset_mapping"])
    ends = list(accumulate(lengths))
    return list(zip([0, *ends[:-1]], ends, strict=True)) if ends else []


def _lengths_from_offsets(text: str, pieces: Sequence[str], offsets: Sequence[tuple[int, int]]) -> list[int]:
    bytes_before = [0]
    for character in text:
        bytes_before.append(bytes_before[-1] + len(character.encode("utf-8")))
    lengths: list[int] = []
    position = 0
    for number, (piece, (_, end)) in enumerate(zip(pieces, offsets, strict=True)):
        is_last = number + 1 == len(pieces)
        if is_last or offsets[number + 1][0] >= end:
            length = bytes_before[len(text) if is_last else end] - position
        else:
            length = 1 if re.fullmatch(r"<0x[0-9A-F]{2}>", piece) else 0
        lengths.append(max(0, length))
        position += lengths[-1]
    return lengths
