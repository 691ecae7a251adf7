"""Plan a `--source` as units that are read one by one: a file, a folder, or a dataset on the Hub."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from data_prep.dataset_folder import ROW_SUFFIXES, DatasetKind, RejectedRow, is_dataset_folder, row_suffix
from data_prep.sources.formats import FILE_FORMATS, ROW_FORMATS, recognize
from data_prep.sources.row_units import RowFile, RowUnits
from data_prep.sources.source_files.hub import hub_files, is_hub_id
from data_prep.sources.source_files.row_folders import (
    FORMAT_OF_SUFFIX,
    PICKLE_SUFFIXES,
    is_saved,
    row_files_of_folder,
    saved_files,
)
from data_prep.sources.units import ReadOptions, SourcePlan, Unit
from pipelines.errors import UserError
from pipelines.files import sha256_of_files

_FILES_OF_UNIT = 64
_OTHER_SOURCES = {
    DatasetKind.PREFERENCES: "name a JSON, JSONL, CSV or Parquet file, or a Hub id, with chosen and rejected answers",
    DatasetKind.INSTRUCTIONS: "use data_prep/build_corpus.py for plain text",
}


def plan_source(source: str, options: ReadOptions, name: str) -> SourcePlan:
    """Return the plan of a file, a folder, or a Hub id (`owner/name@revision`); `name` is the rows' `source`.

    Raises `UserError` if the source is missing, if no file of it can be read, or if a column is missing.
    """
    path, rejected = Path(source), list[RejectedRow]()
    if not path.exists():
        if not is_hub_id(source):
            raise UserError(f"--source {source} is not a file, a folder or a Hub id", "check the path")
        return _plan_hub(source, options, name)
    if not path.is_file() and not path.is_dir():
        raise UserError(
            f"--source {source} is a pipe or a device, not a file or a folder", "save what it gives as a file"
        )
    if is_dataset_folder(path):
        problem = f"--source {source} is a dataset folder: a second split would mix its test rows into training"
        raise UserError(problem, "name the sources it was built from")
    if row_suffix(path) in PICKLE_SUFFIXES and path.is_file():
        problem = f"--source {source} is a pickle, which can run any code when it is read"
        raise UserError(problem, "convert it to JSONL or Parquet in a place where you trust it")
    entry = {"name": name, "path": str(path)}
    if path.is_dir() and is_saved(path):
        files, described = saved_files(path, options.split, name, rejected)
        return _plan_rows(files, path, options, entry | {"format": "arrow"} | described, rejected)
    is_named = options.format in FILE_FORMATS or options.format in ROW_FORMATS
    chosen = options.format if is_named else recognize(path, options.kind)
    if chosen in FILE_FORMATS:
        if row_suffix(path) in ROW_SUFFIXES and path.is_file():
            raise UserError(f"--format {chosen} cannot read {path}, a file of rows", "leave --format out")
        return _plan_local_documents(path, options, entry | {"format": chosen})
    if path.is_file():
        if options.split not in (None, "train", "all"):
            problem = f"{path} is one file, which has no split {options.split!r}"
            raise UserError(problem, "leave the split out, or name a folder with a file for each split")
        return _plan_rows([RowFile(path, "", chosen)], path.parent, options, entry | {"format": chosen}, rejected)
    suffixes = (ROW_FORMATS[chosen],) if is_named else ROW_SUFFIXES
    files, described = row_files_of_folder(path, suffixes, options.split, name, rejected)
    return _plan_rows(files, path, options, entry | {"format": chosen} | described, rejected)


def _plan_hub(source: str, options: ReadOptions, name: str) -> SourcePlan:
    found = hub_files(source, options.split, options.config)
    entry, paths = {"name": name, **found.entry}, [found.folder / one for one in found.names]
    suffixes = {row_suffix(path) for path in paths}
    if suffixes <= set(ROW_SUFFIXES):
        names = found.names if len(paths) > 1 else [""]
        files = [RowFile(path, one, FORMAT_OF_SUFFIX[row_suffix(path)]) for path, one in zip(paths, names, strict=True)]
        return _plan_rows(files, found.folder, options, entry, [])
    for format_name, chosen in FILE_FORMATS.items():
        if options.kind in chosen.readers and suffixes <= set(chosen.suffixes) and chosen.is_recognized:
            chosen.refuse_missing_extra()
            return SourcePlan(entry, [], _units_of_documents(paths, found.folder, entry, format_name))
    problem = f"{source} has its rows in {found.names[0]}, expected files ending in {', '.join(ROW_SUFFIXES)}"
    raise UserError(problem, "download and convert it")


def _plan_rows(
    files: Sequence[RowFile], root: Path, options: ReadOptions, entry: dict[str, Any], rejected: list[RejectedRow]
) -> SourcePlan:
    planned = RowUnits(files, root, options, entry, rejected)
    planned.check()
    return SourcePlan(entry, rejected, planned.units())


def _plan_local_documents(path: Path, options: ReadOptions, entry: dict[str, Any]) -> SourcePlan:
    """Files that are not tables, such as Python code."""
    name, chosen = entry["name"], FILE_FORMATS[entry["format"]]
    if options.kind not in chosen.readers:
        problem = f"--format {entry['format']} has no rows for a {options.kind.value} dataset"
        raise UserError(problem, _OTHER_SOURCES.get(options.kind))
    chosen.refuse_missing_extra()
    if path.is_file():
        return SourcePlan(entry, [], _units_of_documents([path], path.parent, entry, entry["format"]))
    files, rejected = chosen.list_files(path, chosen.suffixes, name)
    if not files:
        raise UserError(f"{name} has no files ending in {', '.join(chosen.suffixes)}", "name another --source")
    return SourcePlan(entry, rejected, _units_of_documents(files, path, entry, entry["format"]))


def _units_of_documents(files: Sequence[Path], root: Path, entry: dict[str, Any], format_name: str) -> Iterator[Unit]:
    for start in range(0, len(files), _FILES_OF_UNIT):
        yield Unit(entry["name"], root, tuple(files[start : start + _FILES_OF_UNIT]), "", format_name)
    entry["sha256"], entry["n_files"] = sha256_of_files(files, root), len(files)
    if "path" in entry and Path(entry["path"]).is_dir():
        entry.update(FILE_FORMATS[format_name].describe(root))
