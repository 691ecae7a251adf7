"""The ledger: what became of every row between the dataset and the loss, in rows and in tokens."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class RowFate(StrEnum):
    """What happened to a row when it became tokens."""

    KEPT = "kept"
    PROMPT_CUT = "prompt_cut"
    ANSWER_CUT = "answer_cut"
    END_TOKEN_LOST = "end_token_lost"
    DROPPED = "dropped"


@dataclass
class Ledger:
    """Counts for each fate, and one entry for each row that was not plainly kept."""

    n_rows: int = 0
    n_tokens: int = 0
    n_tokens_trained: int = 0
    n_tokens_lost: int = 0
    fates: dict[RowFate, int] = field(default_factory=lambda: dict.fromkeys(RowFate, 0))
    rows: list[dict[str, Any]] = field(default_factory=list)

    def keep(self, n_tokens: int, n_tokens_trained: int) -> None:
        """A row that is trained on whole: `n_tokens` in all, `n_tokens_trained` of them in the loss."""
        self.n_rows += 1
        self.fates[RowFate.KEPT] += 1
        self.n_tokens += n_tokens
        self.n_tokens_trained += n_tokens_trained

    def drop(self, row: int, n_tokens: int, reason: str) -> None:
        """Row number `row`, left out of training with all its tokens."""
        self.n_rows += 1
        self.fates[RowFate.DROPPED] += 1
        self.n_tokens_lost += n_tokens
        self.rows.append({"row": row, "fate": RowFate.DROPPED.value, "n_tokens": n_tokens, "reason": reason})

    def to_json(self) -> dict[str, Any]:
        """The record as it lies in ledger.json."""
        return {
            "kind": "ledger",
            "n_rows": self.n_rows,
            **{fate.value: count for fate, count in self.fates.items()},
            "n_tokens": self.n_tokens,
            "n_tokens_trained": self.n_tokens_trained,
            "n_tokens_lost": self.n_tokens_lost,
            "rows": self.rows,
        }

    def summary(self) -> str:
        """One line for the terminal."""
        return (
            f"{self.fates[RowFate.KEPT]} of {self.n_rows} rows kept, {self.fates[RowFate.DROPPED]} dropped; "
            f"{self.n_tokens} tokens, {self.n_tokens_trained} of them in the loss, {self.n_tokens_lost} lost"
        )
