"""Write a dataset folder: rows split by group, parquet, card, rejected rows, and the manifest last."""

import importlib.metadata
import platform
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from data_prep.dataset_folder.card import write_card
from data_prep.dataset_folder.columns import columns_of, nested_columns
from data_prep.dataset_folder.lengths import LengthCounts
from data_prep.dataset_folder.parquet_files import SplitFiles
from data_prep.dataset_folder.schema import (
    MANIFEST_NAME,
    REJECTED_NAME,
    SPLITS,
    DatasetKind,
    Manifest,
    RejectedRow,
    SplitSizes,
)
from data_prep.dataset_folder.splitting import assign_splits, effective_groups, within_group_limit
from pipelines.errors import UserError
from pipelines.files import (
    fresh_folder,
    refuse_existing,
    refuse_unwritable,
    write_json_atomically,
    write_jsonl_atomically,
)


def write_dataset_folder(
    output: Path,
    rows: Iterable[Mapping[str, Any]],
    *,
    kind: DatasetKind,
    split_sizes: SplitSizes,
    seed: int,
    sources: Sequence[Mapping[str, Any]],
    rejected: Sequence[RejectedRow],
    command: str,
    licenses: Sequence[str] = (),
    overwrite: bool = False,
) -> Manifest:
    """Write `rows` (already in the final columns of `kind`) as the folder `output`, whole or not at all.

    Rows of validation and test over `within_group_limit` are rejected as `over_group_limit`. A row may lack a column
    that others have. `licenses` are identifiers of the Hub; an empty list means unknown. Raises `UserError` if no row
    is left or if `refuse_output` does.
    """
    refuse_output(output, overwrite)
    kept = list(rows)
    if not kept:
        raise no_row_error("the sources have no usable row", Counter(row.reason for row in rejected))
    by_split, over_limit = _split_rows(kept, split_sizes, seed)
    rejected = [*rejected, *over_limit]
    columns, nested = columns_of(kept), nested_columns(kept)
    with fresh_folder(output, overwrite) as folder:
        hashes, lengths = {}, LengthCounts()
        for name, members in by_split.items():
            for row in members:
                lengths.add_row(row)
            with SplitFiles(folder, name, columns, nested) as files:
                files.add_rows(members)
            hashes[name] = files.content_sha256()
        manifest = Manifest(
            kind=kind.value,
            columns=columns,
            n_rows={name: len(members) for name, members in by_split.items()},
            n_groups={name: len({row["group"] for row in members}) for name, members in by_split.items()},
            effective_groups={name: round(effective_groups(members), 1) for name, members in by_split.items()},
            n_read=len(kept) + len(rejected),
            n_rejected=dict(sorted(Counter(row.reason for row in rejected).items())),
            rejected_by_source=_rejected_by_source(rejected),
            rejected_by_step={},
            n_changed={},
            lengths=lengths.to_json(),
            steps=[],
            unread_columns=dict(sum((Counter(one.get("unread_columns", {})) for one in sources), Counter())),
            content_sha256=hashes,
            sources=[dict(source) for source in sources],
            licenses=list(licenses),
            seed=seed,
            split_sizes={"validation": split_sizes.validation, "test": split_sizes.test},
            command=command,
            versions=data_versions(),
        )
        write_jsonl_atomically(folder / REJECTED_NAME, (row.to_json() for row in rejected))
        write_card_and_manifest(folder, manifest, output.name)
    return manifest


def no_row_error(problem: str, n_rejected: Mapping[str, int]) -> UserError:
    """Return the error of a source, or of all, without a row to keep; it names the reject reasons."""
    reasons = ", ".join(f"{count} rejected as {reason}" for reason, count in sorted(n_rejected.items()))
    return UserError(f"{problem}{f' ({reasons})' if reasons else ''}", "check --source, --format and --column_map")


def _split_rows(
    rows: Sequence[Mapping[str, Any]], sizes: SplitSizes, seed: int
) -> tuple[dict[str, list[Mapping[str, Any]]], list[RejectedRow]]:
    splits = assign_splits((row["group"] for row in rows), seed, sizes)
    by_split = {name: [row for row in rows if splits[row["group"]] == name] for name in SPLITS}
    rejected = []
    for name in ("validation", "test"):
        by_split[name], over_limit = within_group_limit(by_split[name], seed)
        rejected += [RejectedRow(row["source"], row["source_row"], "over_group_limit") for row in over_limit]
    return by_split, rejected


def _rejected_by_source(rejected: Sequence[RejectedRow]) -> dict[str, dict[str, int]]:
    by_source: dict[str, Counter[str]] = {}
    for row in rejected:
        by_source.setdefault(row.source, Counter())[row.reason] += 1
    return {source: dict(sorted(counts.items())) for source, counts in by_source.items()}


def write_card_and_manifest(folder: Path, manifest: Manifest, title: str) -> None:
    """Write README.md, then manifest.json, whose presence means that the folder is complete."""
    write_card(folder, manifest, title)
    write_json_atomically(folder / MANIFEST_NAME, manifest)


def refuse_output(output: Path, overwrite: bool, record_name: str = MANIFEST_NAME) -> None:
    """Raise `UserError` if writing to `output` would lose files, or is not possible.

    `overwrite` replaces only a folder that holds `record_name`, made by the same kind of program: a wrong `--output`
    must not delete a home directory.
    """
    if not overwrite or output.is_file():
        refuse_existing(output, "choose another --output" + ("" if overwrite else " or add --overwrite"))
    elif output.is_dir() and not (output / record_name).is_file():
        refuse_existing(output, f"choose another --output: --overwrite replaces only folders with {record_name}")
    refuse_unwritable(output)


def data_versions() -> dict[str, str]:
    """Return the versions of Python and of the libraries that determine a dataset's or a tokenizer's bytes."""
    libraries = ("datasets", "pyarrow", "tokenizers")
    return {"python": platform.python_version(), **{name: importlib.metadata.version(name) for name in libraries}}
