"""The common end of the programs that build a dataset: filter, sample, write, print."""

import argparse
from collections.abc import Callable, Iterable, Sequence

from data_prep.cleaning.filters import RejectReason, filter_rows, sample_rows
from data_prep.dataset_folder import DatasetKind, summary, write_dataset_folder
from data_prep.sources import SourceContent, SourceRow, split_sizes


def build_dataset(
    options: argparse.Namespace,
    kind: DatasetKind,
    content: SourceContent,
    filters: Iterable[RejectReason],
    command: str,
    last_filter: Callable[[Sequence[SourceRow]], RejectReason] | None = None,
) -> None:
    """Write the rows of `content` that `filters` keep, at most `--limit`, as the folder `--output`.

    `last_filter` makes one more filter from the rows that are left.
    """
    kept, rejected = filter_rows(content.rows, filters)
    kept, over_limit = sample_rows(kept, options.limit, options.seed)
    if last_filter is not None:
        kept, more = filter_rows(kept, [last_filter(kept)])
        rejected += more
    manifest = write_dataset_folder(
        options.output,
        (row.columns() for row in kept),
        kind=kind,
        split_sizes=split_sizes(options),
        seed=options.seed,
        sources=content.entry["sources"],
        rejected=[*content.rejected, *rejected, *over_limit],
        command=command,
        licenses=options.license or (),
        overwrite=options.overwrite,
    )
    print(summary(manifest, options.output))
