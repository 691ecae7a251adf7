"""Reject texts that repeat themselves, as data_prep/text_rules/repeats.py finds them."""

from collections.abc import Sequence
from dataclasses import dataclass

from data_prep.cleaning.row_texts import RowText
from data_prep.cleaning.step import Rejected, RowStep, StepFunction, Verdict
from data_prep.cleaning.steps.answers import NOT_LEARNED
from data_prep.text_rules.repeats import MAX_SHARE, MIN_CHARACTERS, may_repeat, repeats
from pipelines.errors import UserError

_CHECKED_ROLES = frozenset({"assistant", "text", "reasoning"})


@dataclass(frozen=True)
class Repetition:
    """`max_share`: the largest share of a text's characters in repeats, first copies not counted; two fifths of it for
    runs of one character and loops that go on to the end of the text."""

    max_share: float = MAX_SHARE


def _repetition(options: Repetition) -> StepFunction:
    limit = options.max_share
    if isinstance(limit, bool) or not isinstance(limit, int | float) or not 0 < limit < 1:
        raise UserError(
            f"repetition: max_share is {limit!r}, expected a number between 0 and 1", "write max_share: 0.75"
        )

    is_strict = limit < Repetition.max_share  # then every text is read: the cheap test may miss smaller shares

    def step(texts: Sequence[RowText]) -> Verdict:
        for one in texts:
            text = one.text
            if len(text) < MIN_CHARACTERS or one.role not in _CHECKED_ROLES or one.column in NOT_LEARNED:
                continue
            if not one.is_trained or not (is_strict or may_repeat(text)):
                continue
            if (found := repeats(text, limit)) is not None:
                what, share = found
                return Rejected("repetition", {"what": what, "share": round(share, 3)})
        return None

    return step


STEPS: list[RowStep] = [
    RowStep("repetition", "rejects texts that are mostly repeated sentences or words", _repetition, Repetition)
]
