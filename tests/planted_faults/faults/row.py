"""Faults of the rows: leaks into the held-out rows, repetition, columns and text."""

from collections.abc import Callable, Sequence

from tests.planted_faults.pair import Pair
from tests.planted_faults.sample_rows import Row, rows_in


def _changed(rows: Sequence[Row], n: int, change: Callable[[Row], Row]) -> list[Row]:
    """Every `n`-th row changed."""
    return [{**row, **change(row)} if place % n == 0 else row for place, row in enumerate(rows)]


def held_out_rows_in_training() -> Pair:
    rows = rows_in("english")
    return Pair(rows, held_out=rows[::8])


def _slightly_other(row: Row) -> Row:
    """What a second crawl of the same page gives: other spaces and quotes, a word more."""
    asked = row["instruction"].lower().replace("?", " ?").replace('"', "'")
    return {"instruction": f"{asked} ", "output": row["output"].replace(", ", " , ").rstrip(".")}


def held_out_rows_nearly_in_training() -> Pair:
    rows = rows_in("english")
    return Pair(rows, held_out=[_slightly_other(row) for row in rows if len(row["output"]) > 80][::6])


def group_in_two_splits() -> Pair:
    """Questions about one page each have its number; the rows were split at random over the pages."""
    rows = [{**row, "group": f"page-{n // 4}"} for n, row in enumerate(rows_in("english"))]
    held_out = rows[::8]
    return Pair([row for row in rows if row not in held_out], held_out=held_out)


def duplicate_rows() -> Pair:
    rows = rows_in("english")
    return Pair([*rows, *rows[:24]])


def answers_alike() -> Pair:
    refusal = "I'm sorry, but as an AI language model I cannot help with that request."
    return Pair(_changed(rows_in("english"), 3, lambda _: {"output": refusal}))


def one_source_dominates() -> Pair:
    """A mixture of three sets of which one was not drawn down."""
    names = ["forum"] * 92 + ["manual", "manual", "support", "support"]
    return Pair([{**row, "source": name} for row, name in zip(rows_in("english"), names, strict=True)])


def column_that_is_not_read() -> Pair:
    """A third of the rows asks about a passage in the column `context`, as Dolly has it, and is trained without it."""
    rows = rows_in("english")
    asked = [
        {"instruction": "Which question does the passage answer? Put it in other words.", "context": row["output"],
         "output": f"It answers: {row['instruction']}"}
        for row in rows[64:]
    ]  # fmt: skip
    return Pair([*({**row, "context": ""} for row in rows[:64]), *asked])


def swapped_columns() -> Pair:
    return Pair([{"instruction": row["output"], "output": row["instruction"]} for row in rows_in("english")])


def empty_instructions() -> Pair:
    return Pair(_changed(rows_in("english"), 8, lambda _: {"instruction": ""}))


def empty_answers() -> Pair:
    return Pair(_changed(rows_in("english"), 12, lambda _: {"output": ""}))


def placeholder_answers() -> Pair:
    """What pandas and busy annotators leave."""
    fillers = iter(("nan", "N/A", "TODO", "nan", "None", "null") * 2)
    return Pair(_changed(rows_in("english"), 8, lambda _: {"output": next(fillers)}))


def unfilled_names() -> Pair:
    """A set about the assistant's identity whose template variables nobody filled in."""
    answer = "I am {{{{name}}}}, an assistant of {{{{author}}}}. {}"
    return Pair(_changed(rows_in("english"), 6, lambda row: {"output": answer.format(row["output"])}))


def answers_that_run_on() -> Pair:
    """A base answered and wrote the next task as well, as in Alpaca."""
    rows = rows_in("english")
    others = iter(rows[1:] + rows[:1])

    def with_next_task(row: Row) -> Row:
        other = next(others)
        return {
            "output": f"{row['output']}\n\n### Instruction:\n{other['instruction']}\n\n### Response:\n{other['output']}"
        }

    return Pair(_changed(rows, 8, with_next_task))


def mojibake() -> Pair:
    """Half of a German and French set was read with the wrong encoding."""
    broken = [
        {key: text.encode().decode("cp1252", errors="ignore") for key, text in row.items()}
        for row in rows_in("german_french")[::2]
    ]
    return Pair([*rows_in("english"), *rows_in("german_french")[1::2], *broken])


def broken_characters() -> Pair:
    """What a wrong decoder and a C program leave in texts."""
    marks = iter(("\N{REPLACEMENT CHARACTER}", "\0", "\x08", "\N{REPLACEMENT CHARACTER}") * 3)
    return Pair(_changed(rows_in("english"), 8, lambda row: {"output": row["output"].replace("e", next(marks), 1)}))
