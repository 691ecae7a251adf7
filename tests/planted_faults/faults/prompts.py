"""Faults between prompts and answers: unread columns, leaks, repeated prompts, lost spaces, shifted rows; cures."""

import random
from collections.abc import Sequence
from dataclasses import replace

from pipelines.records.finding import Finding
from tests.planted_faults.pair import Pair, Row, Stage
from tests.planted_faults.sample_rows import as_messages, preferences, rows_in


def context_beside_prompt_and_completion() -> Pair:
    """Half of the questions are about a passage, which `trl sft` and sft.py read from no column `context`."""
    rows = rows_in("english")
    passages = [row["output"] for row in rows[1:] + rows[:1]]
    return Pair(
        [
            {"prompt": f"Question: {row['instruction']}\n\nAnswer:", "completion": f" {row['output']}",
             "context": passage if n % 2 else ""}
            for n, (row, passage) in enumerate(zip(rows, passages, strict=True))
        ]
    )  # fmt: skip


def thinking_beside_messages() -> Pair:
    rows = rows_in("english")
    thought = "The user asks: {} I should be brief and say the most important thing first."
    return Pair([{"messages": as_messages(row), "thinking": thought.format(row["instruction"])} for row in rows])


def passage_under_another_name() -> Pair:
    """The answers quote a text that is in a column with a name of the user's own."""
    rows = rows_in("english")[:60]
    return Pair(
        [
            {"instruction": f"What does note {n} say? Quote it.", "output": f"It says: {row['output']}",
             "notiz": f"{row['output']} {rows[n - 1]['output']} {row['instruction']}"}
            for n, row in enumerate(rows)
        ]
    )  # fmt: skip


def template_that_includes_the_answer() -> Pair:
    """A prompt template that was made for training on whole texts."""
    return Pair(
        [
            {
                **row,
                "instruction": f"Question: {row['instruction']}\nThe answer is: {row['output']}\nEnd of the answer.",
            }
            for row in rows_in("english")
        ]
    )


def requests_joined_with_answers() -> Pair:
    """A third of the chats come from a script that joined the columns into one."""
    return Pair(
        [
            {"messages": as_messages({**row, "instruction": f"{row['instruction']} {row['output']}"} if n % 3 else row)}
            for n, row in enumerate(rows_in("english"))
        ]
    )


def generated_with_the_prompt() -> Pair:
    """What a generator returns with `return_full_text=True`."""
    return Pair([{**row, "output": f"{row['instruction']} {row['output']}"} for row in rows_in("english")])


def questions_written_again() -> Pair:
    rows = rows_in("english")
    return Pair(
        [
            {
                "messages": as_messages(
                    {**row, "output": f"Question: {row['instruction']}\n{row['output']}"} if n % 5 == 0 else row
                )
            }
            for n, row in enumerate(rows)
        ]
    )


def prompts_that_end_in_a_space() -> Pair:
    return Pair(
        [{"prompt": f"Q: {row['instruction']}\nA: ", "completion": row["output"]} for row in rows_in("english")]
    )


def half_of_the_prompts_end_in_a_space() -> Pair:
    """Two sources, of which one was written with a space at the end of its prompts."""
    ends = (("Reply: ", ""), ("Reply:", " "))
    return Pair(
        [
            {"prompt": f"{row['instruction']}\n{ends[n % 2][0]}", "completion": f"{ends[n % 2][1]}{row['output']}"}
            for n, row in enumerate(rows_in("english"))
        ]
    )


def completions_without_a_space() -> Pair:
    return Pair(
        [{"prompt": f"{row['instruction']} The answer is", "completion": row["output"]} for row in rows_in("english")]
    )


def _moved(rows: Sequence[dict[str, str]], by: int) -> list[dict[str, str]]:
    answers = [row["output"] for row in rows]
    return [{**row, "output": answer} for row, answer in zip(rows, answers[by:] + answers[:by], strict=True)]


def answers_of_the_next_row() -> Pair:
    """A header was counted as the first answer."""
    return Pair(_moved(rows_in("english"), -1))


def half_of_the_answers_moved() -> Pair:
    """One answer is missing in the middle of the file, and all that follow are a row too early."""
    rows = rows_in("english")
    return Pair([*rows[:48], *_moved(rows[48:], 1)])


def answers_of_chats_moved() -> Pair:
    rows = _moved(rows_in("english"), 1)
    return Pair(
        [{"messages": [*as_messages(one), *as_messages(two)]} for one, two in zip(rows[::2], rows[1::2], strict=True)]
    )


def answers_shuffled() -> Pair:
    """Only one of the two columns was shuffled."""
    rows = rows_in("english")
    answers = [row["output"] for row in rows]
    random.Random(0).shuffle(answers)
    return Pair([{**row, "output": answer} for row, answer in zip(rows, answers, strict=True)])


def chosen_of_the_next_row() -> Pair:
    rows = _moved(rows_in("english"), 1)
    return Pair(preferences(rows), stage=Stage.DPO)


def with_passages_in_prompts(pair: Pair, _: Finding) -> Pair:
    """The column before the prompt that asks about it."""
    column = next(name for name in ("context", "notiz") if name in pair.rows[0])
    key = "prompt" if "prompt" in pair.rows[0] else "instruction"
    rows = [{**row, key: f"{row[column]}\n\n{row[key]}".lstrip()} for row in pair.rows]
    return replace(pair, rows=[_without(row, column) for row in rows])


def without_thoughts(pair: Pair, _: Finding) -> Pair:
    return replace(pair, rows=[_without(row, "thinking") for row in pair.rows])


def _without(row: Row, column: str) -> Row:
    return {name: value for name, value in row.items() if name != column}


def with_space_in_completion(pair: Pair, _: Finding) -> Pair:
    rows = [
        {"prompt": row["prompt"].rstrip(" "), "completion": f" {row['completion'].lstrip()}"} for row in pair.rows
    ]  # fmt: skip
    return replace(pair, rows=rows)


def with_chosen_of_their_own(pair: Pair, _: Finding) -> Pair:
    return replace(pair, rows=preferences(rows_in("english")))
