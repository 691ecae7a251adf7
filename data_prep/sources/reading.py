"""One `--source` to rows: recognise its format, read it, and describe it for the manifest."""

import os
from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import Any

from data_prep.dataset_folder import ROW_SUFFIXES, DatasetKind, RejectedRow, read_row_file, row_suffix
from data_prep.sources.distributions import distributions_of
from data_prep.sources.hub import is_hub_id, read_hub_rows
from data_prep.sources.python_tree import document_of_file, functions_of_file, read_files, split_items
from data_prep.sources.row_columns import choose_columns, read_columns
from data_prep.sources.rows import SourceContent
from data_prep.sources.text_tree import TEXT_SUFFIXES, document_of_text_file
from data_prep.sources.tree import files_of_tree
from pipelines.errors import UserError
from pipelines.files import sha256_of_file, sha256_of_files


class SourceFormat(str, Enum):
    """How a source is read; `auto` decides by the file's suffix or by what the folder holds."""

    AUTO = "auto"
    JSON = "json"
    JSONL = "jsonl"
    CSV = "csv"
    PARQUET = "parquet"
    PYTHON_TREE = "python_tree"
    TEXT_TREE = "text_tree"


_TREES = (SourceFormat.PYTHON_TREE, SourceFormat.TEXT_TREE)


def read_source(
    name: str, kind: DatasetKind, source_format: SourceFormat, column_map: Mapping[str, str], num_proc: int = 1
) -> SourceContent:
    """Rows, rejected rows and manifest entry of one source: a file, a folder, or a Hub id (`owner/name@revision`).

    Raises `UserError` if the source is missing, holds no row at all, or cannot be read.
    """
    path = Path(name)
    if not path.exists():
        if is_hub_id(name):
            rows, revision = read_hub_rows(name)
            return _content_of_rows(rows, kind, column_map, name, {"format": "hub", "revision": revision})
        raise UserError(
            expected=f"a file, a folder or a Hub id as --source {name}", got="no such path", remedy="check the path"
        )
    chosen = recognise(path, kind) if source_format is SourceFormat.AUTO else source_format
    if chosen in _TREES:
        return _read_tree(path, kind, chosen, num_proc)
    files = [path] if path.is_file() else files_of_tree(path, (*ROW_SUFFIXES, ".gz"), path.name)[0]
    rows = [row for file in files for row in read_row_file(file, f".{chosen.value}")]
    sha256 = sha256_of_file(path) if path.is_file() else sha256_of_files(files, path)
    entry = {"path": name, "format": chosen.value, "sha256": sha256}
    return _content_of_rows(rows, kind, column_map, path.resolve().name, entry)


def recognise(path: Path, kind: DatasetKind) -> SourceFormat:
    """The format of `path` by suffix, or by the kind of file its folder holds most of."""
    if path.is_file():
        suffix = row_suffix(path)
        if suffix in ROW_SUFFIXES:
            return SourceFormat(suffix.removeprefix("."))
        if suffix == ".py":
            return SourceFormat.PYTHON_TREE
        if suffix in TEXT_SUFFIXES and kind is DatasetKind.CORPUS:
            return SourceFormat.TEXT_TREE
        raise _unknown_format(path, f"a file ending in {suffix or 'nothing'}")
    counts = dict.fromkeys((*ROW_SUFFIXES, ".py", *TEXT_SUFFIXES), 0)
    for _, _, names in os.walk(path):
        for name in names:
            counts[row_suffix(Path(name))] = counts.get(row_suffix(Path(name)), 0) + 1
    n_text = sum(counts[suffix] for suffix in TEXT_SUFFIXES)
    if counts[".py"] and (counts[".py"] >= n_text or kind is DatasetKind.INSTRUCTIONS):
        return SourceFormat.PYTHON_TREE
    if n_text and kind is DatasetKind.CORPUS:
        return SourceFormat.TEXT_TREE
    most = max(ROW_SUFFIXES, key=lambda suffix: counts[suffix])
    if counts[most]:
        return SourceFormat(most.removeprefix("."))
    raise _unknown_format(path, "a folder without such files")


def _unknown_format(path: Path, got: str) -> UserError:
    known = ", ".join((*ROW_SUFFIXES, ".py", *TEXT_SUFFIXES))
    return UserError(
        expected=f"{path} to be or to hold files of a kind that fits this program ({known})",
        got=got,
        remedy="name another --source, or its format with --format",
    )


def _content_of_rows(
    rows: list[dict[str, Any]], kind: DatasetKind, column_map: Mapping[str, str], name: str, entry: dict[str, Any]
) -> SourceContent:
    if not rows:
        raise _empty(name, "rows")
    kept, rejected = read_columns(rows, choose_columns(rows, column_map, kind, name), kind, name)
    return SourceContent(kept, rejected, {"name": name, **entry, "n_rows": len(rows)})


def _read_tree(path: Path, kind: DatasetKind, tree_format: SourceFormat, num_proc: int) -> SourceContent:
    python = tree_format is SourceFormat.PYTHON_TREE
    if kind is DatasetKind.INSTRUCTIONS and not python:
        raise UserError(
            expected="a source of instruction rows or Python functions",
            got=f"--format {tree_format.value}",
            remedy="use data_prep/build_corpus.py for plain text",
        )
    root = path if path.is_dir() else path.parent
    name = path.resolve().name
    files, skipped = (
        ([path], list[RejectedRow]())
        if path.is_file()
        else files_of_tree(root, (".py",) if python else TEXT_SUFFIXES, name)
    )
    if not files:
        raise _empty(name, "Python files" if python else f"text files ({', '.join(TEXT_SUFFIXES)})")
    if python:
        reader = functions_of_file if kind is DatasetKind.INSTRUCTIONS else document_of_file
    else:
        reader = document_of_text_file
    rows, rejected = split_items(read_files(files, root, name, reader, num_proc))
    entry: dict[str, Any] = {"name": name, "path": str(path), "format": tree_format.value}
    entry |= {"sha256": sha256_of_files(files, root), "n_files": len(files), "n_rows": len(rows)}
    if distributions := distributions_of(root):
        entry["distributions"] = distributions
    return SourceContent(rows, skipped + rejected, entry)


def _empty(name: str, what: str) -> UserError:
    return UserError(expected=f"at least one of {what} in {name}", got="none", remedy="name another --source")
