"""Print the first rows of the sources before and after cleaning."""

import json
from collections.abc import Iterator, Sequence
from itertools import islice

from data_prep.building.cleaner import Cleaner
from data_prep.cleaning.registry import ChosenStep
from data_prep.dataset_folder import RejectedRow
from data_prep.sources import ReadCounts, ReadOptions, SourcePlan, SourceRow, read_unit

_MAX_CHARS = 2000


def print_preview(
    plans: Sequence[SourcePlan], reads: Sequence[ReadOptions], steps: Sequence[ChosenStep], n_rows: int
) -> None:
    """Print `n_rows` rows of each source as read and as the row steps leave them. Steps over all rows do not run."""
    cleaner = Cleaner(steps)
    for plan, options in zip(plans, reads, strict=True):
        for item in islice(_items(plan, options), n_rows):
            print(f"--- {item.source} {item.source_row}")
            if isinstance(item, SourceRow):
                _print_cleaned(item, cleaner)
            else:
                print(f"rejected: {item.reason}")


def _print_cleaned(row: SourceRow, cleaner: Cleaner) -> None:
    cleaned, changes, _ = cleaner.clean(row)
    if isinstance(cleaned, RejectedRow):
        print(f"{'(personal data or a secret)' if cleaned.row is None else _shown(row)}\nrejected: {cleaned.reason}")
        return
    hidden = any(change.before is None for change in changes)  # personal data or a secret
    if not hidden:
        print(_shown(row))
    for change in changes:
        print(f"changed by {change.step}: {', '.join(f'{what} {n}' for what, n in change.counts.items())}")
    if changes:
        print(_shown(cleaned))


def _items(plan: SourcePlan, options: ReadOptions) -> Iterator[SourceRow | RejectedRow]:
    for unit in plan.units:
        yield from read_unit(unit, options, ReadCounts())


def _shown(row: SourceRow) -> str:
    shown = json.dumps(row.fields, ensure_ascii=False, indent=1)
    return shown if len(shown) <= _MAX_CHARS else f"{shown[:_MAX_CHARS]} ... ({len(shown):,} characters)"
