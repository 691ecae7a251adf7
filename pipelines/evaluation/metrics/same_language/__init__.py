"""The same_language metric; load it with `evaluate.load` and this folder's path."""
