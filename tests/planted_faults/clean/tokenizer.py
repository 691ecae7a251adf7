"""Tokenizers and models that look as if they did not fit and do."""

from pathlib import Path

from pipelines.modeling import load_tokenizer
from tests.planted_faults.clean.clean_pair import CleanPair
from tests.planted_faults.families import Family, change_json
from tests.planted_faults.faults.tokenizer import with_ids, with_rows
from tests.planted_faults.pair import Pair
from tests.planted_faults.sample_rows import code_rows, rows_in


def padded_embeddings() -> Pair:
    """Rows up to a multiple of 1,024, as many models have them."""

    def change(base: Path) -> None:
        with_rows(base, 1024)
        change_json(base / "config.json", lambda facts: facts.update(vocab_size=1024))

    return Pair(rows_in("english"), change_base=change)


def several_end_tokens() -> Pair:
    """As Llama 3.1's files have them: a list in both configs, of which one is the tokenizer's."""
    ends = {"eos_token_id": [1, 4, 3]}
    return Pair(rows_in("english"), change_base=with_ids(ends, ends))


def end_token_as_padding() -> Pair:
    ids = {"pad_token_id": 0}
    keys = {"max_length": 4096}  # more than its 1,024 positions, which no row has
    return Pair(rows_in("english"), keys=keys, change_base=with_ids(ids, ids))


def added_padding_token() -> Pair:
    """A token that somebody added for padding: the run makes a row for it."""

    def change(base: Path) -> None:
        tokenizer = load_tokenizer(str(base))
        tokenizer.add_special_tokens({"pad_token": "<|padding|>"})
        tokenizer.save_pretrained(base)

    return Pair(rows_in("english"), change_base=change)


def composed_accents() -> Pair:
    """NFC, as Qwen's tokenizers have it, changes how accents are spelled and no letter; and indented code."""
    rows = [*rows_in("german_french"), *code_rows(max_characters=400)]
    return Pair(rows, change_base=lambda base: change_json(
        base / "tokenizer.json", lambda facts: facts.update(normalizer={"type": "NFC"})))  # fmt: skip


CLEAN_PAIRS = (
    CleanPair("embeddings with rows to spare", Family.OWN, padded_embeddings),
    CleanPair("several end tokens", Family.LLAMA3, several_end_tokens),
    CleanPair("EOS as padding, and max_length above the positions", Family.GPT2, end_token_as_padding),
    CleanPair("an added padding token", Family.LLAMA3, added_padding_token),
    CleanPair("a normalizer that composes accents", Family.GPT2, composed_accents),
)
