"""What two orders of a pair say together."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Winner(StrEnum):
    """Which model a reply prefers, its place in the question resolved."""

    BASE = "base"
    INSTRUCT = "instruct"
    TIE = "tie"


class Verdict(StrEnum):
    """The pair's outcome, seen from the instruct model."""

    WIN = "win"
    TIE = "tie"
    LOSS = "loss"


@dataclass(frozen=True)
class Judgement:
    """The replies to both orders of one pair, None where there is none or it is unreadable.

    `was_asked` is false where both answers are the same text: that is a tie, for which nobody is paid.
    """

    base_first: Winner | None
    instruct_first: Winner | None
    reason: str = ""
    error: str | None = None
    was_asked: bool = True

    @property
    def verdict(self) -> Verdict | None:
        """A win or loss only if both orders agree, else a tie: a judge that prefers a place has shown no difference."""
        if self.base_first is None or self.instruct_first is None:
            return None
        if self.base_first is not self.instruct_first or self.base_first is Winner.TIE:
            return Verdict.TIE
        return Verdict.WIN if self.base_first is Winner.INSTRUCT else Verdict.LOSS

    @property
    def agrees_with_itself(self) -> bool | None:
        """Whether both orders say the same; None where the judge did not say it twice."""
        if not self.was_asked or self.verdict is None:
            return None
        return self.base_first is self.instruct_first

    def to_json(self) -> dict[str, Any]:
        """`judgements[name]` in responses.jsonl."""
        return {
            "base_first": self.base_first,
            "instruct_first": self.instruct_first,
            "verdict": self.verdict,
            "reason": self.reason,
            **({"error": self.error} if self.error else {}),
        }
