"""Faults of the rows: leaks into the held-out rows, repetition, columns and text."""

from collections.abc import Callable, Sequence

from tests.planted_faults.families import Family
from tests.planted_faults.faults.fault import ERROR, WARNING, PlantedFault
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


FAULTS = (
    PlantedFault(
        "TRAIN_EVAL_OVERLAP", "held-out rows that are trained on", Family.CHATML, ERROR, held_out_rows_in_training,
        trl_says=r"(?i)overlap|leak|contaminat",
    ),
    PlantedFault(
        "TRAIN_EVAL_NEAR_OVERLAP", "held-out rows that are trained on with other spaces and quotes", Family.LLAMA3,
        ERROR, held_out_rows_nearly_in_training,
        trl_says=r"(?i)overlap|leak|contaminat",
    ),
    PlantedFault(
        "GROUP_IN_TWO_SPLITS", "questions about one page in both splits", Family.GPT2, WARNING, group_in_two_splits,
        trl_says=r"(?i)group",
    ),
    PlantedFault(
        "DUPLICATE_ROWS", "a fifth of the rows twice", Family.OWN, WARNING, duplicate_rows,
        trl_says=r"(?i)duplicat",
    ),
    PlantedFault(
        "ANSWERS_ALIKE", "one refusal for a third of the requests", Family.CHATML, WARNING, answers_alike,
        trl_says=r"(?i)duplicat|same answer",
    ),
    PlantedFault(
        "SOURCE_DOMINATES", "a mixture of three sets with one that is 96 percent", Family.LLAMA3, WARNING,
        one_source_dominates,
        trl_says=r"(?i)source|mixture",
    ),
    PlantedFault(
        "CONFLICTING_ANSWERS", "passages in a column that is not read, so that one request has many answers",
        Family.OWN, WARNING, column_that_is_not_read,
        trl_says=r"(?i)conflict|duplicat",
    ),
    PlantedFault(
        "SWAPPED_COLUMNS", "questions in the place of answers", Family.LLAMA3, ERROR, swapped_columns,
        trl_says=r"(?i)swap",
    ),
    PlantedFault(
        "EMPTY_INSTRUCTIONS", "an eighth of the requests is empty", Family.GPT2, ERROR, empty_instructions,
        trl_says=r"(?i)empty",
    ),
    PlantedFault(
        "EMPTY_ANSWERS", "a twelfth of the answers is empty", Family.CHATML, WARNING, empty_answers,
        trl_says=r"(?i)empty",
    ),
    PlantedFault(
        "PLACEHOLDER_VALUES", "N/A, TODO and nan for answers", Family.OWN, WARNING, placeholder_answers,
        trl_says=r"(?i)placeholder",
    ),
    PlantedFault(
        "PLACEHOLDER_VALUES", "{{name}} and {{author}} that nobody filled in", Family.LLAMA3, WARNING, unfilled_names,
        trl_says=r"(?i)placeholder|template variable",
    ),
    PlantedFault(
        "ANSWER_RUNS_ON", "answers that go on with the next task", Family.GPT2, ERROR, answers_that_run_on,
        trl_says=r"(?i)runs? on",
    ),
    PlantedFault(
        "MOJIBAKE", "German and French that was read as Latin-1", Family.CHATML, ERROR, mojibake,
        trl_says=r"(?i)mojibake|encoding",
    ),
    PlantedFault(
        "BROKEN_CHARACTERS", "replacement and control characters in answers", Family.OWN, ERROR, broken_characters,
        trl_says=r"(?i)(invalid|broken|control) character",
    ),
)  # fmt: skip
