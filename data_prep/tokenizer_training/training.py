"""Train and save character-level, BPE and unigram tokenizers with the special tokens of a chat template."""

import json
from collections.abc import Iterable, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from data_prep.tokenizer_training.pre_tokenizer import byte_level_pre_tokenizer
from pipelines.errors import UserError
from pipelines.files import fresh_folder, write_json_atomically, write_text_atomically

RECORD_NAME = "tokenizer_record.json"
END_OF_TEXT = "<|endoftext|>"
PAD = "<|pad|>"
DEFAULT_VOCAB_SIZE = 4096
UNKNOWN = "<|unk|>"  # character-level only: bytes encode every text
SPECIAL_TOKENS = (END_OF_TEXT, PAD, "<|im_start|>", "<|im_end|>")

_SCORE_STEP = 0.0001
_SCORE_DIGITS = 6  # of a unigram score: the order of a sum changes the twelfth


class TokenizerKind(StrEnum):
    """What a token is: a character, a merged run of bytes (BPE), or a likely run of bytes (unigram)."""

    CHAR = "char"
    BPE = "bpe"
    UNIGRAM = "unigram"


def train(texts: Sequence[str], kind: TokenizerKind, vocab_size: int | None) -> Tokenizer:
    """Train a tokenizer; `vocab_size` includes special tokens, and None means 4096 (`char`: all characters).

    Raises `UserError` if `vocab_size` cannot hold all bytes and special tokens, or is given for `char`.
    """
    if kind is TokenizerKind.CHAR:
        if vocab_size is not None:
            problem = f"--vocab_size {vocab_size} with --kind char, whose vocabulary is the corpus's characters"
            raise UserError(problem, "remove --vocab_size")
        return _character_tokenizer(texts)
    vocab_size = DEFAULT_VOCAB_SIZE if vocab_size is None else vocab_size
    smallest = 256 + len(SPECIAL_TOKENS)
    if vocab_size < smallest:
        problem = f"--vocab_size is {vocab_size}, expected at least {smallest} (256 bytes and the special tokens)"
        raise UserError(problem, "give more, such as --vocab_size 4096")
    return _byte_level_tokenizer(texts, kind, vocab_size)


def _special(tokens: Iterable[str]) -> list[AddedToken]:
    return [AddedToken(token, special=True, normalized=False) for token in tokens]


def _character_tokenizer(texts: Iterable[str]) -> Tokenizer:
    characters = sorted({character for text in texts for character in text})
    vocabulary = {token: number for number, token in enumerate([*SPECIAL_TOKENS, UNKNOWN, *characters])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=UNKNOWN))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), behavior="isolated")
    tokenizer.decoder = decoders.Fuse()
    tokenizer.add_special_tokens(_special([*SPECIAL_TOKENS, UNKNOWN]))
    return tokenizer


def _byte_level_tokenizer(texts: Sequence[str], kind: TokenizerKind, vocab_size: int) -> Tokenizer:
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    tokenizer = Tokenizer(models.BPE() if kind is TokenizerKind.BPE else models.Unigram())
    tokenizer.pre_tokenizer = byte_level_pre_tokenizer()
    tokenizer.decoder = decoders.ByteLevel()
    trainer_class = trainers.BpeTrainer if kind is TokenizerKind.BPE else trainers.UnigramTrainer
    trainer = trainer_class(
        vocab_size=vocab_size, special_tokens=_special(SPECIAL_TOKENS), initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer, length=len(texts))
    return _in_fixed_order(tokenizer) if kind is TokenizerKind.UNIGRAM else tokenizer


def _in_fixed_order(tokenizer: Tokenizer) -> Tokenizer:
    """Return a unigram tokenizer with the same scores and ids after each training on the same texts.

    The library finds the same tokens every time, but it sums scores in the order of a hash table. In that order it also
    assigns scores to the bytes that are in no text: the lowest one plus 0, 0.0001, 0.0002, ...
    (findings/unigram_training_order.sh).
    """
    content = json.loads(tokenizer.to_str())
    vocabulary = content["model"]["vocab"]
    special, learned = vocabulary[: len(SPECIAL_TOKENS)], dict(vocabulary[len(SPECIAL_TOKENS) :])
    single = [token for token in learned if len(token) == 1]
    highest = min(learned.values()) + _SCORE_STEP * len(single)  # of a byte that is in no text
    unseen = sorted(token for token in single if learned[token] <= highest)
    learned |= zip(unseen, sorted((learned[token] for token in unseen), reverse=True), strict=True)
    scores = {token: round(score, _SCORE_DIGITS) for token, score in learned.items()}
    ordered = sorted(scores.items(), key=lambda pair: (-pair[1], pair[0]))
    content["model"]["vocab"] = [*special, *map(list, ordered)]
    return Tokenizer.from_str(json.dumps(content))


def bytes_per_token(tokenizer: Tokenizer, texts: Sequence[str]) -> float:
    """Return the UTF-8 bytes of `texts` divided by their tokens."""
    n_tokens = sum(len(encoding.ids) for encoding in tokenizer.encode_batch(list(texts), add_special_tokens=False))
    return sum(len(text.encode()) for text in texts) / max(n_tokens, 1)


def tokenizer_config(tokenizer: Tokenizer) -> dict[str, Any]:
    """Return the config of `AutoTokenizer`: no beginning-of-text token and no chat template, as for a base model."""
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "eos_token": END_OF_TEXT,
        "pad_token": PAD,
        "additional_special_tokens": [token for token in SPECIAL_TOKENS if token not in (END_OF_TEXT, PAD)],
        "clean_up_tokenization_spaces": False,  # true would remove the space before a period
        "padding_side": "right",
    }
    return {**config, "unk_token": UNKNOWN} if tokenizer.token_to_id(UNKNOWN) is not None else config


def save_tokenizer(tokenizer: Tokenizer, output: Path, record: dict[str, Any], overwrite: bool = False) -> None:
    """Write a folder for `AutoTokenizer`, whole or not at all. Raises `UserError` if `output` holds files."""
    with fresh_folder(output, overwrite) as folder:
        write_text_atomically(folder / "tokenizer.json", tokenizer.to_str(pretty=True) + "\n")
        write_json_atomically(folder / "tokenizer_config.json", tokenizer_config(tokenizer))
        write_json_atomically(folder / RECORD_NAME, record)
