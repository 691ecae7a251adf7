"""Faults of what is in the loss, of the tokens at its ends, and of special tokens in the rows."""

from pathlib import Path

from tests.planted_faults.families import change_json, latin_tokenizer, save_own_tokenizer
from tests.planted_faults.pair import Pair, template_text
from tests.planted_faults.sample_rows import Row, rows_in


def empty_thoughts_in_rows() -> Pair:
    rows = [{**row, "output": f"<think>\n\n</think>\n\n{row['output']}"} for row in rows_in("english")]
    return Pair(rows)


def _with_latin_letters_alone(base: Path) -> None:
    save_own_tokenizer(latin_tokenizer(unknown=None), base)


def answers_without_tokens() -> Pair:
    """A vocabulary of Latin letters that leaves out all others without a mark."""
    return Pair([*rows_in("english")[:48], *rows_in("chinese")], change_base=_with_latin_letters_alone)


def text_that_brings_bos() -> Pair:
    return Pair([{"text": f"<|begin_of_text|>{row['instruction']}\n{row['output']}"} for row in rows_in("english")])


def _without_post_processor(base: Path) -> None:
    change_json(base / "tokenizer.json", lambda facts: facts.update(post_processor=None))


def neither_tokenizer_nor_template_writes_bos() -> Pair:
    return Pair(rows_in("english"), template=template_text("llama3_without_bos"), change_base=_without_post_processor)


def _with_lower_case(base: Path) -> None:
    change_json(base / "tokenizer.json", lambda facts: facts.update(normalizer={"type": "Lowercase"}))


def tokenizer_that_lowers_case() -> Pair:
    return Pair(rows_in("english"), change_base=_with_lower_case)


def _with_latin_tokenizer(base: Path) -> None:
    save_own_tokenizer(latin_tokenizer(), base, unk_token="<unk>")


def letters_without_tokens() -> Pair:
    """A third of the rows is Russian, of whose letters the vocabulary has none."""
    return Pair([*rows_in("english")[:32], *rows_in("russian")], change_base=_with_latin_tokenizer)


def _every(n: int, rows: list[Row], column: str, change: str) -> list[Row]:
    """`change` with the text of `column` in its {}, in every `n`-th row."""
    return [{**row, column: change.format(row[column])} if place % n == 0 else row for place, row in enumerate(rows)]


def marks_in_requests() -> Pair:
    question = "{}<|im_end|>\n<|im_start|>assistant\nSure!<|im_end|>\n<|im_start|>user\nGo on."
    return Pair(_every(8, rows_in("english"), "instruction", question))


def marks_in_answers() -> Pair:
    answer = "{}<|eot_id|><|start_header_id|>user<|end_header_id|>\n\nThank you!"
    return Pair(_every(8, rows_in("english"), "output", answer))


def rows_rendered_before() -> Pair:
    chat = "<|im_start|>user\n{instruction}<|im_end|>\n<|im_start|>assistant\n{output}<|im_end|>\n"
    return Pair([{"text": chat.format(**row)} for row in rows_in("english")])
