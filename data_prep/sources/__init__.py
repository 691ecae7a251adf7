"""Read raw sources (files, folders, Hub datasets) as rows with their provenance.

To add a format:
- Files that are tables: write a function `(text, path) -> list of dicts` and add its suffix to `ROW_READERS` in
  `data_prep/dataset_folder/row_files.py`.
- Other files (code, documents): write a module here with a function `(path, root, source) -> list of SourceRow and
  RejectedRow`, as in `text_files.py`, and add an entry to `FILE_FORMATS` in `formats.py`.
New names for known columns go into `ALIASES` of `data_prep/conversation/columns.py`.
Then add a test to `tests/data_prep/sources/test_reading.py`. `--format` and the recognition by suffix use these tables.
"""

from data_prep.sources.flags import add_source_flags, command_of, positive, read_sources, split_sizes
from data_prep.sources.formats import recognize
from data_prep.sources.planning import plan_source
from data_prep.sources.reading import read_source
from data_prep.sources.row_columns import parse_column_map
from data_prep.sources.row_fields import in_one_kind, pairs_in_one_form
from data_prep.sources.rows import SourceContent, SourceRow, group_of_text, normalized
from data_prep.sources.unit_rows import read_unit
from data_prep.sources.units import ReadCounts, ReadOptions, SourcePlan, Unit
