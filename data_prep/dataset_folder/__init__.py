"""The dataset folder: schema, split, parquet, card and manifest; the one way a dataset is written and read back."""

from data_prep.dataset_folder.card import summary
from data_prep.dataset_folder.columns import columns_of, nested_columns, table_of, unstorable_reason
from data_prep.dataset_folder.combining import combined
from data_prep.dataset_folder.loading import load_rows
from data_prep.dataset_folder.reading import is_dataset_folder, read_dataset_folder, read_manifest, read_rows
from data_prep.dataset_folder.row_files import ROW_SUFFIXES, csv_separator, read_row_file, row_suffix
from data_prep.dataset_folder.schema import (
    MANIFEST_NAME,
    REJECTED_NAME,
    SPLITS,
    DatasetKind,
    Manifest,
    RejectedRow,
    SplitSizes,
)
from data_prep.dataset_folder.splitting import assign_splits, group_position, split_of
from data_prep.dataset_folder.writing import content_sha256, data_versions, refuse_output, write_dataset_folder

__all__ = [
    "MANIFEST_NAME",
    "REJECTED_NAME",
    "ROW_SUFFIXES",
    "SPLITS",
    "DatasetKind",
    "Manifest",
    "RejectedRow",
    "SplitSizes",
    "assign_splits",
    "columns_of",
    "combined",
    "content_sha256",
    "csv_separator",
    "data_versions",
    "group_position",
    "is_dataset_folder",
    "load_rows",
    "nested_columns",
    "read_dataset_folder",
    "read_manifest",
    "read_row_file",
    "read_rows",
    "refuse_output",
    "row_suffix",
    "split_of",
    "summary",
    "table_of",
    "unstorable_reason",
    "write_dataset_folder",
]
