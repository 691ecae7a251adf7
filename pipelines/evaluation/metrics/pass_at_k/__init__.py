"""The pass@k metric; load it with `evaluate.load` and this folder's path."""
