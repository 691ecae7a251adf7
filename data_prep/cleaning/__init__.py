"""Filters with reasons, exact duplicates, and decontamination."""

from data_prep.cleaning.building import build_dataset
from data_prep.cleaning.decontamination import line_windows, reject_reason_held_out
from data_prep.cleaning.filters import (
    RejectReason,
    filter_rows,
    reject_reason_duplicate,
    reject_reason_empty,
    reject_reason_too_long,
    sample_rows,
)
