"""Read a dataset folder back, or rows from a single file."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from data_prep.dataset_folder.row_files import ROW_SUFFIXES, read_parquet_table, read_row_file, row_suffix
from data_prep.dataset_folder.schema import MANIFEST_NAME, SPLITS
from pipelines.errors import UserError
from pipelines.files import read_json

if TYPE_CHECKING:
    from datasets import Dataset

_REBUILD = "build the dataset folder again"


def is_dataset_folder(path: Path | str) -> bool:
    """Whether `path` is a finished dataset folder."""
    return (Path(path) / MANIFEST_NAME).is_file()


def read_manifest(folder: Path | str) -> dict[str, Any]:
    """Return the folder's manifest. Raises `UserError` if it is not a dataset folder or the manifest is broken."""
    folder = Path(folder)
    if not is_dataset_folder(folder):
        found = f"has no {MANIFEST_NAME}, so it is not a dataset folder" if folder.is_dir() else "does not exist"
        raise UserError(f"{folder} {found}", "make one with a program of data_prep")
    manifest = read_json(folder / MANIFEST_NAME)
    if not isinstance(manifest, dict) or not isinstance(manifest.get("content_sha256"), dict):
        raise UserError(f"{folder / MANIFEST_NAME} is not a dataset manifest with content hashes", _REBUILD)
    return manifest


def read_dataset_folder(folder: Path | str, split: str) -> "Dataset":
    """Return one split as a `datasets.Dataset` in memory; its fingerprint is the start of the content hash.

    Raises `UserError` if `folder` is not a dataset folder, if `split` is unknown or empty, or if its file is missing.
    """
    import pyarrow
    from datasets import Dataset, NamedSplit
    from datasets.table import InMemoryTable

    folder = Path(folder)
    manifest = read_manifest(folder)
    n_rows = manifest["n_rows"]
    if split not in SPLITS or not n_rows.get(split):
        filled = ", ".join(f"{name} ({n_rows[name]} rows)" for name in SPLITS if n_rows.get(name))
        found = f"the split {split!r} of {folder} is empty" if split in SPLITS else f"{folder} has no split {split!r}"
        raise UserError(found, f"choose {filled}, or build it with a larger --validation_size or --test_size")
    files = split_files(folder, split)
    if not files or split not in manifest["content_sha256"]:
        raise UserError(f"the files of {split} in {folder}, or their content hash, are missing", _REBUILD)
    table = pyarrow.concat_tables([read_parquet_table(file) for file in files])
    if table.num_rows != n_rows[split]:
        raise UserError(
            f"{split} of {folder} has {table.num_rows} rows, expected {n_rows[split]} as in the manifest", _REBUILD
        )
    table = InMemoryTable(table)
    return Dataset(table, split=NamedSplit(split), fingerprint=manifest["content_sha256"][split][:16])


def split_files(folder: Path | str, split: str) -> list[Path]:
    """Return the Parquet files of one split in order, as `datasets` reads them."""
    return sorted((Path(folder) / "data").glob(f"{split}-*-of-*.parquet"))


def read_rows(path: Path | str, split: str | None = None) -> list[dict[str, Any]]:
    """Return the rows of one split of a dataset folder (default: test), or of a file, as they are.

    Raises `UserError` if nothing can be read.
    """
    path = Path(path)
    if is_dataset_folder(path):
        return list(read_dataset_folder(path, split or "test"))
    if path.is_dir() or row_suffix(path) not in ROW_SUFFIXES:
        found = "is not" if path.exists() else "does not exist, expected"
        problem = f"{path} {found} a dataset folder or a file ending in {', '.join(ROW_SUFFIXES)}"
        raise UserError(problem, "make a dataset folder with data_prep/build_instructions.py, or give a file of rows")
    rows = read_row_file(path)
    if not rows:
        raise UserError(f"{path} has no rows", "check the file")
    return rows
