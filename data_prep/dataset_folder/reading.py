"""Reading a dataset folder back, and prompts or rows from single files."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from data_prep.dataset_folder.row_files import ROW_SUFFIXES, read_parquet_table, read_row_file, row_suffix
from data_prep.dataset_folder.schema import MANIFEST_NAME, SPLITS
from pipelines.errors import UserError
from pipelines.files import read_json

if TYPE_CHECKING:
    from datasets import Dataset


def is_dataset_folder(path: Path | str) -> bool:
    """Whether `path` is a finished folder of `write_dataset_folder`."""
    return (Path(path) / MANIFEST_NAME).is_file()


def read_manifest(folder: Path | str) -> dict[str, Any]:
    """The folder's manifest. Raises `UserError` if it is no dataset folder or the manifest is no manifest."""
    folder = Path(folder)
    if not is_dataset_folder(folder):
        raise UserError(
            expected=f"a dataset folder (with {MANIFEST_NAME}) at {folder}",
            got=f"a folder without {MANIFEST_NAME}" if folder.is_dir() else "no such folder",
            remedy="make one with build_instructions.py, build_preferences.py or build_corpus.py of data_prep/",
        )
    manifest = read_json(folder / MANIFEST_NAME)
    if not isinstance(manifest, dict) or not isinstance(manifest.get("content_sha256"), dict):
        raise UserError(
            expected=f"a dataset manifest with content hashes in {folder / MANIFEST_NAME}",
            got="another file of that name",
            remedy="build the dataset folder again",
        )
    return manifest


def read_dataset_folder(folder: Path | str, split: str) -> "Dataset":
    """One split as a `datasets.Dataset` in memory, its fingerprint taken from the content hash.

    Raises `UserError` if `folder` is no dataset folder, if `split` is unknown or empty, or if its file is gone.
    """
    from datasets import Dataset, NamedSplit
    from datasets.table import InMemoryTable

    folder = Path(folder)
    manifest = read_manifest(folder)
    n_rows = manifest["n_rows"]
    if split not in SPLITS or not n_rows.get(split):
        filled = ", ".join(f"{name} ({n_rows[name]} rows)" for name in SPLITS if n_rows.get(name))
        raise UserError(
            expected=f"a split of {folder} that has rows: {filled}",
            got=f"{split!r}" + (", which is empty" if split in SPLITS else ""),
            remedy="choose one of them, or build the folder with a larger --validation_size or --test_size",
        )
    path = folder / "data" / f"{split}-00000-of-00001.parquet"
    if not path.is_file() or split not in manifest["content_sha256"]:
        raise UserError(
            expected=f"{path.name} and its content hash, as the manifest of {folder} promises",
            got="one of them is missing",
            remedy="build the dataset folder again",
        )
    table = read_parquet_table(path)
    if table.num_rows != n_rows[split]:
        raise UserError(
            expected=f"{n_rows[split]} rows in {path}, as the manifest says",
            got=str(table.num_rows),
            remedy="build the dataset folder again",
        )
    table = InMemoryTable(table)
    return Dataset(table, split=NamedSplit(split), fingerprint=manifest["content_sha256"][split][:16])


def read_rows(path: Path | str, split: str | None = None) -> list[dict[str, Any]]:
    """Rows of one split of a dataset folder, or of a JSON, JSONL, CSV or Parquet file (also .gz), as they are.

    `split` is needed for a dataset folder and ignored for a file. Raises `UserError` if nothing can be read.
    """
    path = Path(path)
    if is_dataset_folder(path):
        return list(read_dataset_folder(path, split or "test"))
    if path.is_dir() or row_suffix(path) not in ROW_SUFFIXES:
        raise UserError(
            expected=f"a dataset folder, or a file ending in {', '.join(ROW_SUFFIXES)}",
            got=f"{path}" + ("" if path.exists() else ", which does not exist"),
            remedy="make a dataset folder with data_prep/build_instructions.py, or give a file of rows",
        )
    rows = read_row_file(path)
    if not rows:
        raise UserError(expected=f"at least one row in {path}", got="none", remedy="check the file")
    return rows
