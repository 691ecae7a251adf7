"""Read one `--source`: its rows, and its description for the manifest."""

from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import chain
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
from data_prep.sources.formats import AUTO, FILE_FORMATS, ROW_FORMATS, recognize
from data_prep.sources.raw_rows import read_raw_rows
from data_prep.sources.row_columns import choose_conversion
from data_prep.sources.row_formats.registry import FOREIGN_FORMATS
from data_prep.sources.rows import Item, SourceContent, SourceRow
from data_prep.sources.source_files.hub import hub_files, is_hub_id
from data_prep.sources.walk import files_of_tree
from pipelines.errors import UserError
from pipelines.files import sha256_of_file, sha256_of_files

_OTHER_SOURCES = {
    DatasetKind.PREFERENCES: "name a JSON, JSONL, CSV or Parquet file, or a Hub id, with chosen and rejected answers",
    DatasetKind.INSTRUCTIONS: "use data_prep/build_corpus.py for plain text",
}


def read_source(
    source: str,
    kind: DatasetKind,
    source_format: str,
    column_map: Mapping[str, str],
    num_proc: int = 1,
    name: str | None = None,
) -> SourceContent:
    """Return rows, rejected rows and manifest entry of a file, a folder, or a Hub id (`owner/name@revision`).

    `source_format` is one of `FORMATS`. `name` is the rows' `source`, by default the name of the file or folder.
    Raises `UserError` if the source is missing, has no rows, or cannot be read.
    """
    path = Path(source)
    if not path.exists():
        if not is_hub_id(source):
            raise UserError(f"--source {source} is not a file, a folder or a Hub id", "check the path")
        files, described = hub_files(source, None, None)
        rows, revision = [row for file in files for row in read_row_file(file.path)], described["revision"]
        entry = {"name": name or source, "format": "hub", "revision": revision}
        foreign = source_format if source_format in FOREIGN_FORMATS else None
        return _content_of_rows({"": rows}, kind, column_map, entry, foreign)
    if is_dataset_folder(path):
        problem = f"--source {source} is a dataset folder: a second split would mix its test rows into training"
        raise UserError(problem, "name the sources it was built from")
    name = name or path.resolve().name
    foreign = source_format if source_format in FOREIGN_FORMATS else None
    chosen = recognize(path, kind) if source_format == AUTO or foreign else source_format
    if chosen in FILE_FORMATS:
        return _read_files(path, kind, chosen, num_proc, name)
    return _read_rows(path, kind, chosen, column_map, name, foreign, only=source_format == chosen)


def _read_rows(
    path: Path,
    kind: DatasetKind,
    row_format: str,
    column_map: Mapping[str, str],
    name: str,
    foreign: str | None,
    *,
    only: bool,
) -> SourceContent:
    """The rows of a file, or of a folder's files: of all row formats, or of `row_format` `only`."""
    suffix = ROW_FORMATS[row_format]
    entry = {"name": name, "path": str(path), "format": row_format}
    if path.is_file():
        entry["sha256"] = sha256_of_file(path)
        return _content_of_rows({"": read_row_file(path, suffix)}, kind, column_map, entry, foreign)
    wanted = (suffix,) if only else ROW_SUFFIXES
    found = files_of_tree(path, ROW_SUFFIXES, name)[0]
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
    content = _content_of_rows(rows_of_files, kind, column_map, entry, foreign)
    return SourceContent(content.rows, [*rejected, *content.rejected], content.entry)


def _content_of_rows(
    rows_of_files: Mapping[str, list[dict[str, Any]]],
    kind: DatasetKind,
    column_map: Mapping[str, str],
    entry: dict[str, Any],
    format_name: str | None = None,
) -> SourceContent:
    name, n_rows = entry["name"], sum(map(len, rows_of_files.values()))
    if n_rows == 0:
        raise UserError(f"{name} has no rows", "name another --source")
    kept, rejected, unread = list[SourceRow](), list[RejectedRow](), Counter[str]()
    for file, rows in rows_of_files.items():
        if rows:
            conversion = choose_conversion(rows, kind, column_map, f"{name}/{file}" if file else name, format_name)
            numbered = ((f"{file}:{number}" if file else str(number), row) for number, row in enumerate(rows, start=1))
            for item in read_raw_rows(numbered, conversion, name, unread):
                (kept if isinstance(item, SourceRow) else rejected).append(item)  # type: ignore[arg-type]
    counts = {"unread_columns": dict(unread)} if unread else {}
    return SourceContent(kept, rejected, {**entry, "n_rows": n_rows, **counts})


def _read_files(path: Path, kind: DatasetKind, format_name: str, num_proc: int, name: str) -> SourceContent:
    """The rows of files that are not tables, such as Python code."""
    suffixes, reader = FILE_FORMATS[format_name].suffixes, FILE_FORMATS[format_name].readers.get(kind)
    if reader is None:
        raise UserError(f"--format {format_name} has no rows for a {kind.value} dataset", _OTHER_SOURCES[kind])
    if path.is_file():
        root, files, skipped = path.parent, [path], list[RejectedRow]()
    else:
        root, (files, skipped) = path, FILE_FORMATS[format_name].list_files(path, suffixes, name)
    if not files:
        raise UserError(f"{name} has no files ending in {', '.join(suffixes)}", "name another --source")
    read = partial(reader, root=root, source=name)  # type: ignore[call-arg]
    if num_proc == 1 or len(files) < 2:
        items: Sequence[Item] = list(chain.from_iterable(map(read, files)))
    else:
        with ProcessPoolExecutor(num_proc) as pool:
            items = list(chain.from_iterable(pool.map(read, files, chunksize=16)))
    rows = [item for item in items if isinstance(item, SourceRow)]
    rejected = [item for item in items if isinstance(item, RejectedRow)]
    entry: dict[str, Any] = {"name": name, "path": str(path), "format": format_name}
    entry |= {"sha256": sha256_of_files(files, root), "n_files": len(files), "n_rows": len(rows)}
    entry |= FILE_FORMATS[format_name].describe(path) if path.is_dir() else {}
    return SourceContent(rows, skipped + rejected, entry)
