"""Character-level, byte-level BPE and byte-level unigram tokenizers with the special tokens a chat template needs."""

import json
from collections.abc import Iterable, Sequence
from enum import StrEnum

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from pipelines.errors import UserError

END_OF_TEXT = "<|endoftext|>"
PAD = "<|pad|>"
DEFAULT_VOCAB_SIZE = 4096
UNKNOWN = "<|unk|>"  # character-level only: bytes know every text
SPECIAL_TOKENS = (END_OF_TEXT, PAD, "<|im_start|>", "<|im_end|>")

# Like Qwen's, but for code: a line break takes the next line's indentation with it, so that `\n        ` is one token,
# runs of blanks are whole, digits are single, and `.append`, `_max` and ` return` stay in one piece.
PIECES = r"\s*[\r\n]+[ \t]*|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+|[ \t]{2,}|\s"

_SCORE_STEP = 0.0001
_SCORE_DIGITS = 6  # of a unigram score: the order of a sum changes the twelfth


class TokenizerKind(StrEnum):
    """What a token is: a character, a merged run of bytes (BPE), or a likely run of bytes (unigram)."""

    CHAR = "char"
    BPE = "bpe"
    UNIGRAM = "unigram"


def train(texts: Sequence[str], kind: TokenizerKind, vocab_size: int | None) -> Tokenizer:
    """A trained tokenizer; `vocab_size` counts special tokens, and None means 4096 (`char`: as many as characters).

    Raises `UserError` if `vocab_size` cannot hold all bytes and special tokens, or is given for `char`.
    """
    if kind is TokenizerKind.CHAR:
        if vocab_size is not None:
            raise UserError(
                expected="--kind char without --vocab_size: the corpus's characters are its vocabulary",
                got=f"--vocab_size {vocab_size}",
                remedy="leave it out",
            )
        return _character_tokenizer(texts)
    vocab_size = DEFAULT_VOCAB_SIZE if vocab_size is None else vocab_size
    smallest = 256 + len(SPECIAL_TOKENS)
    if vocab_size < smallest:
        raise UserError(
            expected=f"--vocab_size of at least {smallest} (256 bytes and {len(SPECIAL_TOKENS)} special tokens)",
            got=str(vocab_size),
            remedy="give more, such as --vocab_size 4096",
        )
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
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PIECES), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer_class = trainers.BpeTrainer if kind is TokenizerKind.BPE else trainers.UnigramTrainer
    trainer = trainer_class(
        vocab_size=vocab_size,
        special_tokens=_special(SPECIAL_TOKENS),
        initial_alphabet=alphabet,
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer, length=len(texts))
    return _in_fixed_order(tokenizer) if kind is TokenizerKind.UNIGRAM else tokenizer


def _in_fixed_order(tokenizer: Tokenizer) -> Tokenizer:
    """A unigram tokenizer whose scores and ids are the same after each training on the same texts.

    The library finds the same tokens every time, but it adds scores up in the order of a hash table, and in such an
    order it also gives the bytes that are in no text their scores: the lowest one plus 0, 0.0001, 0.0002, ...
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
    """UTF-8 bytes of `texts` divided by their tokens."""
    n_tokens = sum(len(encoding.ids) for encoding in tokenizer.encode_batch(list(texts), add_special_tokens=False))
    return sum(len(text.encode()) for text in texts) / max(n_tokens, 1)
