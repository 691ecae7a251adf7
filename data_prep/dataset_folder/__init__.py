"""The dataset folder: schema, split, parquet, card and manifest; all datasets are written and read here."""

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
