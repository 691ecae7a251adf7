"""The ledger: what became of every row between the dataset and the loss, in rows and in tokens."""

from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class RowFate(StrEnum):
    """What happened to a row when it became tokens."""

    KEPT = "kept"
    PROMPT_CUT = "prompt_cut"
    ANSWER_CUT = "answer_cut"
    END_TOKEN_LOST = "end_token_lost"
    SPLIT = "split"
    DROPPED = "dropped"


@dataclass
class Ledger:
    """Counts for each fate, and one entry for each row that was not plainly kept."""

    n_rows: int = 0
    n_examples: int = 0
    n_tokens: int = 0
    n_tokens_trained: int = 0
    n_tokens_lost: int = 0
    fates: dict[RowFate, int] = field(default_factory=lambda: dict.fromkeys(RowFate, 0))
    rows: list[dict[str, Any]] = field(default_factory=list)
    held_out: "Ledger | None" = None  # of the rows that are evaluated on
    example_rows: list[int] = field(default_factory=list)  # the row of each example, where it is known

    def keep(self, n_tokens: int, n_tokens_trained: int, n_examples: int = 1) -> None:
        """A row that is trained on whole: `n_tokens` in all, `n_tokens_trained` of them in the loss."""
        self.n_rows += 1
        self.fates[RowFate.KEPT] += 1
        self._count(n_tokens, n_tokens_trained, n_examples)

    def change(
        self, row: int, fate: RowFate, n_tokens: int, n_tokens_trained: int, n_tokens_lost: int, n_examples: int = 1
    ) -> None:
        """Row number `row`, trained on with `n_tokens` after `n_tokens_lost` were cut, or in several examples."""
        self.n_rows += 1
        self.fates[fate] += 1
        self._count(n_tokens, n_tokens_trained, n_examples)
        self.n_tokens_lost += n_tokens_lost
        self.rows.append({"row": row, "fate": fate.value, "n_tokens": n_tokens, "n_tokens_lost": n_tokens_lost})

    def drop(self, row: int, n_tokens: int, reason: str) -> None:
        """Row number `row`, left out of training with all its tokens."""
        self.n_rows += 1
        self.fates[RowFate.DROPPED] += 1
        self.n_tokens_lost += n_tokens
        self.rows.append({"row": row, "fate": RowFate.DROPPED.value, "n_tokens": n_tokens, "reason": reason})

    def enter(
        self, row: int, fate: RowFate, reason: str | None, n_tokens: int, n_trained: int, n_lost: int, n_examples: int
    ) -> None:
        """Row number `row` with its `fate`, whichever it is."""
        if fate is RowFate.DROPPED:
            self.drop(row, n_lost, str(reason))
        elif fate is RowFate.KEPT:
            self.keep(n_tokens, n_trained, n_examples)
        else:
            self.change(row, fate, n_tokens, n_trained, n_lost, n_examples)

    def _count(self, n_tokens: int, n_tokens_trained: int, n_examples: int) -> None:
        self.n_tokens += n_tokens
        self.n_tokens_trained += n_tokens_trained
        self.n_examples += n_examples

    def dropped_rows(self) -> set[int]:
        """Numbers of the rows that were left out."""
        return {row["row"] for row in self.rows if row["fate"] == RowFate.DROPPED}

    def reasons(self) -> dict[str, int]:
        """Dropped rows by reason, most frequent first."""
        return dict(Counter(row["reason"] for row in self.rows if "reason" in row).most_common())

    def to_json(self) -> dict[str, Any]:
        """The record as it lies in ledger.json."""
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
