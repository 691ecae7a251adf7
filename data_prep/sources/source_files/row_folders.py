"""Find the files of rows in a folder: any folder, or one that `datasets` wrote with `save_to_disk`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from data_prep.dataset_folder import RejectedRow, row_suffix
from data_prep.sources.formats import ROW_FORMATS
from data_prep.sources.row_units import RowFile
from data_prep.sources.source_files.splits import files_of_splits, split_of_name
from data_prep.sources.walk import OUTSIDE, files_of_tree, is_inside
from pipelines.errors import UserError
from pipelines.files import read_json

PICKLE_SUFFIXES = (".pkl", ".pickle", ".joblib", ".dill")
FORMAT_OF_SUFFIX = {suffix: name for name, suffix in ROW_FORMATS.items()}
_SPLITS_NAME, _STATE_NAME, _INFO_NAME = "dataset_dict.json", "state.json", "dataset_info.json"


def is_saved(folder: Path) -> bool:
    """Whether `save_to_disk` wrote the folder."""
    return (folder / _SPLITS_NAME).is_file() or ((folder / _STATE_NAME).is_file() and (folder / _INFO_NAME).is_file())


def saved_files(
    folder: Path, split: str | None, source: str, rejected: list[RejectedRow]
) -> tuple[list[RowFile], dict[str, Any]]:
    """Return the Arrow files of a saved dataset, those of the wanted splits, and the manifest's entries about splits.

    Other Arrow files in its folders are caches.
    """
    splits: dict[str | None, Path] = {None: folder}
    if (folder / _SPLITS_NAME).is_file():
        names = _texts(folder / _SPLITS_NAME, "splits")
        splits = {name: folder / name for name in names}
    files: dict[RowFile, str | None] = {}
    for name, part in splits.items():
        for entry in _texts(part / _STATE_NAME, "_data_files"):
            path = part / entry
            if is_inside(path, folder):
                files[RowFile(path, path.relative_to(folder).as_posix(), "arrow")] = name
            else:
                rejected.append(RejectedRow(source, f"{name or ''}/{entry}", OUTSIDE))
    return files_of_splits(files, split, source)


def _texts(path: Path, key: str) -> list[str]:
    """The list of names at `key` of a JSON file; `_data_files` has objects with a `filename`."""
    value = read_json(path)
    listed = value.get(key) if isinstance(value, dict) else None
    names = [one.get("filename") if isinstance(one, dict) else one for one in listed or ()]
    texts = [name for name in names if isinstance(name, str)]
    if not texts or len(texts) < len(names):
        raise UserError(f"{path} has no list {key}, as save_to_disk writes it", "save the dataset again")
    return texts


def row_files_of_folder(
    folder: Path, suffixes: Sequence[str], split: str | None, source: str, rejected: list[RejectedRow]
) -> tuple[list[RowFile], dict[str, Any]]:
    """Return the files with one of `suffixes`, those of the wanted splits, and the manifest's entries about splits."""
    found, skipped = files_of_tree(folder, suffixes, source, with_tests=True)
    pickles, _ = files_of_tree(folder, PICKLE_SUFFIXES, source, with_tests=True)
    rejected += skipped
    rejected += [RejectedRow(source, path.relative_to(folder).as_posix(), "pickle") for path in pickles]
    files = {}
    for path in found:
        name = path.relative_to(folder).as_posix()
        files[RowFile(path, name, FORMAT_OF_SUFFIX[row_suffix(path)])] = split_of_name(name)
    return files_of_splits(files, split, source)
