"""Pairs of texts of which the good one should be more likely: read, compared, counted."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from data_prep.dataset_folder import read_rows
from pipelines.errors import UserError
from pipelines.evaluation.perplexity.text_scores import Length, TextScore, refuse_partly_scored
from pipelines.evaluation.statistics.row_groups import group_of, labels_of
from pipelines.evaluation.statistics.shares import share

Both: TypeAlias = tuple[TextScore, TextScore]


@dataclass(frozen=True)
class Pair:
    """Two texts of which the good one should be more likely; pairs of one `group` depend on each other."""

    good: str
    bad: str
    category: str | None = None
    group: str | None = None


def given_pairs(file: Path) -> list[Pair]:
    """Read the rows of `file` with their texts `good` and `bad` and an optional `category`.

    Raises `UserError` for a row without both texts.
    """
    pairs = []
    for number, row in enumerate(read_rows(file), start=1):
        texts = [row.get(column) for column in ("good", "bad")]
        if not all(isinstance(text, str) and text for text in texts):
            columns = f"the columns {', '.join(column for column, value in row.items() if value) or '(none)'}"
            raise UserError(
                f"row {number} of {file} has {columns}, expected the texts `good` and `bad`",
                'write each pair as {"good": ..., "bad": ...}',
            )
        category = row.get("category")
        pairs.append(Pair(str(texts[0]), str(texts[1]), None if category is None else str(category), group_of(row)))
    return pairs


def texts_of(pairs: Sequence[Pair]) -> list[str]:
    """Good and bad text of the first pair, of the second, and so on."""
    return [text for pair in pairs for text in (pair.good, pair.bad)]


def pair_shares(pairs: Sequence[Pair], scores: Sequence[TextScore]) -> dict[str, Any]:
    """For each `Length` the share of pairs whose good text is more likely, with Wilson's interval (whole groups where
    rows have a `group`); then by category.

    `scores` are those of `texts_of`. A tie counts as wrong. Protocol of minimal pairs: A. Warstadt et al., BLiMP (TACL
    8, 2020), which compares totals. Raises as `refuse_partly_scored`.
    """
    refuse_partly_scored(scores)
    scored = list(zip(pairs, _in_pairs(scores), strict=True))
    by_category: dict[str, list[tuple[Pair, Both]]] = {}
    for pair, both in scored:
        if pair.category is not None:
            by_category.setdefault(pair.category, []).append((pair, both))
    categories = {category: _shares(some) for category, some in sorted(by_category.items())}
    return {"n_pairs": len(pairs), **_shares(scored), "categories": categories}


def pairs_json(pairs: Sequence[Pair], scores: Sequence[TextScore]) -> list[dict[str, Any]]:
    """The pairs in the record: both texts' scores, and whether the good one is more likely by each `Length`."""
    return [
        {
            "category": pair.category,
            "good_is_likelier": {length.value: _good_is_likelier((good, bad), length) for length in Length},
            "good": good.to_json(),
            "bad": bad.to_json(),
        }
        for pair, (good, bad) in zip(pairs, _in_pairs(scores), strict=True)
    ]


def shares_table(shares: Mapping[str, Any]) -> str:
    """A line for all pairs and one for each category: how often the good text is more likely."""
    rows = [("pairs", "n", *(f"good more likely, {length.value.replace('_', ' ')}" for length in Length))]
    for name, found in {"(all)": shares, **shares["categories"]}.items():
        figures = [found[length.value] for length in Length]
        cells = [f"{one['value']:.1%} [{one['ci95'][0]:.1%}, {one['ci95'][1]:.1%}]" for one in figures]
        rows.append((name, f"{figures[0]['n']:,}", *cells))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def _in_pairs(scores: Sequence[TextScore]) -> list[Both]:
    return list(zip(scores[::2], scores[1::2], strict=True))


def _good_is_likelier(both: Both, length: Length) -> bool:
    good, bad = both
    return good.log_prob_by(length) > bad.log_prob_by(length)


def _shares(scored: Sequence[tuple[Pair, Both]]) -> dict[str, Any]:
    groups = labels_of([pair.group for pair, _ in scored])
    flags = {length: [_good_is_likelier(both, length) for _, both in scored] for length in Length}
    return {length.value: share(found, groups).to_json() for length, found in flags.items()}
