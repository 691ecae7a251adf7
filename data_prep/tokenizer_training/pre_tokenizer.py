"""How text is split before byte-level BPE: as Qwen2 does, because llama.cpp knows that regex by a name."""

from tokenizers import Regex, pre_tokenizers

# llama.cpp has each pre-tokenizer as code under a name and reads no regex from a file: a tokenizer with a regex of its
# own has no GGUF. A line break ends a run of punctuation (`:\n`), the last blank of an indentation belongs to the next
# word (` return`), digits are single, and `.append` and `_max` stay in one piece.
LLAMA_CPP_NAME = "qwen2"
QWEN2 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def byte_level_pre_tokenizer() -> pre_tokenizers.PreTokenizer:
    """Qwen2's pre-tokenizer. There is no NFC normalizer, as Qwen2 has, because llama.cpp does not normalize."""
    split = pre_tokenizers.Split(Regex(QWEN2), behavior="isolated")
    return pre_tokenizers.Sequence([split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
