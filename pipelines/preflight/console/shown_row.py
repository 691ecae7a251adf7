"""A row to show: every token with its role; long runs of tokens are counted, not shown."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from pipelines.training.data.ledger import RowFate

_MIN_GAP = 8  # fewer tokens are shown rather than counted


class Role(StrEnum):
    """The role of a token: start of the row, prompt, answer, end token of an answer, or cut off."""

    BEGIN = "begin"
    PROMPT = "prompt"
    ANSWER = "answer"
    END = "end"
    CUT = "cut"


@dataclass(frozen=True)
class ShownToken:
    """One token; `trained` if it is in the loss."""

    text: str
    token_id: int
    trained: bool
    role: Role

    def to_json(self) -> list[Any]:
        """Text, id, whether trained, role."""
        return [self.text, self.token_id, self.trained, self.role.value]


@dataclass(frozen=True)
class Gap:
    """`n_tokens` consecutive tokens that are not shown; `role` is None if they have several."""

    n_tokens: int
    role: Role | None
    n_trained: int = 0

    def to_json(self) -> dict[str, Any]:
        """The gap in a page's record."""
        return asdict(self)


Piece = ShownToken | Gap


@dataclass(frozen=True)
class ShownExample:
    """One training example of a row, with what was cut off in its place; the counts are of the whole example."""

    title: str | None
    pieces: tuple[Piece, ...]
    n_tokens: int
    n_trained: int
    n_cut: int

    def to_json(self) -> dict[str, Any]:
        """The example in a page's record."""
        counts = {name: value for name, value in vars(self).items() if name != "pieces"}
        return {**counts, "tokens": [piece.to_json() for piece in self.pieces]}


@dataclass(frozen=True)
class ShownRow:
    """A row by its number in the split (from 0), its fate, and its examples."""

    number: int
    split: str
    fate: RowFate
    reason: str | None
    examples: tuple[ShownExample, ...]

    @property
    def n_tokens(self) -> int:
        """Tokens that the model reads."""
        return sum(example.n_tokens for example in self.examples)

    @property
    def n_trained(self) -> int:
        """Tokens in the loss."""
        return sum(example.n_trained for example in self.examples)

    @property
    def n_cut(self) -> int:
        """Tokens of the row that the model never reads."""
        return sum(example.n_cut for example in self.examples)

    def to_json(self) -> dict[str, Any]:
        """The row in a page's record."""
        counts = {"n_tokens": self.n_tokens, "n_trained": self.n_trained, "n_cut": self.n_cut}
        examples = [example.to_json() for example in self.examples]
        facts = {"row": self.number, "split": self.split, "fate": self.fate.value, "reason": self.reason}
        return {**facts, **counts, "examples": examples}


def kept_places(roles: Sequence[Role | None], around: int, most: int) -> list[bool]:
    """Which places are shown: the beginning, the end and `around` places on both sides of each change of role.

    Where that is more than `most`, the first and last half of `most` are.
    """
    n = len(roles)
    changes = [place for place in range(1, n) if roles[place] is not roles[place - 1]]
    kept = [False] * n
    for change in (0, *changes, n):
        for place in range(max(0, change - around), min(n, change + around)):
            kept[place] = True
    _show_small_gaps(kept)
    shown = [place for place in range(n) if kept[place]]
    for place in shown[most // 2 : -(most // 2)] if len(shown) > most else []:
        kept[place] = False
    return kept


def without(pieces: Sequence[Piece], kept: Sequence[bool]) -> tuple[Piece, ...]:
    """`pieces` where those that are not kept are gaps, and gaps side by side are one."""
    shown: list[Piece] = []
    for piece, stays in zip(pieces, kept, strict=True):
        gap = piece if isinstance(piece, Gap) else None if stays else Gap(1, piece.role, int(piece.trained))
        if gap is None:
            shown.append(piece)
        elif shown and isinstance(shown[-1], Gap):
            shown[-1] = _joined(shown[-1], gap)
        else:
            shown.append(gap)
    return tuple(shown)


def _joined(one: Gap, other: Gap) -> Gap:
    role = one.role if one.role is other.role else None
    return Gap(one.n_tokens + other.n_tokens, role, one.n_trained + other.n_trained)


def _show_small_gaps(kept: list[bool]) -> None:
    begin = 0
    for place in range(len(kept) + 1):
        if place == len(kept) or kept[place]:
            if place - begin < _MIN_GAP:
                kept[begin:place] = [True] * (place - begin)
            begin = place + 1
