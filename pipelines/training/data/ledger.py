"""The ledger: what happens to every row between the dataset and the loss, in rows and in tokens."""

from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class RowFate(StrEnum):
    """The fate of a row in tokenization."""

    KEPT = "kept"
    PROMPT_CUT = "prompt_cut"
    ANSWER_CUT = "answer_cut"
    END_TOKEN_LOST = "end_token_lost"
    SPLIT = "split"
    DROPPED = "dropped"


@dataclass
class Ledger:
    """Counts for each fate, and one entry for each row that was not kept unchanged."""

    n_rows: int = 0
    n_examples: int = 0
    n_tokens: int = 0
    n_tokens_trained: int = 0
    n_tokens_lost: int = 0
    fates: dict[RowFate, int] = field(default_factory=lambda: dict.fromkeys(RowFate, 0))
    rows: list[dict[str, Any]] = field(default_factory=list)
    held_out: "Ledger | None" = None  # of the evaluation rows
    example_rows: list[int] = field(default_factory=list)  # the row of each example, if known

    def enter(
        self, row: int, fate: RowFate, reason: str | None, n_tokens: int, n_trained: int, n_lost: int, n_examples: int
    ) -> None:
        """Add row number `row`: `n_tokens` in `n_examples`, `n_trained` of them in the loss, `n_lost` removed.

        A dropped row has no examples, a `reason`, and all its tokens in `n_lost`.
        """
        self.n_rows += 1
        self.fates[fate] += 1
        self.n_tokens_lost += n_lost
        if fate is RowFate.DROPPED:
            self.rows.append({"row": row, "fate": fate.value, "n_tokens": n_lost, "reason": str(reason)})
            return
        self.n_tokens += n_tokens
        self.n_tokens_trained += n_trained
        self.n_examples += n_examples
        if fate is not RowFate.KEPT:
            self.rows.append({"row": row, "fate": fate.value, "n_tokens": n_tokens, "n_tokens_lost": n_lost})

    def drop(self, row: int, n_tokens: int, reason: str) -> None:
        """Add row number `row`, dropped with all its tokens."""
        self.enter(row, RowFate.DROPPED, reason, 0, 0, n_tokens, 0)

    def dropped_rows(self) -> set[int]:
        """Numbers of the dropped rows."""
        return {row["row"] for row in self.rows if row["fate"] == RowFate.DROPPED}

    def numbers_of_examples(self) -> list[int]:
        """The number of each example's row; where that is not recorded, each kept row is one example."""
        dropped = self.dropped_rows()
        return self.example_rows or [row for row in range(self.n_rows) if row not in dropped]

    def reasons(self) -> dict[str, int]:
        """Dropped rows by reason, most frequent first."""
        return dict(Counter(row["reason"] for row in self.rows if "reason" in row).most_common())

    def to_json(self) -> dict[str, Any]:
        """The content of ledger.json."""
        return {
            "kind": "ledger",
            "n_rows": self.n_rows,
            **{fate.value: count for fate, count in self.fates.items()},
            "n_examples": self.n_examples,
            "n_tokens": self.n_tokens,
            "n_tokens_trained": self.n_tokens_trained,
            "n_tokens_lost": self.n_tokens_lost,
            "reasons": self.reasons(),
            "rows": self.rows,
            **({"held_out": self.held_out.to_json()} if self.held_out and self.held_out.n_rows else {}),
        }

    def summary(self) -> str:
        """One line for the terminal."""
        others = [
            f"{count} {fate.value.replace('_', ' ')}"
            for fate, count in self.fates.items()
            if fate not in (RowFate.KEPT, RowFate.DROPPED) and count
        ]
        reasons = ", ".join(f"{count} {reason}" for reason, count in self.reasons().items())
        dropped = f"{self.fates[RowFate.DROPPED]} dropped" + (f" ({reasons})" if reasons else "")
        return (
            f"{', '.join([f'{self.fates[RowFate.KEPT]} of {self.n_rows} rows kept', *others, dropped])}; "
            f"{self.n_tokens} tokens, {self.n_tokens_trained} of them in the loss, {self.n_tokens_lost} lost"
        )
