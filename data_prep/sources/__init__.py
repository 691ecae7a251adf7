"""Read raw sources (files, folders, Hub datasets) as rows with their provenance.

To add a format:
- Files that are tables: see `data_prep/dataset_folder/row_files.py`.
- Rows in columns of another project: write a module in `row_formats/` and add it to `registry.py` there.
- Other files (code, documents): write a module in `file_formats/` with a function `(path, root, source) -> list of
  SourceRow and RejectedRow`, and add an entry to `FILE_FORMATS` in `formats.py`.
New names for known columns go into `ALIASES` of `data_prep/conversation/columns.py`.
"""

from data_prep.sources.flags import add_source_flags, command_of, distinct_names, is_license, read_options, split_sizes
from data_prep.sources.formats import FORMATS, recognize
from data_prep.sources.planning import plan_source
from data_prep.sources.raw_rows import group_of_question, same_as_of
from data_prep.sources.row_columns import check_column_map, parse_column_map
from data_prep.sources.row_fields import as_conversation, as_pair_of_messages
from data_prep.sources.rows import SourceRow, group_of_text, normalized
from data_prep.sources.unit_rows import read_unit
from data_prep.sources.units import ReadCounts, ReadOptions, SourcePlan, Unit
