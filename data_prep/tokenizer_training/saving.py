"""A tokenizer folder in transformers' format, written without importing transformers."""

from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from data_prep.tokenizer_training.training import END_OF_TEXT, PAD, SPECIAL_TOKENS, UNKNOWN
from pipelines.files import fresh_folder, write_json_atomically, write_text_atomically

RECORD_NAME = "tokenizer_record.json"


def tokenizer_config(tokenizer: Tokenizer) -> dict[str, Any]:
    """What `AutoTokenizer` reads: no beginning-of-text token and no chat template, for a base model has neither."""
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "eos_token": END_OF_TEXT,
        "pad_token": PAD,
        "additional_special_tokens": [token for token in SPECIAL_TOKENS if token not in (END_OF_TEXT, PAD)],
        "clean_up_tokenization_spaces": False,  # true would eat the blank before a full stop
        "padding_side": "right",
    }
    return {**config, "unk_token": UNKNOWN} if tokenizer.token_to_id(UNKNOWN) is not None else config


def save_tokenizer(tokenizer: Tokenizer, output: Path, record: dict[str, Any], overwrite: bool = False) -> None:
    """Write `output` whole or not at all, its record last. Raises `UserError` if it holds files."""
    with fresh_folder(output, overwrite) as folder:
        write_text_atomically(folder / "tokenizer.json", tokenizer.to_str(pretty=True) + "\n")
        write_json_atomically(folder / "tokenizer_config.json", tokenizer_config(tokenizer))
        write_json_atomically(folder / RECORD_NAME, record)
