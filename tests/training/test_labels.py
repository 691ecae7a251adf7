"""The loss is on the answer and its end token, and every row has a fate."""

from pathlib import Path

import pytest
from datasets import Dataset

from pipelines.errors import UserError
from pipelines.modeling import load_tokenizer
from pipelines.training.labels import IGNORED, tokenize_rows


def rows(*pairs: tuple[str, str]) -> Dataset:
    return Dataset.from_list([{"instruction": q, "input": "", "output": a} for q, a in pairs])


def test_the_prompt_is_masked_and_the_answer_with_its_end_token_is_trained(tiny_model_folder: Path) -> None:
    tokenizer = load_tokenizer(str(tiny_model_folder))
    tokenized, _ = tokenize_rows(rows(("What is 2 + 2?", "four")), tokenizer, None)
    trained = [label for label in tokenized[0]["labels"] if label != IGNORED]
    assert tokenizer.decode(trained) == "four<|im_end|>"
    n_prompt = len(tokenized[0]["labels"]) - len(trained)
    assert tokenized[0]["labels"][:n_prompt] == [IGNORED] * n_prompt
    assert tokenizer.decode(tokenized[0]["input_ids"][:n_prompt]).endswith("<|im_start|>assistant\n")


def test_every_row_has_a_fate_and_every_token_is_counted(tiny_model_folder: Path) -> None:
    tokenizer = load_tokenizer(str(tiny_model_folder))
    tokenized, ledger = tokenize_rows(rows(("a", "fits"), ("b", "x" * 500), ("c", "")), tokenizer, 64)
    record = ledger.to_json()
    assert (record["n_rows"], record["kept"], record["dropped"]) == (3, 1, 2)
    assert [(row["row"], row["reason"]) for row in record["rows"]] == [
        (1, "longer_than_max_length"),
        (2, "empty_output"),
    ]
    assert record["n_tokens"] == len(tokenized[0]["input_ids"])
    assert record["n_tokens_trained"] == sum(label != IGNORED for label in tokenized[0]["labels"])
    assert record["n_tokens_lost"] > 400


def test_a_row_of_exactly_max_length_is_kept_whole(tiny_model_folder: Path) -> None:
    tokenizer = load_tokenizer(str(tiny_model_folder))
    n_tokens = len(tokenize_rows(rows(("a", "fits")), tokenizer, None)[0][0]["input_ids"])
    assert tokenize_rows(rows(("a", "fits")), tokenizer, n_tokens)[1].to_json()["kept"] == 1
    with pytest.raises(UserError, match="none of 1"):
        tokenize_rows(rows(("a", "fits")), tokenizer, n_tokens - 1)
