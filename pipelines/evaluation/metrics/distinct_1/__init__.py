"""The distinct_1 metric; load it with `evaluate.load` and this folder's path."""
