"""Plan a `--source` as units that are read one by one: a file, a folder, or a dataset on the Hub."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from data_prep.dataset_folder import ROW_SUFFIXES, DatasetKind, RejectedRow, is_dataset_folder, row_suffix
from data_prep.sources.formats import FILE_FORMATS, ROW_FORMATS, recognize
from data_prep.sources.hub import is_hub_id
from data_prep.sources.row_units import RowFile, RowUnits
from data_prep.sources.units import ReadOptions, SourcePlan, Unit
from data_prep.sources.walk import files_of_tree
from pipelines.errors import UserError
from pipelines.files import sha256_of_files

_FILES_OF_UNIT = 64
_OTHER_SOURCES = {
    DatasetKind.PREFERENCES: "name a JSON, JSONL, CSV or Parquet file, or a Hub id, with chosen and rejected answers",
    DatasetKind.INSTRUCTIONS: "use data_prep/build_corpus.py for plain text",
}
_FORMAT_OF_SUFFIX = {suffix: name for name, suffix in ROW_FORMATS.items()}


def plan_source(source: str, options: ReadOptions, name: str) -> SourcePlan:
    """Return the plan of a file, a folder, or a Hub id (`owner/name@revision`); `name` is the rows' `source`.

    Raises `UserError` if the source is missing, if no file of it can be read, or if a column is missing.
    """
    path = Path(source)
    if not path.exists():
        if not is_hub_id(source):
            raise UserError(f"--source {source} is not a file, a folder or a Hub id", "check the path")
        raise UserError(f"--source {source} is on the Hub", "download it")
    if is_dataset_folder(path):
        problem = f"--source {source} is a dataset folder: a second split would mix its test rows into training"
        raise UserError(problem, "name the sources it was built from")
    is_named = options.format in FILE_FORMATS or options.format in ROW_FORMATS
    chosen = options.format if is_named else recognize(path, options.kind)
    entry = {"name": name, "path": str(path), "format": chosen}
    if chosen in FILE_FORMATS:
        return _plan_documents(path, options, entry)
    rejected: list[RejectedRow] = []
    files = _row_files(path, name, chosen, is_named, rejected)
    return _plan_rows(files, path if path.is_dir() else path.parent, options, entry, rejected)


def _row_files(
    path: Path, name: str, chosen: str, is_named: bool, rejected: list[RejectedRow]
) -> list[RowFile]:  # fmt: skip
    """The file itself, or the files of a folder: of all row formats, or only of the named one."""
    if path.is_file():
        return [RowFile(path, "", chosen)]
    wanted = (ROW_FORMATS[chosen],) if is_named else ROW_SUFFIXES
    found, skipped = files_of_tree(path, wanted, name)
    rejected += skipped
    return [RowFile(file, file.relative_to(path).as_posix(), _FORMAT_OF_SUFFIX[row_suffix(file)]) for file in found]


def _plan_rows(
    files: Sequence[RowFile], root: Path, options: ReadOptions, entry: dict[str, Any], rejected: list[RejectedRow]
) -> SourcePlan:
    planned = RowUnits(files, root, options, entry, rejected)
    planned.check()
    return SourcePlan(entry, rejected, planned.units())


def _plan_documents(path: Path, options: ReadOptions, entry: dict[str, Any]) -> SourcePlan:
    """Files that are not tables, such as Python code; a unit is some files."""
    name, chosen = entry["name"], FILE_FORMATS[entry["format"]]
    if options.kind not in chosen.readers:
        problem = f"--format {entry['format']} has no rows for a {options.kind.value} dataset"
        raise UserError(problem, _OTHER_SOURCES.get(options.kind))
    chosen.refuse_missing_extra()
    root, files, rejected = path.parent, [path], list[RejectedRow]()
    if path.is_dir():
        root, (files, rejected) = path, chosen.list_files(path, chosen.suffixes, name)
    if not files:
        raise UserError(f"{name} has no files ending in {', '.join(chosen.suffixes)}", "name another --source")

    def units() -> Iterator[Unit]:
        for start in range(0, len(files), _FILES_OF_UNIT):
            yield Unit(name, root, tuple(files[start : start + _FILES_OF_UNIT]), "", entry["format"])
        entry["sha256"], entry["n_files"] = sha256_of_files(files, root), len(files)
        entry.update(chosen.describe(path) if path.is_dir() else {})

    return SourcePlan(entry, rejected, units())
