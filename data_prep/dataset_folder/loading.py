"""Load rows as a `datasets.Dataset` of explicit types: from a dataset folder, a file, another folder, or the Hub.

Files of JSON and CSV are read here, since `datasets.load_dataset` guesses types by column: text that looks like a date
becomes a time, and whole numbers next to a null gain `.0`.
"""

import re
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data_prep.dataset_folder.columns import (
    columns_of,
    nested_columns,
    table_of,
    unstorable_reason,
    with_explicit_types,
)
from data_prep.dataset_folder.combining import combined
from data_prep.dataset_folder.reading import is_dataset_folder, read_dataset_folder
from data_prep.dataset_folder.row_files import ROW_SUFFIXES, read_parquet, read_row_file, row_suffix
from pipelines.errors import UserError

if TYPE_CHECKING:
    from datasets import Dataset

_SPLIT_NAME = re.compile(r"^[\w.-]+")
_GUESSED_BUILDERS = ("json", "csv")


def load_rows(
    path: str,
    split: str,
    *,
    name: str | None = None,
    revision: str | None = None,
    data_dir: str | None = None,
    data_files: Any = None,
) -> "Dataset":
    """Return the rows of `split` of a dataset folder, of a file (its rows are every split), or of what
    `datasets.load_dataset` finds for `path`, `name`, `revision`, `data_dir` and `data_files`.

    Slices and sums of splits work as in `datasets`: `train[:10]`, `train[50%:]`, `train+test`. Lists and objects are
    JSON; numbers and truth values are their JSON text. Raises `UserError` if nothing can be read.
    """
    if is_dataset_folder(path):
        return _sliced(split, lambda one: read_dataset_folder(path, one), path)
    if Path(path).is_file():
        whole = rows_of_files([Path(path)])
        return _sliced(split, lambda _: whole, path)
    return _loaded(path, split, {"name": name, "revision": revision, "data_dir": data_dir, "data_files": data_files})


def rows_of_files(files: Sequence[Path], suffixes: Sequence[str] | None = None) -> "Dataset":
    """Return the rows of `files` one after the other; `suffixes` override the suffixes of their names."""
    pairs = zip(files, suffixes or [row_suffix(file) for file in files], strict=True)
    return combined([(str(file), _rows_of_file(file, suffix)) for file, suffix in pairs])


def _rows_of_file(file: Path, suffix: str) -> "Dataset":
    from datasets import Dataset
    from datasets.table import InMemoryTable

    if suffix == ".parquet":
        return read_parquet(file)
    rows = read_row_file(file, suffix)
    for number, row in enumerate(rows, start=1):
        if reason := unstorable_reason(row):
            problem = f"row {number} of {file} cannot be stored: {reason.replace('_', ' ')}"
            raise UserError(problem, "correct or remove that row")
    return Dataset(InMemoryTable(table_of(rows, columns_of(rows), nested_columns(rows))))


def _sliced(split: str, rows_of: Callable[[str], "Dataset"], path: str) -> "Dataset":
    """The rows of `split`: a name, or slices and sums of names as in `datasets`."""
    from datasets import ReadInstruction, concatenate_datasets

    if _SPLIT_NAME.fullmatch(split):
        return rows_of(split)
    names = [found[0] for part in split.split("+") if (found := _SPLIT_NAME.match(part.strip()))]
    splits = {name: rows_of(name) for name in dict.fromkeys(names)}
    try:
        pieces = ReadInstruction.from_spec(split).to_absolute({name: len(rows) for name, rows in splits.items()})
    except (ValueError, AssertionError) as error:
        problem = f"{split} is not a split of {path}"
        raise UserError(problem, "write it like train, train[:10], train[50%:] or train+test") from error
    places = [(splits[one.splitname], range(one.from_, one.to)) for one in pieces]
    return concatenate_datasets([rows.select(taken if len(taken) else []) for rows, taken in places])


def _loaded(path: str, split: str, options: Mapping[str, Any]) -> "Dataset":
    import datasets

    # the cache finds a folder by its name even if its files have changed
    anew = {"download_mode": "force_redownload", "verification_mode": "no_checks"} if Path(path).is_dir() else {}
    try:
        builder = datasets.load_dataset_builder(path, **options)
        files = builder.config.data_files
        if not any(options.values()):
            _report_files_not_read(path, files or {})
        if files and (builder.name in _GUESSED_BUILDERS or _are_local_rows(files)):
            return _sliced(split, lambda one: _rows_of_urls(files, one, path), path)
        return with_explicit_types(datasets.load_dataset(path, split=split, **options, **anew))
    except (OSError, ValueError, datasets.exceptions.DatasetsError) as error:
        raise _unknown_split(path, split, error) from error


def _report_files_not_read(path: str, files: Mapping[str, Sequence[str]]) -> None:
    """Print the files that `datasets` does not read: it takes the most frequent suffix, or those of the card."""
    read = {Path(str(file)).resolve() for of_split in files.values() for file in of_split}
    found = [file for file in sorted(Path(path).rglob("*")) if row_suffix(file) in ROW_SUFFIXES and file.is_file()]
    if read and (unread := [str(file.relative_to(path)) for file in found if file.resolve() not in read]):
        print(f"{path}: not read: {', '.join(unread)}", file=sys.stderr, flush=True)


def _are_local_rows(files: Mapping[str, Sequence[str]]) -> bool:
    paths = [Path(str(file)) for of_split in files.values() for file in of_split]
    return all(path.is_file() and row_suffix(path) in ROW_SUFFIXES for path in paths)


def _rows_of_urls(files: Mapping[str, Sequence[str]], split: str, path: str) -> "Dataset":
    """The rows of one split; files on the Hub are downloaded."""
    from datasets import DownloadManager

    if split not in files:
        raise UserError(f"{path} has no split {split!r}", f"choose one of {', '.join(map(str, files))}")
    urls = [str(file) for file in files[split]]
    local = DownloadManager().download([url for url in urls if not Path(url).is_file()])
    found = iter(local)
    places = [Path(url) if Path(url).is_file() else Path(next(found)) for url in urls]
    return rows_of_files(places, [row_suffix(Path(url)) for url in urls])


def _unknown_split(path: str, split: str, error: Exception) -> UserError:
    reason = (str(error).strip() or type(error).__name__).split("\n")[0][:200]
    return UserError(
        f"cannot load the split {split} of {path}: {reason}", "check the path, or the Hub id and the network"
    )
