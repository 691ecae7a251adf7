"""The loss is on the assistant's turns and their end tokens, and every row has a fate."""

from itertools import chain
from typing import Any

import pytest
from datasets import Dataset, Features, Json

from data_prep.conversation import RowFormat, TrainOn
from pipelines.errors import UserError
from pipelines.inference.teacher_forcing import IGNORED
from pipelines.recipe.arguments import TruncationPolicy
from pipelines.training.data.labels import RowTokenizer, tokenize_rows
from pipelines.training.data.ledger import RowFate

_TURNS = [("user", "one?"), ("assistant", "1"), ("user", "two?"), ("assistant", "2")]


def rows(*pairs: tuple[str, str]) -> Dataset:
    return Dataset.from_list([{"instruction": q, "input": "", "output": a} for q, a in pairs])


def how(tokenizer: Any, max_length: int | None = None, policy: str = "drop") -> RowTokenizer:
    return RowTokenizer(tokenizer, RowFormat.INSTRUCTION, max_length, TruncationPolicy(policy))


def talks(*rows: dict[str, Any]) -> Dataset:
    return Dataset.from_list(list(rows), features=Features({name: Json() for name in rows[0]}))


def trained_text(tokenizer: Any, example: dict[str, list[int]]) -> str:
    return str(tokenizer.decode([label for label in example["labels"] if label != IGNORED]))


def test_the_prompt_is_masked_and_the_answer_with_its_end_token_is_trained(tokenizer):
    tokenized, _ = tokenize_rows(rows(("What is 2 + 2?", "four")), how(tokenizer))
    assert trained_text(tokenizer, tokenized[0]) == "four<|im_end|>"
    n_prompt = next(place for place, label in enumerate(tokenized[0]["labels"]) if label != IGNORED)
    assert tokenized[0]["labels"][:n_prompt] == [IGNORED] * n_prompt
    assert tokenizer.decode(tokenized[0]["input_ids"][:n_prompt]).endswith("<|im_start|>assistant\n")


def test_a_prompt_of_plain_text_is_masked_and_text_alone_is_trained_with_its_end(tokenizer):
    pair, text = {"prompt": "Q: 2?", "completion": " two"}, {"text": "a story"}
    for row, kind, trained in ((pair, RowFormat.PROMPT_COMPLETION, " two"), (text, RowFormat.TEXT, "a story")):
        tokenized, _ = tokenize_rows(Dataset.from_list([row]), RowTokenizer(tokenizer, kind, None))
        assert trained_text(tokenizer, tokenized[0]) == trained + tokenizer.eos_token


def test_every_row_has_a_fate_and_every_token_is_counted(tokenizer):
    tokenized, ledger = tokenize_rows(rows(("a", "fits"), ("b", "x" * 500), ("c", "")), how(tokenizer, 64))
    record = ledger.to_json()
    assert (record["n_rows"], record["kept"], record["dropped"]) == (3, 1, 2)
    assert record["reasons"] == {"longer_than_max_length": 1, "empty_output": 1}
    assert [(row["row"], row["reason"]) for row in record["rows"]] == [*enumerate(record["reasons"], 1)]
    assert record["n_tokens"] == len(tokenized[0]["input_ids"])
    assert record["n_tokens_trained"] == sum(label != IGNORED for label in tokenized[0]["labels"])
    assert record["n_tokens_lost"] > 400
    n_tokens = len(tokenized[0]["input_ids"])
    assert tokenize_rows(rows(("a", "fits")), how(tokenizer, n_tokens))[1].to_json()["kept"] == 1
    with pytest.raises(UserError, match=r"no row of 1 .*: 1 longer_than_max_length"):
        tokenize_rows(rows(("a", "fits")), how(tokenizer, n_tokens - 1))


def test_truncate_prompt_cuts_the_left_of_the_request_and_keeps_the_template_and_the_answer(tokenizer):
    request = "".join(f"word{n} " for n in range(60)) + "last?"
    tokenized, ledger = tokenize_rows(rows((request, "yes")), how(tokenizer, 64, "truncate_prompt"))
    text = tokenizer.decode(tokenized[0]["input_ids"])
    assert len(tokenized[0]["input_ids"]) <= 64
    assert text.startswith("<|im_start|>user\n")
    assert text.endswith("last?<|im_end|>\n<|im_start|>assistant\nyes<|im_end|>")
    assert ledger.fates[RowFate.PROMPT_CUT] == 1
    assert ledger.n_tokens_lost > 0
    with pytest.raises(UserError, match="answer_longer_than_max_length"):
        tokenize_rows(rows(("a", "x" * 500)), how(tokenizer, 64, "truncate_prompt"))


def test_keep_end_token_cuts_the_answer_and_ends_it(tokenizer):
    tokenized, ledger = tokenize_rows(rows(("a", "x" * 500)), how(tokenizer, 64, "keep_end_token"))
    assert len(tokenized[0]["input_ids"]) == 64
    assert tokenized[0]["labels"][-1] == tokenizer.convert_tokens_to_ids("<|im_end|>")
    assert set(trained_text(tokenizer, tokenized[0]).removesuffix("<|im_end|>")) == {"x"}
    assert ledger.fates[RowFate.ANSWER_CUT] == 1
    with pytest.raises(UserError, match="prompt_longer_than_max_length"):
        tokenize_rows(rows(("x" * 500, "a")), how(tokenizer, 64, "keep_end_token"))


def test_split_keeps_every_trained_token_and_error_names_the_first_long_row(tokenizer):
    whole, _ = tokenize_rows(rows(("a", "x" * 500), ("b", "fits")), how(tokenizer))
    tokenized, ledger = tokenize_rows(rows(("a", "x" * 500), ("b", "fits")), how(tokenizer, 64, "split"))
    assert all(len(example["input_ids"]) <= 64 for example in tokenized)
    assert list(chain.from_iterable(tokenized["input_ids"])) == list(chain.from_iterable(whole["input_ids"]))
    assert (ledger.fates[RowFate.SPLIT], ledger.fates[RowFate.KEPT]) == (1, 1)
    assert ledger.n_examples == len(tokenized) > 2
    with pytest.raises(UserError, match=r"row 1 has .* tokens"):
        tokenize_rows(rows(("a", "fits"), ("b", "x" * 500)), how(tokenizer, 64, "error"))


def test_two_processes_tokenize_as_one_does(tokenizer):
    many = rows(*((f"q{n}", "x" * (20 * n)) for n in range(8)))
    results = [tokenize_rows(many, how(tokenizer, 100), num_proc=n) for n in (None, 2)]
    one, two = ((tokenized.to_list(), ledger.to_json()) for tokenized, ledger in results)
    assert one == two


def test_tools_need_a_template_that_keeps_them(tokenizer):
    messages = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    one = talks({"messages": messages, "tools": [{"name": "area", "parameters": {}}]})
    kind = RowTokenizer(tokenizer, RowFormat.MESSAGES, None)
    assert "area" in tokenizer.decode(tokenize_rows(one, kind)[0][0]["input_ids"])
    tokenizer.chat_template = "{% for m in messages %}{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    tokenizer.chat_template += "{% if add_generation_prompt %}assistant\n{% endif %}"
    with pytest.raises(UserError, match=r"no row of 1 .*: 1 template_drops_tools: the tools"):
        tokenize_rows(one, kind)


def test_a_set_without_one_trained_token_is_one_line_with_its_reasons(tokenizer):
    questions = talks(*[{"messages": [{"role": "user", "content": "a"}]}] * 3)
    with pytest.raises(UserError, match=r"no row of 3 .*: 3 no_assistant_turn"):
        tokenize_rows(questions, RowTokenizer(tokenizer, RowFormat.MESSAGES, None))


def talk(**marks: Any) -> Dataset:
    """One conversation of two answers; `marks` are the keys of the first and the last answer, such as weight=(0, 1)."""
    messages: list[dict[str, Any]] = [{"role": role, "content": text} for role, text in _TURNS]
    for key, (first, last) in marks.items():
        messages[1] |= {} if first is None else {key: first}
        messages[3] |= {} if last is None else {key: last}
    return talks({"messages": messages})


@pytest.mark.parametrize(
    ("train_on", "marks", "trained"),
    [
        ("all_turns", {}, "1<|im_end|>2<|im_end|>"),
        ("last_turn", {}, "2<|im_end|>"),
        ("all_turns", {"weight": (0, None)}, "2<|im_end|>"),
        ("all_turns", {"train": (None, False)}, "1<|im_end|>"),
        ("marked", {"weight": (1, None)}, "1<|im_end|>"),
        ("marked", {"train": (False, True)}, "2<|im_end|>"),
    ],
)
def test_train_on_and_marks_choose_the_turns(tokenizer, train_on, marks, trained):
    chooses = RowTokenizer(tokenizer, RowFormat.MESSAGES, None, train_on=TrainOn(train_on))
    tokenized, ledger = tokenize_rows(talk(**marks), chooses)
    assert "".join(trained_text(tokenizer, example) for example in tokenized) == trained
    assert ledger.fates[RowFate.KEPT] == 1


@pytest.mark.parametrize(
    ("train_on", "marks"), [("marked", {}), ("all_turns", {"weight": (0, 0)}), ("last_turn", {"train": (True, False)})]
)
def test_a_row_without_a_trained_turn_is_dropped(tokenizer, train_on, marks):
    chooses = RowTokenizer(tokenizer, RowFormat.MESSAGES, None, train_on=TrainOn(train_on))
    assert chooses.examples(talk(**marks)[0], 0).reason == "no_trained_turn"


def test_a_loss_on_every_token_has_the_turns_that_a_row_marks_as_untrained(tokenizer):
    every = RowTokenizer(tokenizer, RowFormat.MESSAGES, None, whole_sequence=True)
    [example] = every.examples(talk(weight=(None, 0))[0], 0).examples
    assert example.labels == example.token_ids
    assert tokenizer.decode(example.token_ids).endswith("assistant\n2<|im_end|>")
