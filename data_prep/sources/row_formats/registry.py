"""All foreign row formats by name, and how the format of a file's rows is recognized."""

from collections.abc import Sequence

from data_prep.dataset_folder import DatasetKind
from data_prep.sources.row_formats.chosen_answers import CHOSEN_ANSWERS
from data_prep.sources.row_formats.hh_rlhf import HH_RLHF
from data_prep.sources.row_formats.kto import KTO
from data_prep.sources.row_formats.named_columns import NAMED_COLUMNS
from data_prep.sources.row_formats.natural_instructions import NATURAL_INSTRUCTIONS
from data_prep.sources.row_formats.oasst import OASST, OASST_ALL_PATHS
from data_prep.sources.row_formats.row_format import ForeignFormat, Row
from data_prep.sources.row_formats.templated_text import TEMPLATED_TEXT
from data_prep.sources.row_formats.turns import TURNS
from data_prep.sources.row_formats.ultrafeedback import ULTRAFEEDBACK

# the first that recognizes a file's rows is chosen
_FORMATS = (
    OASST, OASST_ALL_PATHS, KTO, HH_RLHF, ULTRAFEEDBACK, CHOSEN_ANSWERS, NATURAL_INSTRUCTIONS, TURNS, TEMPLATED_TEXT,
    *NAMED_COLUMNS,
)  # fmt: skip
FOREIGN_FORMATS: dict[str, ForeignFormat] = {one.name: one for one in _FORMATS}


def recognize_rows(columns: Sequence[str], head: Sequence[Row], kind: DatasetKind) -> ForeignFormat | None:
    """Return the foreign format of a file by its `columns` and first rows; None if its columns are ours or aliases."""
    return next((one for one in FOREIGN_FORMATS.values() if kind in one.kinds and one.recognizes(columns, head)), None)
