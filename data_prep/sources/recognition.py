"""Which format a source has: told by a file's suffix, or by what a folder holds most of."""

from collections import Counter
from enum import StrEnum
from pathlib import Path

from data_prep.dataset_folder import ROW_SUFFIXES, DatasetKind, row_suffix
from data_prep.sources.text_tree import TEXT_SUFFIXES
from data_prep.sources.tree import files_of_tree
from pipelines.errors import UserError


class SourceFormat(StrEnum):
    """How a source is read; `auto` decides by the file's suffix or by what the folder holds."""

    AUTO = "auto"
    JSON = "json"
    JSONL = "jsonl"
    CSV = "csv"
    TSV = "tsv"
    PARQUET = "parquet"
    PYTHON_TREE = "python_tree"
    TEXT_TREE = "text_tree"


def recognise(path: Path, kind: DatasetKind) -> SourceFormat:
    """The format of `path`. Raises `UserError` if it holds nothing that fits `kind`.

    In a folder the most frequent kind of file wins, skipped folders left aside; Python wins a draw, rows come second.
    """
    if path.is_file():
        counts = Counter([row_suffix(path)])
    else:
        suffixes = (*ROW_SUFFIXES, ".ndjson", ".gz", ".py", *TEXT_SUFFIXES)
        counts = Counter(row_suffix(file) for file in files_of_tree(path, suffixes, path.name)[0])
    candidates = {} if kind is DatasetKind.PREFERENCES else {SourceFormat.PYTHON_TREE: counts[".py"]}
    candidates |= {SourceFormat(suffix.removeprefix(".")): counts[suffix] for suffix in ROW_SUFFIXES}
    if kind is DatasetKind.CORPUS:
        candidates[SourceFormat.TEXT_TREE] = sum(counts[suffix] for suffix in TEXT_SUFFIXES)
    chosen = max(candidates, key=lambda source_format: candidates[source_format])
    if candidates[chosen] == 0:
        trees = {DatasetKind.INSTRUCTIONS: (".py",), DatasetKind.CORPUS: (".py", *TEXT_SUFFIXES)}.get(kind, ())
        raise UserError(
            expected=f"{path} to be or to hold files ending in {', '.join((*ROW_SUFFIXES, *trees))}",
            got="a folder without such files" if path.is_dir() else f"a file ending in {path.suffix or 'nothing'}",
            remedy="name another --source, or its format with --format",
        )
    return chosen
