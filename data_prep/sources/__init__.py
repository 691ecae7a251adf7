"""One reader for each raw format: rows with their provenance."""

from data_prep.sources.flags import add_source_flags, command_of, positive, read_sources
from data_prep.sources.raw_rows import in_one_kind, pairs_in_one_form
from data_prep.sources.reading import read_source
from data_prep.sources.recognition import SourceFormat, recognise
from data_prep.sources.row_columns import ALIASES, parse_column_map
from data_prep.sources.rows import SourceContent, SourceRow, group_of_text, normalised

__all__ = [
    "ALIASES",
    "SourceContent",
    "SourceFormat",
    "SourceRow",
    "add_source_flags",
    "command_of",
    "group_of_text",
    "in_one_kind",
    "normalised",
    "pairs_in_one_form",
    "parse_column_map",
    "positive",
    "read_source",
    "read_sources",
    "recognise",
]
