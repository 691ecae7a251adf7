"""What this project's trainer cures by itself: faults of the same recipe under `trl sft`."""

from tests.planted_faults.pair import Pair
from tests.planted_faults.sample_rows import conversations, rows_in, with_long_answers


def some_long_answers() -> Pair:
    rows = rows_in("english")
    return Pair([*rows, *with_long_answers(rows[:6], 3)], keys={"max_length": 256})


def turns_of_no_weight() -> Pair:
    """First answers of a bad model, with a second one that is to be learned."""
    chats = conversations(rows_in("english"), 2)
    for chat in chats:
        chat["messages"][1]["weight"] = 0
    return Pair(chats, keys={"assistant_only_loss": True})


def prompts_with_bos() -> Pair:
    prompt = "<|begin_of_text|>Question: {instruction}\nAnswer:"
    return Pair([{"prompt": prompt.format(**row), "completion": f" {row['output']}"} for row in rows_in("english")])
