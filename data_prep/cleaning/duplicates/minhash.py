"""MinHash signatures of rows, as one number for each band: rows that share bands are candidates for a comparison."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from rensa import RMinHash

from data_prep.cleaning.row_texts import RowText

N_QUESTION_HASHES, N_ANSWER_HASHES = 1, 2  # in each band: a candidate pair agrees in its question and in its answer
MAX_CHARS = 200_000  # of a longer text, the first and the last half of so many characters are compared
NOT_COMPARED = 0  # in every band of a row that is too short
_SEEDS = (11, 23)
_BOUNDARY = b" \0 "
_QUESTION_ROLES = ("system", "developer", "user", "input", "tool")

# Scripts written without spaces: each of their characters counts as a word.
_UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
UNSPACED_CHARACTER = re.compile(f"[{_UNSPACED}]")
# Marks that are parts of words: accents, vowels of Hebrew and Arabic, and the scripts of India.
_MARKS = "\u0300-\u036f\u0591-\u05c7\u0610-\u061a\u064b-\u065f\u0900-\u0963\u0966-\u0dff"
_OTHER_PUNCTUATION = re.compile(rf"[^\x00-\x7f\w{_MARKS}]")
_SPACE = ord(" ")
_TABLE = bytes(
    byte if byte > 127 else ord(chr(byte).lower()) if chr(byte).isalnum() or chr(byte) == "_" else _SPACE
    for byte in range(256)
)  # fmt: skip

BandHashes = NDArray[np.uint32]


@dataclass(frozen=True, slots=True)
class ComparisonText:
    """What of a row is compared: the texts that ask, and the texts that answer. A document is one answer.

    `tools` must be equal, and do not make two rows more alike.
    """

    questions: tuple[str, ...]
    answers: tuple[str, ...]
    tools: tuple[str, ...] = ()


def comparison_text(texts: Sequence[RowText]) -> ComparisonText:
    """Return the questions (with system, input and tool results), the answers (or documents) and the tools of a row."""
    tools = tuple(one.text for one in texts if one.role == "tool_definition")
    texts = [one for one in texts if one.role != "tool_definition" and one.text.strip()]
    questions = tuple(_shortened(one.text) for one in texts if one.role in _QUESTION_ROLES)
    answers = tuple(_shortened(one.text) for one in texts if one.role not in _QUESTION_ROLES)
    return ComparisonText(questions, answers, tools)


def words(text: str) -> list[bytes]:
    """Return the words of a text without differences of case and punctuation."""
    return _spaced_words(text).split()


def signatures(texts: Sequence[ComparisonText], n_bands: int, min_words: int) -> BandHashes:
    """Return a number for each row and band: `NOT_COMPARED` if the row has fewer than `min_words` words."""
    answers = _word_pairs([" ".join(one.answers) for one in texts])
    questions = _word_pairs([" ".join(one.questions or one.answers) for one in texts])
    mixed = np.concatenate([
        _digests(*questions, n_bands * N_QUESTION_HASHES, _SEEDS[0]),
        _digests(*answers, n_bands * N_ANSWER_HASHES, _SEEDS[1]),
    ], axis=1)  # fmt: skip
    bands = np.zeros((len(texts), n_bands), np.uint64)
    for first in range(0, mixed.shape[1], n_bands):
        bands = _mixed(bands + mixed[:, first : first + n_bands])
    found = np.maximum(bands >> np.uint64(32), NOT_COMPARED + 1).astype(np.uint32)
    n_words, n_answer_words = (np.diff(part[1].astype(np.int64)) - 1 for part in (questions, answers))
    n_words += np.where([bool(one.questions) for one in texts], n_answer_words, 0)
    found[n_words < min_words] = NOT_COMPARED
    return found


def _word_pairs(texts: Sequence[str]) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """Return a hash for each two neighboring words of each text (its edges count as words), and where each text begins.

    A word's hash is a polynomial of its bytes, so one cumulative sum over all texts has the hashes of all words.
    """
    data = np.frombuffer(_BOUNDARY + _BOUNDARY.join(map(_spaced_words, texts)) + _BOUNDARY, np.uint8)
    edges = np.flatnonzero(np.diff(data != _SPACE, prepend=False, append=False))
    starts, ends = edges[::2], edges[1::2]
    powers, inverse_powers = _powers(1 << len(data).bit_length())
    sums = np.zeros(len(data) + 1, np.uint64)
    np.cumsum(_byte_values()[data] * powers[: len(data)], out=sums[1:])
    hashes = _mixed((sums[ends] - sums[starts]) * inverse_powers[starts])
    boundaries = np.flatnonzero(data[starts] == 0)
    return _mixed(hashes[:-1] + _mixed(hashes[1:])), boundaries.astype(np.uint64)


def _digests(pairs: NDArray[np.uint64], offsets: NDArray[np.uint64], n_hashes: int, seed: int) -> NDArray[np.uint64]:
    return np.array(RMinHash.digest_matrix_from_flat_token_hashes(pairs, offsets, n_hashes, seed).to_rows(), np.uint64)


def _mixed(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Spread the values over 64 bits (the finalizer of splitmix64)."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


@cache
def _byte_values() -> NDArray[np.uint64]:
    return _mixed(np.arange(1, 257, dtype=np.uint64))


@cache
def _powers(n: int) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """Return the first `n` powers of an odd number and of its inverse, modulo 2 to the 64."""
    base = 0x9E3779B97F4A7C15
    both = [np.full(n, number, np.uint64) for number in (base, pow(base, -1, 1 << 64))]
    for powers in both:
        powers[0] = 1
        np.cumprod(powers, out=powers)
    return both[0], both[1]


def _spaced_words(text: str) -> bytes:
    """Return the words of a text in UTF-8, separated by spaces."""
    if not text.isascii():
        text = UNSPACED_CHARACTER.sub(r" \g<0> ", _OTHER_PUNCTUATION.sub(" ", text.replace("’", "").casefold()))
    return text.encode("utf-8", "surrogatepass").translate(_TABLE, b"'")


def _shortened(text: str) -> str:
    return text if len(text) <= MAX_CHARS else text[: MAX_CHARS // 2] + text[-MAX_CHARS // 2 :]
