"""The exact_match metric; load it with `evaluate.load` and this folder's path."""
