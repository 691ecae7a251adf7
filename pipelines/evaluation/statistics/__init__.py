"""Intervals and p-values for paired measures; dependent rows are resampled together."""
