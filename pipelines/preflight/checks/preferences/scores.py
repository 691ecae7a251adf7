"""A check for scores of the answers that contradict which one is chosen."""

import math
import re
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from pipelines.preflight.check_context import CheckContext, SampledRow, Stage
from pipelines.preflight.checks.evidence import Check, kept_rows, row_evidence, share_of
from pipelines.records.finding import Finding, Severity

_ERROR_SHARE, _WARNING_SHARE = 0.5, 0.05  # of the pairs with two scores; ties are none
_MIN_ROWS = 3
_HIGHER_IS_BETTER = re.compile(r"scor|rating|reward|grade|quality|points|votes|overall|helpful|prefer|elo$")
_LOWER_IS_BETTER = re.compile(r"toxic|harm|risk|loss|perplex|ppl|error|penalt|cost|length|token|rank|distance|verbos")
_MARGIN = re.compile(r"(?:^|_)(?:margin|diff|difference|delta)(?:$|_)")


class _Scores(NamedTuple):
    """What a column or two say of the pairs: the rows with their margin of chosen over rejected."""

    name: str
    margins: Sequence[tuple[SampledRow, float, str]]

    @property
    def against(self) -> list[tuple[SampledRow, float, str]]:
        return [one for one in self.margins if one[1] < 0]


def preferences_against_scores(context: CheckContext) -> Iterator[Finding]:
    """PREFERENCES_AGAINST_SCORES: the rejected answer has the higher score. Of several scores the one that agrees most
    counts: an aspect may be worse in the better answer."""
    if context.stage is not Stage.DPO:
        return
    rows = kept_rows(context)
    known = [one for one in _all_scores(context.train.columns, rows) if one.margins]
    if not known:
        return
    scores = min(known, key=lambda one: len(one.against) / len(one.margins))
    n, n_all = len(scores.against), len(scores.margins)
    if n < max(_MIN_ROWS, _WARNING_SHARE * n_all):
        return
    is_most = n >= _ERROR_SHARE * n_all
    yield Finding(
        "PREFERENCES_AGAINST_SCORES",
        Severity.ERROR if is_most else Severity.WARNING,
        summary=f"{share_of(n, n_all)} pairs prefer the answer with the lower score by {scores.name}",
        why="these pairs teach the model to prefer the worse answer",
        remedy="swap chosen and rejected, with their scores, where the scores say so, or remove these pairs"
        + (", unless a lower score is better" if is_most else ""),
        evidence=row_evidence(
            [row for row, *_ in scores.against],
            lambda row: (
                f"{next(said for one, _, said in scores.against if one is row)} | chosen: {row.answers[0][:40]} | "
                f"rejected: {row.answers[1][:40]}"
            ),
        ),
        n_rows=n,
    )


def _all_scores(columns: Sequence[str], rows: Sequence[SampledRow]) -> Iterator[_Scores]:
    by_name = {column.lower(): column for column in columns}
    for column in columns:
        plain = column.lower().replace("-", "_")
        if _LOWER_IS_BETTER.search(plain):
            continue
        other = by_name.get(column.lower().replace("chosen", "rejected"), column)
        if other != column and _HIGHER_IS_BETTER.search(plain):
            yield _Scores(f"{column} and {other}", list(_differences(rows, column, other)))
        elif _MARGIN.search(plain):
            margins = ((row, _number(row.values.get(column))) for row in rows)
            yield _Scores(column, [(row, one, f"{column} {one:g}") for row, one in margins if one is not None])
        elif _HIGHER_IS_BETTER.search(plain):  # {"chosen": 8, "rejected": 3}
            yield _Scores(column, list(_differences(rows, column, None)))


def _differences(
    rows: Sequence[SampledRow], column: str, other: str | None
) -> Iterator[tuple[SampledRow, float, str]]:  # fmt: skip
    for row in rows:
        value = row.values.get(column)
        both = value if other is None else {"chosen": value, "rejected": row.values.get(other)}
        if isinstance(both, dict):
            chosen, rejected = _number(both.get("chosen")), _number(both.get("rejected"))
            if chosen is not None and rejected is not None:
                yield row, chosen - rejected, f"score {chosen:g} against {rejected:g}"


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


CHECKS: tuple[Check, ...] = (preferences_against_scores,)
