"""One `--source` to rows, and its description for the manifest."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from data_prep.dataset_folder import (
    ROW_SUFFIXES,
    DatasetKind,
    RejectedRow,
    is_dataset_folder,
    read_row_file,
    row_suffix,
)
from data_prep.sources.distributions import distributions_of
from data_prep.sources.hub import is_hub_id, read_hub_rows
from data_prep.sources.python_tree import document_of_file, functions_of_file, read_files, split_items
from data_prep.sources.raw_rows import RawRows, read_raw_rows
from data_prep.sources.recognition import SourceFormat, recognise
from data_prep.sources.row_columns import choose_columns
from data_prep.sources.rows import SourceContent
from data_prep.sources.text_tree import TEXT_SUFFIXES, document_of_text_file
from data_prep.sources.tree import files_of_tree
from pipelines.errors import UserError
from pipelines.files import sha256_of_file, sha256_of_files

_TREES = (SourceFormat.PYTHON_TREE, SourceFormat.TEXT_TREE)


def read_source(
    source: str,
    kind: DatasetKind,
    source_format: SourceFormat,
    column_map: Mapping[str, str],
    num_proc: int = 1,
    name: str | None = None,
) -> SourceContent:
    """Rows, rejected rows and manifest entry of one source: a file, a folder, or a Hub id (`owner/name@revision`).

    `name` is what the rows call their source (the name of the file or folder if None).

    Raises `UserError` if the source is missing, holds no row at all, or cannot be read.
    """
    path = Path(source)
    if not path.exists():
        if is_hub_id(source):
            rows, revision = read_hub_rows(source)
            entry = {"name": name or source, "format": "hub", "revision": revision}
            return _content_of_rows({"": rows}, kind, column_map, entry)
        raise UserError(
            expected=f"a file, a folder or a Hub id as --source {source}", got="no such path", remedy="check the path"
        )
    if is_dataset_folder(path):
        raise UserError(
            expected=f"raw rows or files as --source {source}",
            got="a dataset folder that is built and split already",
            remedy="name the sources it was built from: a second split would mix its test rows into training",
        )
    name = name or path.resolve().name
    chosen = recognise(path, kind) if source_format is SourceFormat.AUTO else source_format
    if chosen in _TREES:
        return _read_tree(path, kind, chosen, num_proc, name)
    return _read_rows(path, kind, chosen, column_map, name, only=source_format is not SourceFormat.AUTO)


def _read_rows(
    path: Path, kind: DatasetKind, row_format: SourceFormat, column_map: Mapping[str, str], name: str, *, only: bool
) -> SourceContent:
    """The rows of a file, or of a folder's files: of all row formats, or of `row_format` `only`."""
    suffix = f".{row_format.value}"
    entry = {"name": name, "path": str(path), "format": row_format.value}
    if path.is_file():
        rows_of_files = {"": read_row_file(path, suffix)}
        return _content_of_rows(rows_of_files, kind, column_map, {**entry, "sha256": sha256_of_file(path)})
    wanted = (suffix,) if only else ROW_SUFFIXES
    found = files_of_tree(path, (*ROW_SUFFIXES, ".ndjson", ".gz"), name)[0]
    files = [file for file in found if row_suffix(file) in wanted]
    rows_of_files, rejected = {}, []
    for file in files:
        relative = file.relative_to(path).as_posix()
        try:
            rows_of_files[relative] = read_row_file(file)
        except UserError:
            if row_suffix(file) == suffix:
                raise
            rejected.append(RejectedRow(name, relative, "file_holds_no_rows"))  # such as package.json among JSONL
    entry["sha256"] = sha256_of_files(files, path)
    content = _content_of_rows(rows_of_files, kind, column_map, entry)
    return SourceContent(content.rows, [*rejected, *content.rejected], content.entry)


def _content_of_rows(
    rows_of_files: Mapping[str, list[dict[str, Any]]],
    kind: DatasetKind,
    column_map: Mapping[str, str],
    entry: dict[str, Any],
) -> SourceContent:
    name, n_rows = entry["name"], sum(map(len, rows_of_files.values()))
    if n_rows == 0:
        raise _empty(name, "rows")
    read = RawRows()
    for file, rows in rows_of_files.items():
        if rows:
            columns = choose_columns(rows, column_map, kind, f"{name}/{file}" if file else name)
            read.add(read_raw_rows(rows, columns, kind, name, file))
    unread = {"unread_columns": dict(read.unread)} if read.unread else {}
    return SourceContent(read.kept, read.rejected, {**entry, "n_rows": n_rows, **unread})


def _read_tree(path: Path, kind: DatasetKind, tree_format: SourceFormat, num_proc: int, name: str) -> SourceContent:
    python = tree_format is SourceFormat.PYTHON_TREE
    if kind is DatasetKind.PREFERENCES:
        raise UserError(
            expected="a source of rows with chosen and rejected answers",
            got=f"--format {tree_format.value}",
            remedy="name a JSON, JSONL, CSV or Parquet file, or a Hub id",
        )
    if kind is DatasetKind.INSTRUCTIONS and not python:
        raise UserError(
            expected="a source of instruction rows or Python functions",
            got=f"--format {tree_format.value}",
            remedy="use data_prep/build_corpus.py for plain text",
        )
    root = path if path.is_dir() else path.parent
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
    if path.is_dir() and (distributions := distributions_of(path)):
        entry["distributions"] = distributions
    return SourceContent(rows, skipped + rejected, entry)


def _empty(name: str, what: str) -> UserError:
    return UserError(expected=f"at least one of {what} in {name}", got="none", remedy="name another --source")
