"""Texts, paths and tables as a card shows them."""

from collections.abc import Iterable, Sequence
from typing import TypeVar

from huggingface_hub.errors import HFValidationError
from huggingface_hub.utils import validate_repo_id

from pipelines.report.visible_text import markdown_text

T = TypeVar("T")

NOT_MEASURED = "not measured"
_LEVELS = "▁▂▃▄▅▆▇█"
MAX_LEVELS = 40


def card_text(text: str) -> str:
    """`text` as plain inline Markdown on the Hub, which also reads KaTeX between backslashed brackets."""
    return markdown_text(text).replace("\\\\", "&#92;")


def is_repo_id(name: str) -> bool:
    """Whether `name` can be the id of a repository, `owner/name` or an old `name`, by the Hub's own rule."""
    try:
        validate_repo_id(name)
    except HFValidationError:
        return False
    return True


def sparkline(values: Sequence[float]) -> str:
    """`values` in characters of eight heights, the means of runs where there are many; empty below two values."""
    if len(values) < 2:
        return ""
    size = -(-len(values) // MAX_LEVELS)
    means = [sum(values[at : at + size]) / len(values[at : at + size]) for at in range(0, len(values), size)]
    low, span = min(means), max(means) - min(means)
    return "".join(_LEVELS[round((len(_LEVELS) - 1) * (one - low) / span) if span else 0] for one in means)


def evenly(items: Sequence[T], n_wanted: int) -> list[T]:
    """At most `n_wanted` of `items`, the first and the last among them."""
    if len(items) <= n_wanted:
        return list(items)
    places = {round(number * (len(items) - 1) / (n_wanted - 1)) for number in range(n_wanted)}
    return [items[place] for place in sorted(places)]


def filled(pairs: Iterable[tuple[str, str | None]]) -> list[tuple[str, str]]:
    """`pairs` with words where there is no figure."""
    return [(name, NOT_MEASURED if value is None else value) for name, value in pairs]
