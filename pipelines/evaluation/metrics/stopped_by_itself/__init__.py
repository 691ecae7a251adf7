"""The stopped_by_itself metric; load it with `evaluate.load` and this folder's path."""
