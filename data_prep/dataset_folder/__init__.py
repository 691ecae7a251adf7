"""The dataset folder: schema, split, parquet, card and manifest; all datasets are written and read here."""

from data_prep.dataset_folder.card import summary
from data_prep.dataset_folder.columns import (
    columns_of,
    nested_columns,
    rows_at_places,
    table_of,
    text_array,
    text_table,
    unstorable_reason,
)
from data_prep.dataset_folder.combining import combined
from data_prep.dataset_folder.lengths import LengthCounts
from data_prep.dataset_folder.loading import load_rows
from data_prep.dataset_folder.parquet_files import SplitFiles
from data_prep.dataset_folder.reading import (
    is_dataset_folder,
    read_dataset_folder,
    read_manifest,
    read_rows,
    split_files,
)
from data_prep.dataset_folder.row_files import ROW_SUFFIXES, csv_separator, read_row_file, row_suffix
from data_prep.dataset_folder.schema import (
    CHANGED_NAME,
    MANIFEST_NAME,
    PROVENANCE_COLUMNS,
    REJECTED_NAME,
    SPLITS,
    DatasetKind,
    Manifest,
    RejectedRow,
    SplitSizes,
)
from data_prep.dataset_folder.splitting import (
    assign_splits,
    effective_number,
    group_position,
    over_group_limit,
    position_in_group,
    position_of,
    split_codes,
    split_of,
)
from data_prep.dataset_folder.writing import (
    data_versions,
    no_row_error,
    refuse_output,
    write_card_and_manifest,
    write_dataset_folder,
)
