"""The gates on a ledger: how many answers may be cut and how many rows dropped before a run is stopped."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence

from pipelines.recipe.arguments import DataArguments, PreferenceArguments
from pipelines.records.finding import MAX_EVIDENCE, Evidence, Finding, Severity
from pipelines.training.data.ledger import Ledger, RowFate

_CUT = (RowFate.ANSWER_CUT.value, RowFate.END_TOKEN_LOST.value)
_TOO_LONG = ("longer_than_max_length", "answer_longer_than_max_length", "prompt_longer_than_max_length")
_REFUSED = "refused"  # the doctor's reason for a row at which the run stops, which is a finding of its own
_LENGTH_STEP = 64  # lengths are suggested in the steps in which kernels are fast
_LONGER_SHARE = 0.01  # of the rows may be longer than a length that is suggested: one giant would decide it otherwise
_REMEDIES = {
    "empty_output": "remove the rows without an answer, or check the answer column",
    "empty_prompt": "remove the rows without a prompt, or check the prompt column",
    "no_assistant_turn": "check the roles: these rows have no assistant turn",
    "no_trained_turn": "check train_on and the turns' marks (weight, train): these rows have no turn in the loss",
    "unknown_role": "rename the roles of these rows to system, user, assistant or tool",
    "chosen_equals_rejected": "remove the pairs of equal answers, or check the columns chosen and rejected",
    "template_refuses": "set chat_template_path to a template that accepts these rows",
}


def threshold_findings(
    ledger: Ledger,
    data: DataArguments,
    *,
    lengths: Mapping[int, int] | None = None,
    max_positions: int | None = None,
    n_total: int | None = None,
) -> list[Finding]:
    """ANSWERS_CUT and ROWS_DROPPED where `ledger` has more of them than the recipe allows; both of severity error.

    `lengths` are the tokens of rows by number, where they are known better than from the ledger; `max_positions` is
    the longest that the model takes; `n_total` are the rows of which those in the ledger are a sample.
    """
    if not ledger.n_rows:
        return []
    of = f"{ledger.n_rows} rows" + (f" checked (of {n_total})" if n_total and n_total > ledger.n_rows else "")
    gates = (
        _answers_cut(ledger, data, of, lengths, max_positions),
        _rows_dropped(ledger, data, of, lengths, max_positions),
    )
    return [finding for finding in gates if finding is not None]


def length_for(lengths: Sequence[int], n_rows: int, max_positions: int | None) -> int | None:
    """A `max_length` that all but 1% of `n_rows` fit into, given the `lengths` of those that are too long now; None if
    the model's positions are too few for any of them."""
    longest_first = sorted(lengths, reverse=True)
    if not longest_first:
        return None
    needed = longest_first[min(int(_LONGER_SHARE * n_rows), len(longest_first) - 1)]
    rounded = math.ceil(needed / _LENGTH_STEP) * _LENGTH_STEP
    if max_positions is not None and max_positions < rounded:
        return max_positions if max_positions >= longest_first[-1] else None
    return rounded


def _answers_cut(
    ledger: Ledger, data: DataArguments, of: str, lengths: Mapping[int, int] | None, max_positions: int | None
) -> Finding | None:
    n_cut = sum(ledger.fates[RowFate(fate)] for fate in _CUT)
    if n_cut <= data.max_answer_cut_share * ledger.n_rows:
        return None
    cut = [row for row in ledger.rows if row["fate"] in _CUT]
    length = length_for(_lengths(cut, data, lengths), ledger.n_rows, max_positions)
    return Finding(
        "ANSWERS_CUT",
        Severity.ERROR,
        summary=f"{n_cut} of {of} ({n_cut / ledger.n_rows:.1%}) have a truncated answer",
        why="the model learns to stop in the middle of an answer",
        remedy=f"{_longer(length)}long_rows: drop, or max_answer_cut_share: {_above(n_cut / ledger.n_rows)} if that is "
        "meant",
        evidence=tuple(
            Evidence(f"{row['n_tokens_lost']} tokens cut off, {row['n_tokens']} left", row["row"])
            for row in cut[:MAX_EVIDENCE]
        ),
        n_rows=n_cut,
    )  # fmt: skip


def _rows_dropped(
    ledger: Ledger, data: DataArguments, of: str, lengths: Mapping[int, int] | None, max_positions: int | None
) -> Finding | None:
    dropped = [row for row in ledger.rows if row.get("reason", _REFUSED) != _REFUSED]
    share = len(dropped) / ledger.n_rows
    if share <= data.max_dropped_share:
        return None
    reasons = Counter(_kind(row["reason"]) for row in dropped).most_common()
    told = ", ".join(f"{count} {reason}" for reason, count in reasons)
    long = [row for row in dropped if row["reason"] in _TOO_LONG]
    length = length_for(_lengths(long, data, lengths), ledger.n_rows, max_positions)
    return Finding(
        "ROWS_DROPPED",
        Severity.ERROR,
        summary=f"{len(dropped)} of {of} ({share:.1%}) are dropped: {told}",
        why="dropped rows are not learned, and they are rarely a representative sample",
        remedy=f"{_remedy(reasons[0][0], length)}, or max_dropped_share: {_above(share)} if that is intended",
        evidence=tuple(
            Evidence(f"{row['reason']}, {row['n_tokens']} tokens"[:160], row["row"]) for row in dropped[:MAX_EVIDENCE]
        ),
        n_rows=len(dropped),
    )


def _remedy(reason: str, length: int | None) -> str:
    if reason == "longer_than_max_length":
        return f"{_longer(length)}long_rows: truncate_prompt"
    if reason == "prompt_longer_than_max_length":
        return f"{_longer(length)}long_rows: truncate_prompt"
    if reason == "answer_longer_than_max_length":
        return f"{_longer(length)}long_rows: keep_end_token, which truncates answers"
    return _REMEDIES.get(reason, f"mend or remove the rows with {reason}")


def _longer(length: int | None) -> str:
    return f"set max_length: {length} or " if length else "set "


def _lengths(rows: Sequence[Mapping[str, int]], data: DataArguments, known: Mapping[int, int] | None) -> list[int]:
    """Tokens of each of the ledger's rows. Of a pair the ledger counts both answers, which says too little."""
    if known is None and isinstance(data, PreferenceArguments):
        return []
    return [(known or {}).get(row["row"], row["n_tokens"] + row.get("n_tokens_lost", 0)) for row in rows]


def _kind(reason: str) -> str:
    """A reason without what differs from row to row."""
    return reason.partition(":")[0]


def _above(share: float) -> float:
    return math.ceil(share * 100) / 100
