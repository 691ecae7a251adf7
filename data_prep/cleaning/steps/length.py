"""Reject rows whose texts are too long or too short, in characters or words. Off without options."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields

from data_prep.cleaning.row_texts import RowText
from data_prep.cleaning.step import Rejected, RowStep, StepFunction, Verdict
from pipelines.errors import UserError

# What a limit is about: the request is all user turns and the input column; a row all of its texts.
_ROLES = {"output": ("assistant",), "prompt": ("user", "input"), "text": ("text",)}
_UNITS: dict[str, Callable[[str], int]] = {"chars": len, "words": lambda text: len(text.split())}


@dataclass(frozen=True)
class LengthLimits:
    """Limits of each answer (`output`), request (`prompt`) and document (`text`); the limit itself is allowed. None:
    no limit."""

    output_chars: int | None = None
    output_words: int | None = None
    prompt_chars: int | None = None
    prompt_words: int | None = None
    text_chars: int | None = None
    text_words: int | None = None


def _length_step(options: LengthLimits, name: str, is_beyond: Callable[[int, int], bool], word: str) -> StepFunction:
    """Return a step that rejects a row if a text is beyond its limit, as `output_too_long`.

    The reason of an answer begins with its column, such as `chosen_too_long`.
    """
    limits = []
    for field in fields(options):
        limit = getattr(options, field.name)
        if limit is None:
            continue
        if not isinstance(limit, int) or isinstance(limit, bool) or limit < 1:
            problem = f"{name}: {field.name} is {limit!r}, expected a whole number from 1"
            raise UserError(problem, "write the number, or leave the option out for no limit")
        what, unit = field.name.split("_")
        limits += [(role, what, unit, limit) for role in _ROLES[what]]
    if not limits:
        names = ", ".join(field.name for field in fields(options))
        raise UserError(f"{name} has no limit, expected one of {names}", f"write {name}: {{output_chars: 4000}}")

    def step(texts: Sequence[RowText]) -> Verdict:
        for one in texts:
            for role, what, unit, limit in limits:
                if role == one.role and is_beyond(length := _UNITS[unit](one.text), limit):
                    subject = one.column if one.column in ("chosen", "rejected") else what
                    return Rejected(f"{subject}_too_{word}", {f"n_{unit}": length})
        return None

    return step


def _max_length(options: LengthLimits) -> StepFunction:
    return _length_step(options, "max_length", lambda length, limit: length > limit, "long")


def _min_length(options: LengthLimits) -> StepFunction:
    return _length_step(options, "min_length", lambda length, limit: length < limit, "short")


STEPS: list[RowStep] = [
    RowStep("max_length", "rejects rows with an answer, request or document over a limit", _max_length, LengthLimits),
    RowStep("min_length", "rejects rows with an answer, request or document under a limit", _min_length, LengthLimits),
]
