"""Short pieces of rows, as evidence: the place of a fault with a little text around it, on one line."""

from collections.abc import Iterator

from pipelines.preflight.check_context import SampledRow, Stage

_MAX_CHARACTERS = 150


def excerpt(text: str, begin: int, end: int) -> str:
    """`text` from `begin` to `end` and what fits around it."""
    end = min(len(text), end, begin + _MAX_CHARACTERS)
    around = (_MAX_CHARACTERS - (end - begin)) // 2
    left, right = max(0, begin - around), min(len(text), end + around)
    shown = _printable(text[left:right])[:_MAX_CHARACTERS]
    return ("…" if left else "") + shown + ("…" if right < len(text) else "")


def head(text: str, n_characters: int = _MAX_CHARACTERS) -> str:
    """The beginning of `text`."""
    shown = _printable(text[:n_characters])[:n_characters]
    return shown if len(text) <= n_characters else f"{shown}…"


def texts_of(row: SampledRow) -> Iterator[tuple[str, str]]:
    """What a row asks and answers, each with its name."""
    if row.asked:
        yield "asked", row.asked
    for answer in row.answers:
        yield "answer", answer


def wanted_answers(row: SampledRow, stage: Stage) -> tuple[str, ...]:
    """The answers that the model shall learn to give: of a preference not the rejected one."""
    return row.answers[:1] if stage is Stage.DPO else row.answers


def _printable(text: str) -> str:
    """`text` with line breaks and all else that cannot be printed escaped."""
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)
