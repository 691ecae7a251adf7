"""The chrf metric; load it with `evaluate.load` and this folder's path."""
