"""The distinct_2 metric; load it with `evaluate.load` and this folder's path."""
