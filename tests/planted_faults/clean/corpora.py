"""Documents without a fault that have something in common."""

from collections.abc import Iterable

from tests.planted_faults.clean.clean_pair import CleanPair
from tests.planted_faults.families import Family
from tests.planted_faults.pair import Pair, Stage
from tests.planted_faults.sample_rows import code_rows, rows_in


def _pair(texts: Iterable[str]) -> Pair:
    return Pair([{"text": text} for text in texts], stage=Stage.PRETRAIN)


def modules() -> Pair:
    """Source files that begin with the same short license line and imports, and end alike."""
    head = "# SPDX-License-Identifier: MIT\nfrom __future__ import annotations\n\n"
    rest = '\n\n\nif __name__ == "__main__":\n    import doctest\n\n    doctest.testmod()\n'
    return _pair(head + row["output"] + rest for row in code_rows() if len(row["output"]) > 700)


def chapters() -> Pair:
    """Numbered titles, and headings that all chapters have."""
    rows = rows_in("english")
    return _pair(
        f"Chapter {n} of the collected answers\n\nQuestions\n{one['instruction']}\n{two['instruction']}\n\n"
        f"Answers\n{one['output']}\n{two['output']}"
        for n, (one, two) in enumerate(zip(rows[::2], rows[1::2], strict=True), 1)
    )


def sheets() -> Pair:
    """Short data sheets of one form, which differ in names and numbers."""
    towns = ("Oslo", "Lima", "Cairo", "Delhi", "Rome", "Quito", "Perth", "Hanoi", "Accra", "Minsk", "Sofia", "Dakar")
    things = ("bakery", "library", "school", "harbor", "market")
    return _pair(
        f"{town}: {thing}\nOpen from {7 + n % 4} to {15 + n % 6}. Visitors last year: {n * 137 % 4000 + 200}.\n"
        f"It has {n % 7 + 2} rooms, {n % 5 + 1} of them on the street, and was built in {1800 + n * 17 % 200}."
        for n, (town, thing) in enumerate((town, thing) for town in towns for thing in things)
    )


def dialogues() -> Pair:
    """Scenes in which people greet each other in a few ways and take leave in one."""
    greetings = ("Good morning, Ben.", "Hello, my dear.", "Ben, you are late!", "Come in.")
    return _pair(
        f"ANNA: {greetings[n % 4]}\nBEN: {row['instruction']}\nANNA: {row['output']}\nBEN: Thank you."
        for n, row in enumerate(rows_in("english"))
    )


CLEAN_PAIRS = (
    CleanPair("modules with a license line", Family.CHATML, modules),
    CleanPair("chapters", Family.LLAMA3, chapters),
    CleanPair("data sheets", Family.OWN, sheets),
    CleanPair("scenes", Family.GPT2, dialogues),
)
