"""Faults of what is in the loss, of the tokens at its ends, and of special tokens in the rows."""

from pathlib import Path

from tests.planted_faults.families import Family, change_json, latin_tokenizer, save_own_tokenizer
from tests.planted_faults.faults.fault import ERROR, WARNING, PlantedFault
from tests.planted_faults.pair import Pair
from tests.planted_faults.sample_rows import Row, rows_in

LLAMA3_WITHOUT_BOS = r"""
{%- for message in messages -%}
    {{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n' + message['content'] + '<|eot_id|>' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<|start_header_id|>assistant<|end_header_id|>\n\n' -}}{%- endif -%}
"""


def prompt_in_loss() -> Pair:
    return Pair(rows_in("english"), keys={"completion_only_loss": False})


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
    return Pair(rows_in("english"), template=LLAMA3_WITHOUT_BOS, change_base=_without_post_processor)


def _with_lower_case(base: Path) -> None:
    change_json(base / "tokenizer.json", lambda facts: facts.update(normalizer={"type": "Lowercase"}))


def tokenizer_that_lowers_case() -> Pair:
    return Pair(rows_in("english"), change_base=_with_lower_case)


def _with_latin_tokenizer(base: Path) -> None:
    save_own_tokenizer(latin_tokenizer(), base, unk_token="<unk>")


def letters_without_tokens() -> Pair:
    """A third of the rows is Russian, of whose letters the vocabulary has none."""
    return Pair([*rows_in("english")[:32], *rows_in("russian")], change_base=_with_latin_tokenizer)


def new_marks_left_frozen() -> Pair:
    return Pair(rows_in("english"), keys={"lora_modules_to_save": ["ln_f"]})


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


FAULTS = (
    PlantedFault(
        "PROMPT_IN_LOSS", "completion_only_loss: false", Family.GPT2, WARNING, prompt_in_loss,
        trl_says=r"(?i)loss.*prompt|prompt.*loss",
    ),
    PlantedFault(
        "EMPTY_THINK_TRAINED", "answers exported from a model with thinking turned off", Family.CHATML, WARNING,
        empty_thoughts_in_rows,
        trl_says=r"(?i)think",
    ),
    PlantedFault(
        "ROWS_WITHOUT_LABELS", "Chinese answers of which the vocabulary has no sign", Family.OWN, ERROR,
        answers_without_tokens,
        also={"ANSWER_DOES_NOT_ROUND_TRIP": "nothing is read back out of no token"},
        trl_says=r"(?i)no (trained|valid) token|labels|empty|masked",
    ),
    PlantedFault(
        "DOUBLE_BOS", "texts that begin with the BOS that the tokenizer adds", Family.LLAMA3, ERROR,
        text_that_brings_bos,
        trl_says=r"(?i)\bbos\b",
    ),
    PlantedFault(
        "MISSING_BOS", "neither tokenizer nor template writes BOS", Family.LLAMA3, WARNING,
        neither_tokenizer_nor_template_writes_bos,
        trl_says=r"(?i)\bbos\b",
    ),
    PlantedFault(
        "ANSWER_DOES_NOT_ROUND_TRIP", "a tokenizer that lowers all letters", Family.OWN, WARNING,
        tokenizer_that_lowers_case,
        trl_says=r"(?i)round.?trip|normali[sz]",
    ),
    PlantedFault(
        "UNKNOWN_TOKENS", "Russian rows with a vocabulary of Latin letters", Family.OWN, ERROR, letters_without_tokens,
        trl_says=r"(?i)unknown token|\bunk",
    ),
    PlantedFault(
        "ADDED_TOKENS_UNTRAINED", "lora_modules_to_save without the embeddings of new marks", Family.GPT2, ERROR,
        new_marks_left_frozen,
        trl_cannot="a template file adds no tokens there, and the rows of tokens that come with a cloned one it trains",
    ),
    PlantedFault(
        "TEMPLATE_MARKS_IN_PROMPT", "requests that hold turns in ChatML's marks", Family.CHATML, ERROR,
        marks_in_requests,
        trl_says=r"(?i)im_start|special token",
    ),
    PlantedFault(
        "TEMPLATE_MARKS_IN_ANSWER", "answers that go on with the user's next turn in Llama 3's marks", Family.LLAMA3,
        ERROR, marks_in_answers,
        trl_says=r"(?i)eot_id|special token",
    ),
    PlantedFault(
        "RENDERED_TEXT_ROWS", "a text column that was rendered with the template before", Family.CHATML, WARNING,
        rows_rendered_before,
        trl_says=r"(?i)rendered|im_start|already",
    ),
)  # fmt: skip
