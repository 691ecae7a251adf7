"""Tokenizers from scratch: texts, training, and the folder that `AutoTokenizer` loads."""

from data_prep.tokenizer_training.corpus import TokenizerCorpus, read_tokenizer_corpus
from data_prep.tokenizer_training.training import (
    RECORD_NAME,
    SPECIAL_TOKENS,
    UNKNOWN,
    TokenizerKind,
    bytes_per_token,
    save_tokenizer,
    tokenizer_config,
    train,
)
