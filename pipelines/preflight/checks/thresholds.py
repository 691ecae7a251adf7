"""Thresholds on a ledger: how many answers may be truncated and how many rows dropped before the run is stopped."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence

from pipelines.recipe.arguments import DataArguments, PreferenceArguments
from pipelines.records.finding import MAX_EVIDENCE, Evidence, Finding, Severity
from pipelines.training.data.ledger import Ledger, RowFate

_CUT = (RowFate.ANSWER_CUT.value, RowFate.END_TOKEN_LOST.value)
_TOO_LONG = {"longer_than_max_length", "prompt_longer_than_max_length", "answer_longer_than_max_length"}
_REFUSED = "refused"  # the reason of a row at which the run stops, which is another finding
_LENGTH_STEP = 64  # lengths are suggested in steps for which kernels are fast
_LONGER_SHARE = 0.01  # of the rows may be longer than a suggested length, so that one giant row does not decide it
_REMEDIES = {
    "empty_output": "remove the rows without an answer, or check the answer column",
    "empty_prompt": "remove the rows without a prompt, or check the prompt column",
    "no_assistant_turn": "check the roles: these rows have no assistant turn",
    "no_trained_turn": "check train_on and the marks of the turns (weight, train): no turn of these rows is trained",
    "unknown_role": "rename the roles of these rows to system, user, assistant or tool",
    "chosen_equals_rejected": "remove the pairs with equal answers, or check the columns chosen and rejected",
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
    """ANSWERS_CUT and ROWS_DROPPED, both errors, if `ledger` has more of them than the recipe allows.

    `lengths` are the tokens of rows by number, where they are known; `max_positions` is the longest sequence of the
    model; `n_total` is the number of rows from which those in the ledger are sampled.
    """
    if not ledger.n_rows:
        return []
    rows = f"{ledger.n_rows} rows" + (f" (a sample of {n_total})" if n_total and n_total > ledger.n_rows else "")
    found = (
        _answers_cut(ledger, data, rows, lengths, max_positions),
        _rows_dropped(ledger, data, rows, lengths, max_positions),
    )
    return [finding for finding in found if finding is not None]


def _answers_cut(
    ledger: Ledger, data: DataArguments, rows: str, lengths: Mapping[int, int] | None, max_positions: int | None
) -> Finding | None:
    cut = [row for row in ledger.rows if row["fate"] in _CUT]
    n_cut = sum(ledger.fates[RowFate(fate)] for fate in _CUT)
    share = n_cut / ledger.n_rows
    if share <= data.max_answer_cut_share:
        return None
    length = length_for(_lengths(cut, data, lengths), ledger.n_rows, max_positions, data.max_answer_cut_share)
    n_dropped = n_cut + ledger.fates[RowFate.DROPPED]
    few = ["long_rows: drop"] * (n_dropped <= data.max_dropped_share * ledger.n_rows)
    return Finding(
        "ANSWERS_CUT",
        Severity.ERROR,
        summary=f"the answers of {n_cut} of {rows} ({share:.1%}) are truncated",
        why="a model that is trained on truncated answers learns to stop in the middle",
        remedy=either(longer_or_split(length, data) + few)
        + f", or max_answer_cut_share: {_above(share)} if this is intended",
        evidence=tuple(
            Evidence(f"{row['n_tokens_lost']} tokens cut off, {row['n_tokens']} left", row["row"])
            for row in cut[:MAX_EVIDENCE]
        ),
        n_rows=n_cut,
    )


def _rows_dropped(
    ledger: Ledger, data: DataArguments, rows: str, lengths: Mapping[int, int] | None, max_positions: int | None
) -> Finding | None:
    dropped = [row for row in ledger.rows if row.get("reason", _REFUSED) != _REFUSED]
    share = len(dropped) / ledger.n_rows
    if share <= data.max_dropped_share:
        return None
    reasons = Counter(row["reason"].partition(":")[0] for row in dropped).most_common()
    long = [row for row in dropped if row["reason"] in _TOO_LONG]
    length = length_for(_lengths(long, data, lengths), ledger.n_rows, max_positions, data.max_dropped_share)
    remedies = _enough(reasons, data.max_dropped_share * ledger.n_rows, either(longer_or_split(length, data)))
    return Finding(
        "ROWS_DROPPED",
        Severity.ERROR,
        summary=f"{len(dropped)} of {rows} ({share:.1%}) are dropped: "
        + ", ".join(f"{count} {reason}" for reason, count in reasons),
        why="the model learns nothing from dropped rows, and they are rarely typical",
        remedy=f"{'; and '.join(remedies)}, or max_dropped_share: {_above(share)} if this is intended",
        evidence=tuple(
            Evidence(f"{row['reason']}, {row['n_tokens']} tokens"[:160], row["row"]) for row in dropped[:MAX_EVIDENCE]
        ),
        n_rows=len(dropped),
    )


def _enough(reasons: Sequence[tuple[str, int]], n_allowed: float, for_long: str) -> list[str]:
    """The remedies of the most frequent reasons, as many as leave at most `n_allowed` rows dropped."""
    counts: Counter[str] = Counter()
    for reason, count in reasons:
        counts[for_long if reason in _TOO_LONG else _REMEDIES.get(reason, f"fix or remove the rows: {reason}")] += count
    n_left, remedies = counts.total(), []
    for remedy, count in counts.most_common():
        if n_left > n_allowed:
            remedies.append(remedy)
            n_left -= count
    return remedies


def length_for(
    lengths: Sequence[int], n_rows: int, max_positions: int | None, max_longer_share: float = _LONGER_SHARE
) -> int | None:
    """A `max_length` that all but 1% of `n_rows` fit into, given the `lengths` of those that are too long now.

    If the model has fewer positions, these, if at most `max_longer_share` of the rows are longer; else None.
    """
    longest_first = sorted(lengths, reverse=True)
    if not longest_first:
        return None
    needed = longest_first[min(int(_LONGER_SHARE * n_rows), len(longest_first) - 1)]
    rounded = math.ceil(needed / _LENGTH_STEP) * _LENGTH_STEP
    if max_positions is None or rounded <= max_positions:
        return rounded
    n_longer = sum(length > max_positions for length in longest_first)
    return max_positions if n_longer <= max_longer_share * n_rows else None


def longer_or_split(length: int | None, data: DataArguments) -> list[str]:
    """What keeps long rows whole: a longer `max_length`, if one helps, or pieces, which preference pairs cannot be."""
    split = [] if isinstance(data, PreferenceArguments) else ["long_rows: split"]
    return [f"max_length: {length}"] * (length is not None) + split


def either(alternatives: Sequence[str]) -> str:
    return f"set {' or '.join(alternatives)}" if alternatives else "shorten or remove the long rows"


def _lengths(rows: Sequence[Mapping[str, int]], data: DataArguments, known: Mapping[int, int] | None) -> list[int]:
    """Tokens of each of the ledger's rows. For a pair the ledger counts both answers, which is not a length."""
    if known is None and isinstance(data, PreferenceArguments):
        return []
    return [(known or {}).get(row["row"], row["n_tokens"] + row.get("n_tokens_lost", 0)) for row in rows]


def _above(share: float) -> float:
    return math.ceil(share * 100) / 100
